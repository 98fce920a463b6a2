"""Snapshots on their way into the model folder: nothing else of it changes, and a damaged one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from support.exact_networks import weights_of
from support.score_specs import make_spec

from sfddm.data.fetch import fetch
from sfddm.methods.options import TrainingOptions
from sfddm.networks.model_folder import load_model, snapshots_of
from sfddm.runtime.errors import SfddmError
from sfddm.spec import stages
from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec
from sfddm.training.teacher import train_teacher

CPU = torch.device("cpu")


def spec_of(**training: Any) -> Spec:
    plain = make_spec().model_dump(mode="json")
    options = {"images": 24, "batch_size": 4, "ema": 0.5} | training
    return parse_spec(plain | {"teacher": {"training": options}}, "a test")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher without snapshots and with three."""
    folder = tmp_path_factory.mktemp("models")
    fetch(spec_of().data, folder / "data")
    for name, count in (("none", 0), ("three", 3)):
        stage = stages.teacher_training(spec_of(snapshots=count), 0)
        train_teacher(stage, folder / "data", folder / name, state=folder / "state", device=CPU)
    return folder


def test_nothing_else_of_the_folder_changes(models: Path) -> None:
    files = {
        name: {str(file.relative_to(models / name)): file for file in (models / name).rglob("*.*") if file.is_file()}
        for name in ("none", "three")
    }
    further = {f"snapshots/{name}.safetensors" for name in ("1-of-3", "2-of-3", "raw")}
    assert files["three"].keys() - files["none"].keys() == further
    for name in files["none"].keys() - {"card.json", ".sfddm-outputs"}:
        assert files["none"][name].read_bytes() == files["three"][name].read_bytes(), name
    (one, card), (other, _) = (load_model(models / name) for name in ("none", "three"))
    assert "snapshots" not in card
    assert all(torch.equal(value, weights_of(other)[name]) for name, value in weights_of(one).items())
    assert not [file for file in (models / "state").rglob("*") if file.is_file()], "the state is removed"


def test_the_model_can_be_read_with_the_weights_of_a_snapshot(models: Path) -> None:
    assert (snapshots_of(models / "none"), len(snapshots_of(models / "three"))) == ((), 3)
    read = [weights_of(load_model(models / "three", name)[0]) for name in (None, "1-of-3", "2-of-3", "raw")]
    for place, one in enumerate(read):
        for other in read[:place]:
            assert any(not torch.equal(value, other[name]) for name, value in one.items())


def test_a_snapshot_that_is_missing_or_was_changed_is_refused(models: Path) -> None:
    with pytest.raises(SfddmError, match=r"none: keeps no snapshot raw, but none at all$"):
        load_model(models / "none", "raw")
    file = models / "three" / "snapshots" / "raw.safetensors"
    file.write_bytes(file.read_bytes()[:-1] + b"\0")
    with pytest.raises(SfddmError, match=r"raw\.safetensors: its sha256 is .*, but card\.json says"):
        load_model(models / "three", "raw")


def test_no_snapshots_are_no_part_of_a_spec_or_training() -> None:
    assert spec_of().digest == spec_of(snapshots=0).digest != spec_of(snapshots=2).digest
    keys = [stages.teacher_training(spec_of(**further), 0).key for further in ({}, {"snapshots": 2})]
    assert "snapshots" not in keys[0]["teacher"]["training"]
    assert keys[1]["teacher"]["training"]["snapshots"] == 2
    assert "checkpoint_seconds" not in keys[1]["teacher"]["training"]
    again = TrainingOptions.model_validate(TrainingOptions(images=1, snapshots=2).model_dump())
    assert again.snapshots == 2
