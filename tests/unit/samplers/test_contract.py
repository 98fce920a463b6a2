"""What holds for every registered sampler; a new one is tested by existing. And how a plug-in adds one."""

from __future__ import annotations

import json
import subprocess
import sys
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import gaussian_denoiser, normal, tiny_denoiser
from support.mixture_networks import mixture_denoiser, two_islands
from support.sampled_specs import sampled_spec

from sfddm.diffusion.schedule import make_schedule
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.ensemble import Ensemble
from sfddm.networks.model_folder import save_model
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.registry import PLUGINS, entries
from sfddm.samplers.base import PACKAGE, Sampler, find_sampler, sample
from sfddm.sampling.images import flops, sample_row
from sfddm.spec.experiment import Spec
from sfddm.spec.stages import row_sampling

NAMES = list(entries(PACKAGE, Sampler))  # type: ignore[type-abstract]
RANDOM = ["ancestral", "consistency"]
DETERMINISTIC = [name for name in NAMES if name not in RANDOM]
IRREGULAR = (2, 3, 9, 20, 21, 40, 55, 63)

every_sampler = pytest.mark.parametrize("name", NAMES)
every_deterministic_sampler = pytest.mark.parametrize("name", DETERMINISTIC)


def no_noise(k: int) -> torch.Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


def test_the_registry_holds_what_specs_name() -> None:
    assert NAMES == ["ancestral", "consistency", "ddim", "ddim-scaled", "dpm-solver", "heun", "ipndm", "unipc"]
    assert all(find_sampler(name).title for name in NAMES)


def test_naming_a_sampler_imports_no_torch() -> None:
    program = (
        "import sys; from sfddm.samplers.base import find_sampler; find_sampler('unipc')(); print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "'sfddm.samplers.heun'" in done.stdout
    assert "'torch'" not in done.stdout


# --- what a walk gives --------------------------------------------------------------------------------------------


@every_deterministic_sampler
@pytest.mark.parametrize("index_set", [(63,), (10, 63), (5, 30, 63), IRREGULAR, tuple(range(64))], ids=len)
def test_it_is_exact_for_a_single_image(name: str, index_set: tuple[int, ...]) -> None:
    """Then x0 and eps are constant along the path, and every order of extrapolation is right."""
    image = normal(1, 1, 4, 4, seed=5).clamp(-1, 1)
    teacher = gaussian_denoiser(make_schedule("sigmoid", 64), image, 0.0, "x0")
    images = sample(teacher, index_set, find_sampler(name)(clip=False), normal(2, 1, 4, 4), no_noise)
    torch.testing.assert_close(images, image.expand(2, 1, 4, 4), rtol=1e-4, atol=1e-4)


@every_deterministic_sampler
def test_one_step_is_ddims(name: str) -> None:
    x, teacher = normal(2, 1, 8, 8), tiny_denoiser()
    start = x * sqrt(1 - teacher.alpha_bar(40)) if name == "ddim-scaled" else x
    with torch.no_grad():
        ours = sample(teacher, (40,), find_sampler(name)(), x, no_noise)
        ddim = sample(teacher, (40,), find_sampler("ddim")(), start, no_noise)
    assert torch.equal(ours, ddim)


@every_sampler
def test_images_are_clipped_and_only_where_asked(name: str) -> None:
    x, teacher = normal(4, 1, 8, 8), tiny_denoiser()
    with torch.no_grad():
        clipped, free = (sample(teacher, IRREGULAR, find_sampler(name)(clip=c), x, lambda k: x) for c in (True, False))
    assert clipped.abs().max() <= 1
    assert free.abs().max() > 1


# --- eta ----------------------------------------------------------------------------------------------------------


@every_sampler
def test_it_takes_eta_or_says_that_it_has_no_use_for_it(name: str) -> None:
    if name == "ddim":
        assert find_sampler(name)(eta=0.5).eta == 0.5
        return
    with pytest.raises(SfddmError, match=rf"^eta: the sampler {name} has no use for it; leave out eta: 0.5, or choose"):
        find_sampler(name)(eta=0.5)


def tiny_spec(**row: Any) -> Spec:
    return sampled_spec({"row": {"method": "ddim"} | row}, samples=6)


def test_a_spec_is_refused_in_one_sentence() -> None:
    with pytest.raises(SfddmError, match=r"^tiny.yaml: methods.row: sampler: there is no 'euler'; known: ancestral, "):
        tiny_spec(sampler="euler")
    with pytest.raises(SfddmError, match=r"^tiny.yaml: methods.row: eta: the sampler unipc has no use for it; "):
        tiny_spec(sampler="unipc", eta=1.0)


# --- evaluations are counted --------------------------------------------------------------------------------------


@every_sampler
@pytest.mark.parametrize("steps", [1, 2, 5])
def test_evaluations_are_counted(name: str, steps: int) -> None:
    teacher, x = tiny_denoiser(size=4), normal(3, 1, 4, 4)
    with torch.no_grad():
        sample(teacher, IRREGULAR[-steps:], find_sampler(name)(), x, lambda k: x)
    assert teacher.evaluations == 3 * (2 * steps - 1 if name == "heun" else steps)
    assert teacher.evaluations == 3 * find_sampler(name)().evaluations(steps), "which a plan counts with"


def test_guidance_counts_twice_and_views_share_the_count() -> None:
    teacher, x = mixture_denoiser(two_islands(), classes=2), normal(3, 2, 1, 1)
    labels = torch.tensor([0, 1, 0])
    for scale, expected in ((1.0, 3), (2.0, 3 + 6)):
        teacher.given(labels, scale).predict(x, torch.full((3,), 40))
        assert teacher.evaluations == expected
    teacher.given(None, 2.0).predict(x, torch.full((3,), 40))
    assert teacher.evaluations == 12, "without classes there is nothing to guide with"


def test_each_image_of_an_ensemble_is_answered_once() -> None:
    teacher = mixture_denoiser(two_islands(), classes=2)
    members = [Denoiser(teacher.network, "x0", teacher.steps) for _ in range(2)]
    ensemble, x = Ensemble(members, [(0,), (1,)]), normal(5, 2, 1, 1)
    sample(ensemble.given(torch.tensor([0, 1, 1, 1, 0])), IRREGULAR, find_sampler("dpm-solver")(), x, no_noise)
    assert ensemble.evaluations == 5 * len(IRREGULAR)
    assert [member.evaluations for member in members] == [2 * len(IRREGULAR), 3 * len(IRREGULAR)]


def test_counting_operations_counts_no_evaluation() -> None:
    teacher = tiny_denoiser(size=4)
    assert flops(teacher, (1, 4, 4), torch.device("cpu")) > 0
    assert teacher.evaluations == 0


# --- a plug-in ----------------------------------------------------------------------------------------------------

PLUGIN = '''
from sfddm.samplers.base import Sampler
from sfddm.samplers.ddim import ddim_step


class Repeated(Sampler):
    """DDIM that asks the model twice at each step, and takes the mean of what it says."""

    name = "ddim-asked-twice"
    title = "DDIM, asked twice"

    def sample(self, walk, x):
        for k in walk.positions:
            walk.predict(x, k)
            x = ddim_step(walk.predict(x, k), walk.alpha_bar(k), walk.alpha_bar(k - 1))
        return x
'''


def test_a_file_adds_a_sampler_that_a_row_is_sampled_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "asked_twice.py").write_text(PLUGIN)
    save_model(tmp_path / "model", tiny_denoiser(), {"depends_on": "0"})
    with pytest.raises(SfddmError, match="there is no 'ddim-asked-twice'"):
        tiny_spec(sampler="ddim-asked-twice")
    monkeypatch.setenv(PLUGINS, str(tmp_path / "asked_twice.py"))
    images = {}
    for name, evaluations in (("ddim-asked-twice", 8), ("ddim", 4), ("heun", 7)):
        stage, out = row_sampling(tiny_spec(sampler=name), "row", 4), tmp_path / name / "samples.npy"
        sample_row(stage, [tmp_path / "model"], out, device=torch.device("cpu"))
        assert json.loads(out.with_name("samples.json").read_text())["nfe"] == evaluations
        images[name] = np.load(out)
    assert np.array_equal(images["ddim-asked-twice"], images["ddim"])
    assert not np.array_equal(images["heun"], images["ddim"])
