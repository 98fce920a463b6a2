"""Folds that ask the run's own classifier, through the stages: what they need, refuse, depend on and learn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import assert_same_weights
from support.several_students import make_spec

import sfddm
from sfddm.data.fetch import fetch
from sfddm.data.store import write_store
from sfddm.evaluation import classifier
from sfddm.evaluation.classifier import train_classifier
from sfddm.evaluation.sections import ClassifierTraining
from sfddm.networks.model_folder import load_model
from sfddm.runtime.errors import SfddmError
from sfddm.spec import stages
from sfddm.spec.experiment import Spec
from sfddm.training.sections import StudentInputs
from sfddm.training.student import train_student
from sfddm.training.teacher import train_teacher

CPU = torch.device("cpu")
TRAINING = {"images": 25_600, "batch_size": 128, "learning_rate": 5e-3, "learning_rate_schedule": "linear"}
ROW = {"start": 4, "temperature": 1.0, "steps": [2]}
MEMORY = {"similarity_weight": 0.0, "queue_size": 256, "contrast": 64}
METHODS = {
    "teacher": {"reference_steps": 8},
    "progressive": {"start": 4, "steps": [2]},
    "cfd": ROW,
    "rdd": ROW | MEMORY,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Spec, Path]:
    """A teacher of points that has learned something, and a classifier."""
    spec = make_spec(
        methods=METHODS,
        data={"source": "gaussians-2d", "label": "Gaussians 2-D", "images": 4000},
        network={"kind": "mlp", "width": 48, "depth": 2, "prediction": "v", "classes": 8},
        teacher={"training": TRAINING | {"images": 128_000}},
        students=TRAINING,
    )
    root = tmp_path_factory.mktemp("folds")
    fetch(spec.data, root / "data")
    train_teacher(stages.teacher_training(spec, 0), root / "data", root / "teacher", state=root / "state", device=CPU)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "IMAGES", 64_000)
        train_classifier(stages.classifier_training(spec), root / "data", root / "classifier", CPU)
    return spec, root


def distill(spec: Spec, root: Path, row: str, out: Path, **changes: Any) -> Path:
    training = spec.training(row, "2")
    asked = root / "classifier" if training.classifier else None
    inputs = StudentInputs(root / "data", root / "teacher", **({"classifier": asked} | changes))
    train_student(stages.student_training(spec, row, "2", 0), inputs, out, state=root / "state", device=CPU)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("row", ["cfd", "rdd"])
def test_its_samples_come_near_the_teachers_from_the_same_noise(trained: tuple[Spec, Path], row: str) -> None:
    """From the teacher's weights, two steps; without pixels, by what a classifier of points says alone."""
    spec, root = trained
    teacher, student = (load_model(one)[0].eval() for one in (root / "teacher", distill(spec, root, row, root / row)))

    def points(model: Any, steps: int) -> Any:
        return sfddm.sample(model, steps, count=512, index_set="uniform", clip=False) / 127.5 - 1

    with torch.no_grad():
        wanted, before, after = points(teacher, 4), points(teacher, 2), points(student, 2)
    apart_before, apart_after = (float(np.abs(one - wanted).mean()) for one in (before, after))
    assert apart_after < 0.5 * apart_before
    card = load_model(root / row)[1]
    assert (card["student_evaluations"], card["teacher_evaluations"]) == (1, 2)


def test_the_classifier_is_given_where_it_is_asked_and_nowhere_else(trained: tuple[Spec, Path], tmp_path: Path) -> None:
    spec, root = trained
    with pytest.raises(SfddmError, match="cfd 2: compares a classifier's features; give --classifier"):
        distill(spec, root, "cfd", tmp_path / "out", classifier=None)
    with pytest.raises(SfddmError, match="progressive 2: asks no classifier; leave out --classifier"):
        distill(spec, root, "progressive", tmp_path / "out", classifier=root / "classifier")
    with pytest.raises(SfddmError, match=r"classifier\.json: no such file; `sfddm classifier` writes it"):
        distill(spec, root, "rdd", tmp_path / "out", classifier=tmp_path)


def test_a_classifier_of_other_images_is_refused(
    trained: tuple[Spec, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, root = trained
    monkeypatch.setattr(classifier, "IMAGES", 64)
    examples = [(np.full((4, 4, 1), 255 * label, np.uint8), label) for label in (0, 1)]
    write_store(tmp_path / "data" / "train", "shades", {}, (4, 4, 1), iter(examples * 10), count=20)
    train_classifier(ClassifierTraining((1, 4, 4), False), tmp_path / "data", tmp_path / "other", CPU)
    with pytest.raises(SfddmError, match=r"other: is for \(C, H, W\) \(1, 4, 4\), the images are \(2, 1, 1\)"):
        distill(spec, root, "cfd", tmp_path / "out", classifier=tmp_path / "other")


def test_only_trainings_that_ask_it_depend_on_the_classifier(trained: tuple[Spec, Path], tmp_path: Path) -> None:
    """The key of any other training is what it was before there were classifiers, so that its checkpoint is found."""
    spec, _ = trained
    keys = {row: stages.student_training(spec, row, "2", 0).key for row in ("progressive", "cfd")}
    assert "classifier" not in keys["progressive"]["training"]
    assert keys["cfd"]["training"]["classifier"] is True


def test_another_classifier_makes_another_student(
    trained: tuple[Spec, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, root = trained
    short = spec.model_copy(update={"students": spec.students.model_copy(update={"images": 256})})
    monkeypatch.setattr(classifier, "IMAGES", 640)
    monkeypatch.setattr(classifier, "EPOCHS", 0)
    train_classifier(stages.classifier_training(spec), root / "data", tmp_path / "worse", CPU)
    folders = [
        distill(short, root, "rdd", tmp_path / name, classifier=asked)
        for name, asked in (("one", root / "classifier"), ("two", tmp_path / "worse"), ("again", root / "classifier"))
    ]
    cards = [load_model(folder)[1] for folder in folders]
    assert cards[0]["depends_on"] == cards[2]["depends_on"] != cards[1]["depends_on"]
    assert cards[0]["weights_sha256"] == cards[2]["weights_sha256"] != cards[1]["weights_sha256"]
    assert cards[0]["auxiliary_sha256"] == cards[2]["auxiliary_sha256"] is not None


def test_from_python_a_row_trains_the_classifier_that_it_needs(
    trained: tuple[Spec, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, root = trained
    short = spec.model_copy(update={"students": spec.students.model_copy(update={"images": 256})})
    monkeypatch.setattr(classifier, "IMAGES", 640)
    monkeypatch.setattr(classifier, "EPOCHS", 0)
    (student,) = sfddm.distill(short, "cfd", 2, root / "data", root / "teacher", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "classifier" / "classifier.json").read_text())["shape"] == [2, 1, 1]
    again = distill(short, root, "cfd", tmp_path / "again", classifier=tmp_path / "out" / "classifier")
    assert_same_weights(*(dict(load_model(one)[0].network.state_dict()) for one in (student, again)))
    sfddm.distill(short, "progressive", 2, root / "data", root / "teacher", tmp_path / "without")
    assert not (tmp_path / "without" / "classifier").exists()


@pytest.mark.parametrize(
    ("data", "key"),
    [
        ({"source": "lsun-lmdb", "folders": {"train": "somewhere"}}, "source"),
        ({"source": "parquet", "files": {"train": ["one.parquet"]}, "label_column": None}, "label_column"),
    ],
)
@pytest.mark.parametrize("row", ["cfd", "rdd"])
def test_data_without_labels_are_refused_before_anything_runs(data: dict[str, Any], key: str, row: str) -> None:
    changes: dict[str, Any] = {
        "data": data | {"label": "L", "image_size": 8, "channels": 3},
        "network": {"channels": 8, "channel_multipliers": [1], "blocks_per_level": 1},
        "evaluation": {"samples": 8},
        "pairs": None,
    }
    with pytest.raises(SfddmError) as caught:
        make_spec(methods={row: {"start": 4, "steps": [2]}}, **changes)
    wanted = f"methods.{row}: it asks a classifier, which needs labelled images; data.{key} gives no labels"
    assert str(caught.value) == f"test: {wanted}"
    assert make_spec(methods={row: {"start": 16, "steps": [8]}}, **changes), "no fold asks it"
