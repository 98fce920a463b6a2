"""The promise of docs/python.md: its lines run as they stand, and give what the command line's stages give."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from support.exact_networks import tiny_denoiser

import sfddm
from sfddm.data.fetch import fetch
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import load_model
from sfddm.runtime.errors import SfddmError
from sfddm.sampling.images import sample_row
from sfddm.spec import stages
from sfddm.training.sections import StudentInputs
from sfddm.training.student import train_student
from sfddm.training.teacher import train_teacher

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "python.md"
CPU = torch.device("cpu")


def tiny_smoke() -> dict[str, Any]:
    """The spec `smoke`, with budgets of two steps."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "params" / "smoke.yaml").read_text())
    content["teacher"]["training"]["images"] = content["students"]["images"] = 64
    return content | {"network": {"channels": 8, "channel_multipliers": [1], "prediction": "v"}}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the page takes for granted: a run of smoke, its metrics, and the claims."""
    place = tmp_path_factory.mktemp("python")
    (place / "params").mkdir()
    (place / "params" / "smoke.yaml").write_text(yaml.safe_dump(tiny_smoke()))
    for folder in ("claims", "published"):
        shutil.copytree(ROOT / "params" / folder, place / "params" / folder)
    run = place / "reports" / "runs" / "smoke"
    spec = sfddm.load_spec(place / "params" / "smoke.yaml")
    fetch(spec.data, run / "data")
    teacher = stages.teacher_training(spec, 0)
    train_teacher(teacher, run / "data", run / "seed-0" / "teacher" / "model", state=place / "state", device=CPU)
    shutil.copy(ROOT / "reports" / "records" / "smoke-cpu" / "metrics.json", place / "reports" / "metrics.json")
    return place


@pytest.mark.slow
def test_the_documented_lines_run_and_give_what_the_stages_give(workplace: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    assert len(code.strip().splitlines()) <= 12
    code += "\nnp.save('images.npy', images)\n"
    one_thread = os.environ | {"OMP_NUM_THREADS": "1"}  # as this process has: more threads round otherwise
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=workplace, env=one_thread, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = [line.split() for line in done.stdout.splitlines()]
    figures = [words for words in printed if len(words) == 4]
    assert tuple(words[0] for words in figures) == sfddm.load_spec(ROOT / "params" / "smoke.yaml").evaluation.metrics
    assert all(float(low) <= float(value) <= float(high) for _, value, low, high in figures)
    claims = [
        item["id"]
        for file in sorted((ROOT / "params" / "claims").glob("*.yaml"))
        for item in yaml.safe_load(file.read_text())["claims"]
    ]
    assert sorted(words[0] for words in printed if len(words) in (2, 3)) == sorted(claims)
    run, spec = workplace / "reports" / "runs" / "smoke", sfddm.load_spec(workplace / "params" / "smoke.yaml")
    inputs = StudentInputs(run / "data", run / "seed-0" / "teacher" / "model", None, None, None)
    fold = stages.student_training(spec, "sfddm", "4", 0)
    train_student(fold, inputs, workplace / "ours", state=workplace / "state", device=CPU)
    cards = [load_model(folder)[1] for folder in (workplace / "ours", workplace / "mine" / "sfddm" / "fold-4")]
    assert cards[0]["depends_on"] == cards[1]["depends_on"]
    assert cards[0]["weights_sha256"] == cards[1]["weights_sha256"]
    sample_row(stages.row_sampling(spec, "sfddm", 4), [workplace / "ours"], workplace / "ours.npy", device=CPU)
    np.testing.assert_array_equal(np.load(workplace / "images.npy"), np.load(workplace / "ours.npy"))


def test_a_fold_learns_from_the_fold_before_it_and_the_last_is_sampled(workplace: Path) -> None:
    spec, run = sfddm.load_spec(workplace / "params" / "smoke.yaml"), workplace / "reports" / "runs" / "smoke"
    out, teacher = workplace / "progressive", run / "seed-0" / "teacher" / "model"
    assert sfddm.distill(spec, "progressive", 4, run / "data", teacher, out) == [out / "fold-4"]
    assert sfddm.load_model(out / "fold-8").steps.index_set == tuple(range(7, 64, 8))
    assert sfddm.distill(spec, "ddim", 8, run / "data", teacher, workplace / "ddim") == []
    with pytest.raises(SfddmError, match=r"steps: progressive has 8, 4 in the spec; got 16"):
        sfddm.distill(spec, "progressive", 16, run / "data", teacher, out)


def test_distill_replaces_nothing_of_a_user(workplace: Path) -> None:
    spec, run = sfddm.load_spec(workplace / "params" / "smoke.yaml"), workplace / "reports" / "runs" / "smoke"
    thesis = workplace / "user" / "fold-4" / "thesis.txt"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("x")
    with pytest.raises(SfddmError, match="fold-4"):
        sfddm.distill(spec, "sfddm", 4, run / "data", run / "seed-0" / "teacher" / "model", workplace / "user")
    assert thesis.read_text() == "x"


def test_images_do_not_depend_on_the_batch_and_walk_the_models_own_steps() -> None:
    teacher = tiny_denoiser(prediction="v").eval()
    own = (5, 20, 41, 63)
    student = Denoiser(teacher.network, "v", teacher.steps.subsequence(own, own)).eval()
    images = sfddm.sample(student, 4, count=5, seed=3)
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.uint8
    np.testing.assert_array_equal(images, sfddm.sample(student, 4, count=5, seed=3, batch_size=2))
    np.testing.assert_array_equal(images, sfddm.sample(student, 4, count=5, seed=3, index_set=own))
    assert (images != sfddm.sample(student, 4, count=5, seed=4)).any()
    assert (images != sfddm.sample(student, 4, count=5, seed=3, sampler="heun")).any()
    assert sfddm.sample(teacher, 4, count=1, index_set="angle").shape == (1, 8, 8, 1)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"steps": 3}, "index_set: must be 3 of the model's 4 steps"),
        ({"steps": 2, "index_set": (5, 6)}, "got 5, 6"),
        ({"steps": 4, "index_set": "gits"}, "index_set gits: is for rows"),
        ({"steps": 2, "index_set": "angle"}, "index_set angle: needs a model at all"),
        ({"steps": 4, "sampler": "nothing"}, "sampler: .*nothing"),
        ({"steps": 4, "classes": [0] * 16}, "classes: must be 16 of the model's classes, of which it has 0"),
    ],
)
def test_what_a_model_cannot_do_is_one_sentence(asked: dict[str, Any], words: str) -> None:
    teacher = tiny_denoiser(prediction="v")
    student = Denoiser(teacher.network, "v", teacher.steps.subsequence((5, 20, 41, 63), (5, 20, 41, 63))).eval()
    with pytest.raises(SfddmError, match=words):
        sfddm.sample(student, **asked)


def test_the_import_is_instant_and_offers_its_names() -> None:
    code = (
        "import sys, sfddm; assert not {'torch', 'numpy', 'pydantic', 'yaml'} & set(sys.modules), 'heavy'; "
        "assert all(callable(getattr(sfddm, name)) for name in sfddm.__all__ if name != '__version__'); "
        "assert 'torch' not in sys.modules; print(sfddm.__version__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == (sfddm.__version__, "")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        sfddm.nothing  # noqa: B018
