"""The stage ``index-set``: GITS' costs against the released code's formulas, its file, and who may have one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import gaussian_denoiser, normal, tiny_denoiser
from support.mixture_networks import mixture_denoiser, two_islands
from support.sampled_specs import sampled_spec

from sfddm.diffusion.index_sets import check_index_set
from sfddm.diffusion.schedule import make_schedule
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import save_model
from sfddm.results.files import read_result, write_result
from sfddm.results.index_set import FoundIndexSet
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import LEDGER
from sfddm.samplers.base import find_sampler
from sfddm.samplers.ipndm import ADAMS_BASHFORTH
from sfddm.sampling.images import sample_row
from sfddm.sampling.index_sets import jump_costs, write_found_index_set
from sfddm.sampling.sections import RowSampling
from sfddm.spec.experiment import Spec
from sfddm.spec.stages import row_sampling

CPU = torch.device("cpu")
STAGE = RowSampling(
    experiment="tiny",
    row="gits",
    steps=5,
    index_set=None,
    sampler=find_sampler("ddim")(),
    guidance_scale=1.0,
    shape=(1, 4, 4),
    count=6,
    seed=3,
    batch_size=100,
)


def costs_by_the_released_code(teacher: Denoiser, dense: tuple[int, ...], x: torch.Tensor) -> np.ndarray:
    """Written out in x / signal and tau, as in diff-sampler's gits_utils.py: an Euler step, and ``cal_deviation``.

    Only the last step of the path is not iPNDM's but Euler's, for it leads to the clean image here.
    """
    alphas_bar = teacher.steps.alphas_bar[list(dense)][::-1]
    tau = np.append(np.sqrt(1 / alphas_bar - 1), 0.0)
    point, points, slopes = x.double().flatten(1).numpy() / np.sqrt(alphas_bar[0]), [], []
    for i, t in enumerate(reversed(dense)):
        level = np.sqrt(alphas_bar[i])
        said = teacher.predict(torch.from_numpy(point * level).float().view_as(x), teacher.batch_of(t, len(x)))
        points.append(point)
        slopes.insert(0, said.eps.double().flatten(1).numpy())
        used = ADAMS_BASHFORTH[0 if i == len(dense) - 1 else min(i, 3)]
        point = point + (tau[i + 1] - tau[i]) * sum(w * e for w, e in zip(used, slopes, strict=False))
    path, slopes = np.stack([*points, point]), slopes[::-1]

    def deviation(some: np.ndarray) -> np.ndarray:
        to_end, chord = path[-1] - some, path[-1] - path[0]
        unit = chord / np.linalg.norm(chord, axis=1, keepdims=True)
        return np.linalg.norm(to_end - (to_end * unit).sum(1, keepdims=True) * unit, axis=1)

    costs = np.zeros((len(path), len(path)))
    for i, slope in enumerate(slopes):
        for j in range(i + 1, len(path)):
            jump = deviation(path[i] + (tau[j] - tau[i]) * slope)
            costs[i, j] = (jump - (deviation(path[j]) if j < len(path) - 1 else 0.0)).mean()
    return costs


def test_the_costs_are_those_of_the_released_code() -> None:
    teacher, dense = mixture_denoiser(two_islands(sigma=0.2)), (3, 9, 20, 31, 40, 52, 58)
    found = jump_costs(teacher, dense, normal(32, 2, 1, 1), clip=False)
    wanted = costs_by_the_released_code(teacher, dense, normal(32, 2, 1, 1))
    np.testing.assert_allclose(found, wanted, atol=2e-5)
    assert wanted.max() > 0.05


def test_a_straight_path_costs_nothing() -> None:
    teacher = gaussian_denoiser(make_schedule("sigmoid", 64), normal(1, 1, 4, 4, seed=5).clamp(-1, 1), 0.0, "x0")
    assert np.abs(jump_costs(teacher, (5, 20, 40, 63), normal(8, 1, 4, 4), clip=False)).max() < 1e-3


def saved_teacher(folder: Path) -> Path:
    save_model(folder / "model", tiny_denoiser(size=4), {"depends_on": "abc"})
    return folder / "model"


def test_the_file_holds_steps_of_the_dense_path_which_a_row_then_visits(tmp_path: Path) -> None:
    model, file = saved_teacher(tmp_path), tmp_path / "index_set.json"
    write_found_index_set(STAGE, model, file, device=CPU)
    found = read_result(file, FoundIndexSet, "index-set")
    check_index_set(found.index_set, 64)
    assert (len(found.index_set), found.index_set[-1], len(found.chosen_from), found.model) == (5, 63, 60, "abc")
    assert set(found.index_set) <= set(found.chosen_from)
    sample_row(STAGE, [model], tmp_path / "found.npy", device=CPU, index_set=file)
    sample_row(replace(STAGE, index_set=found.index_set), [model], tmp_path / "stated.npy", device=CPU)
    assert np.array_equal(np.load(tmp_path / "found.npy"), np.load(tmp_path / "stated.npy"))
    other = tmp_path / "other.json"
    write_found_index_set(replace(STAGE, batch_size=256), model, other, device=CPU)
    assert read_result(other, FoundIndexSet, "index-set").cost == pytest.approx(found.cost, rel=1e-5)
    assert read_result(other, FoundIndexSet, "index-set").index_set == found.index_set, "whatever the batch"


def test_a_file_is_needed_where_the_row_has_no_index_set_and_only_there(tmp_path: Path) -> None:
    model, file, stated = saved_teacher(tmp_path), tmp_path / "index_set.json", replace(STAGE, index_set=(9, 63))
    with pytest.raises(SfddmError, match=r"^--index-set: gits at 5 steps needs the file that `sfddm index-set` writes"):
        sample_row(STAGE, [model], tmp_path / "s.npy", device=CPU)
    with pytest.raises(SfddmError, match=r"^--index-set: gits at 5 steps has an index set of its own$"):
        sample_row(stated, [model], tmp_path / "s.npy", device=CPU, index_set=file)
    with pytest.raises(SfddmError, match=r"^index-set: gits has an index set of its own; give it index_set: gits$"):
        write_found_index_set(stated, model, file, device=CPU)
    write_found_index_set(replace(STAGE, steps=2), model, file, device=CPU)
    with pytest.raises(SfddmError, match=f"^{file}: holds 2 indices, but gits asks for 5 steps$"):
        sample_row(STAGE, [model], tmp_path / "s.npy", device=CPU, index_set=file)
    student = tiny_denoiser(size=4)
    steps = student.steps.subsequence((9, 63), (9, 63))
    save_model(tmp_path / "student", Denoiser(student.network, "epsilon", steps), {"depends_on": "0"})
    with pytest.raises(SfddmError, match=r"student: index_set gits needs a model at all 64 steps of the teacher$"):
        write_found_index_set(STAGE, tmp_path / "student", file, device=CPU)


@pytest.mark.parametrize(
    ("change", "key"),
    [({"index_set": "all"}, "index_set"), ({"cost": None}, "cost"), ({"more": 1}, "more"), ({"model": ...}, "model")],
    ids=str,
)
def test_a_broken_file_is_refused_with_the_key(tmp_path: Path, change: dict[str, Any], key: str) -> None:
    file = tmp_path / "index_set.json"
    facts: dict[str, Any] = {"chosen_from": (9, 30, 63), "samples": 256, "coefficient": 1.15, "model": "abc"}
    write_result(file, FoundIndexSet(index_set=(9, 63), cost=1.0, **facts))
    assert read_result(file, FoundIndexSet, "index-set").index_set == (9, 63)
    content = json.loads(file.read_text()) | change
    file.write_text(json.dumps({name: value for name, value in content.items() if value is not ...}))
    (tmp_path / LEDGER).unlink()  # which would tell of the change first
    with pytest.raises(SfddmError, match=rf"^{file}: {key}"):
        read_result(file, FoundIndexSet, "index-set")


# --- which rows may have one --------------------------------------------------------------------------------------


def spec_with(**methods: Any) -> Spec:
    return sampled_spec(methods, timesteps=128)


def test_a_row_that_trains_nothing_has_its_index_set_in_a_file() -> None:
    spec = spec_with(row={"method": "ddim", "index_set": "gits", "sampler": "ipndm"})
    assert spec.plan("row", 4).index_set is None
    assert row_sampling(spec, "row", 4).index_set is None


@pytest.mark.parametrize(
    ("methods", "sentence"),
    [
        ({"trajectory": {"index_set": "gits"}}, "trajectory: index_set gits: is for rows that train nothing"),
        (
            {"row": {"method": "ddim", "index_set": "gits", "steps": [61]}},
            "row: steps: index_set gits chooses among 60",
        ),
        (
            {"trajectory": {}, "row": {"method": "ddim", "index_set": "gits", "student_of": "trajectory"}},
            "row: index_set gits: needs a teacher of all steps; leave out student_of",
        ),
    ],
    ids=["trained", "too many steps", "of a student"],
)
def test_no_other_row_may_have_one(methods: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SfddmError, match=f"^tiny.yaml: methods.{sentence}"):
        spec_with(**methods)
