"""Degrees of freedom of a tiny trained row: each attempt is what sampling and scoring by hand give."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.score_specs import make_spec

from sfddm.data.fetch import fetch
from sfddm.evaluation.measurements.base import Inputs, write_measurement
from sfddm.evaluation.measurements.freedom import DegreesOfFreedom, images_of
from sfddm.evaluation.reference import write_reference
from sfddm.evaluation.score import score
from sfddm.extractors.efficientnet_lite0 import EfficientNetLite0
from sfddm.runtime.errors import SfddmError
from sfddm.sampling.images import load_sampled, sample_row
from sfddm.spec import stages
from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec
from sfddm.training.teacher import train_teacher

pytestmark = pytest.mark.slow
CPU = torch.device("cpu")


@pytest.fixture(scope="module", autouse=True)
def _narrow_layer() -> Iterator[None]:
    """Let metrics use a layer 112 wide: distances in 1,280 dimensions take seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EfficientNetLite0, "layer", "112")
        yield


def spec_of(seed: int = 7, **training: Any) -> Spec:
    plain = make_spec(samples=40, blocks=4, metrics=["frechet_distance"], reference_images=200).model_dump(mode="json")
    plain["evaluation"] |= {"seed": seed, "batch_size": 16}
    options = {"images": 48, "batch_size": 8, "learning_rate": 1e-2, "ema": 0.9} | training
    return parse_spec(plain | {"teacher": {"training": options}}, "a test")


def trained(folder: Path, name: str, **training: Any) -> Path:
    stage = stages.teacher_training(spec_of(**training), 0)
    train_teacher(stage, folder / "data", folder / name, state=folder / "state", device=CPU)
    return folder / name


def distance(folder: Path, model: Path, seed: int = 7) -> float:
    """Sample a model and score what comes, as the DAG does."""
    spec, place = spec_of(seed), folder / f"{model.name}-{seed}"
    sample_row(stages.row_sampling(spec, "ddim", 4), [model], place / "samples.npy", device=CPU)
    score(stages.scoring(spec_of()), place / "samples.npy", folder / "reference", place / "score.json")
    value: float = json.loads((place / "score.json").read_text())["rows"][0]["value"]
    return value


def measured(folder: Path, model: Path) -> dict[str, Any]:
    section, out = stages.measurement(spec_of(), "freedom", "ddim", 4), folder / "out" / f"{model.name}.json"
    samples = folder / f"{model.name}-7" / "samples.npy"
    inputs = Inputs(section, samples=samples, models=(model,), reference=folder / "reference")
    write_measurement(DegreesOfFreedom, inputs, out)
    written: dict[str, Any] = json.loads(out.read_text())
    return written


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("run")
    fetch(spec_of().data, folder / "data")
    write_reference(stages.scoring(spec_of()), folder / "data", folder / "reference")
    model = trained(folder, "kept", snapshots=3)
    distance(folder, model)
    return folder, model, measured(folder, model)


def test_attempts_are_what_sampling_and_scoring_give(run: tuple[Path, Path, dict[str, Any]]) -> None:
    folder, model, written = run
    found = {(row["degree"], row["choice"]): row for row in written["rows"]}
    assert list(found) == [
        ("own", "as in every other figure"),
        ("checkpoint", "after 1/3 of training"),
        ("checkpoint", "after 2/3 of training"),
        ("weights", "not averaged"),
        ("sampling-seed", "seed 8"),
        ("sampling-seed", "seed 9"),
        ("sampling-seed", "seed 10"),
    ]
    raw = trained(folder, "raw", ema=None)
    wanted = {"own": distance(folder, model), "weights": distance(folder, raw)}
    for degree, value in wanted.items():
        (row,) = (row for row in written["rows"] if row["degree"] == degree)
        assert row["value"] == pytest.approx(value, rel=1e-6), degree
    assert found["sampling-seed", "seed 9"]["value"] == pytest.approx(distance(folder, model, seed=9), rel=1e-6)
    assert len({row["value"] for row in written["rows"]}) == 7
    assert all(row["low"] <= row["value"] <= row["high"] and row["images"] == 40 for row in written["rows"])
    assert written["left_out"] == {}


def test_a_row_is_sampled_again_bit_by_bit(run: tuple[Path, Path, dict[str, Any]]) -> None:
    folder, model, _ = run
    sampling = stages.row_sampling(spec_of(), "ddim", 4)
    denoiser, _ = load_sampled([model], sampling.index_set or (), "ddim")
    again = images_of(denoiser.eval(), sampling, "cpu")
    assert np.array_equal(again, np.load(folder / "kept-7" / "samples.npy"))


@pytest.mark.parametrize(
    ("training", "degrees", "reasons"),
    [
        ({}, set(), {"weights": "keeps no weights but its own", "checkpoint": "keeps no earlier weights"}),
        ({"snapshots": 1}, {"weights"}, {"checkpoint": "keeps no earlier weights"}),
        ({"snapshots": 2, "ema": None}, {"checkpoint"}, {"weights": "was trained without an average of its weights"}),
    ],
)
def test_what_a_model_does_not_keep_is_left_out_with_a_reason(
    run: tuple[Path, Path, dict[str, Any]], training: dict[str, Any], degrees: set[str], reasons: dict[str, str]
) -> None:
    folder, _, _ = run
    model = trained(folder, f"other-{len(degrees)}-{len(reasons)}-{training.get('snapshots')}", **training)
    distance(folder, model)
    written = measured(folder, model)
    assert {row["degree"] for row in written["rows"]} == {"own", "sampling-seed"} | degrees
    assert written["left_out"].keys() == reasons.keys()
    assert all(words in written["left_out"][degree] for degree, words in reasons.items())


def test_a_damaged_snapshot_stops_it_and_nothing_is_written(run: tuple[Path, Path, dict[str, Any]]) -> None:
    folder, _, _ = run
    model = trained(folder, "damaged", snapshots=2)
    distance(folder, model)
    file = model / "snapshots" / "1-of-2.safetensors"
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(SfddmError, match="its sha256 is"):
        measured(folder, model)
    assert not (folder / "out" / "damaged.json").exists()
