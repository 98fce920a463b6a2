"""A data-free training sees no image: not by its loop, not by its loss, and not by accident."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import assert_same_weights, tiny_denoiser, weights_of
from support.several_students import make_spec
from torch import Tensor

from sfddm.commands.python import sample as sample_model
from sfddm.data.fetch import fetch
from sfddm.data.store import Store, open_store
from sfddm.diffusion.draws import Draws
from sfddm.diffusion.process import q_sample
from sfddm.diffusion.randomness import drawn_classes
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.options import TrainingOptions
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.model_folder import load_model
from sfddm.networks.steps import Steps
from sfddm.objectives.objective import Objective
from sfddm.objectives.terms import Batch, Loss, Networks
from sfddm.runtime.errors import SfddmError
from sfddm.sampling.images import sample_row
from sfddm.spec import stages
from sfddm.training import student as distilling
from sfddm.training.feed import NoImages
from sfddm.training.loop import Seeds, train
from sfddm.training.sections import StudentInputs
from sfddm.training.student import train_student
from sfddm.training.teacher import train_teacher

CPU = torch.device("cpu")
ROWS = ("pid", "boot")
SHORT = {"images": 96, "batch_size": 32, "horizontal_flip": True, "label_dropout": 0.25}


class Untouchable:
    """Stands for arrays that nobody may look at: whatever is asked of it fails."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"the images were touched: {name}")

    def __len__(self) -> int:
        raise AssertionError("the images were counted")

    def __getitem__(self, key: Any) -> Any:
        raise AssertionError("an image was read")


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    methods = {"teacher": {"reference_steps": 8}, **{row: {"points": 8, "training": SHORT} for row in ROWS}}
    spec, root = make_spec(methods=methods, steps=[1], pairs=None), tmp_path_factory.mktemp("free")
    assert spec.network.classes, "so that classes are drawn, too"
    fetch(spec.data, root / "data")
    train_teacher(stages.teacher_training(spec, 0), root / "data", root / "teacher", state=root / "state", device=CPU)
    return spec, root


def untouchable(folder: Path) -> Store:
    return replace(open_store(folder), images=Untouchable(), labels=Untouchable())  # type: ignore[arg-type]


@pytest.mark.parametrize("row", ROWS)
def test_no_image_and_no_label_is_touched_from_the_store_to_the_samples(
    row: str, workplace: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, root = workplace
    monkeypatch.setattr(distilling, "open_store", untouchable)
    inputs, out = StudentInputs(root / "data", root / "teacher"), tmp_path / "student"
    train_student(stages.student_training(spec, row, "1", 0), inputs, out, state=tmp_path / "state", device=CPU)
    model, card = load_model(out)
    assert (card["images_seen"], card["from_noise"], model.from_noise) == (96, model.from_noise, card["from_noise"])
    assert not torch.equal(
        model.network.state_dict()["out.weight"], load_model(root / "teacher")[0].network.state_dict()["out.weight"]
    )
    sample_row(stages.row_sampling(spec, row, 1), [out], tmp_path / "samples.npy", device=CPU)
    images = np.load(tmp_path / "samples.npy")
    seed, count = spec.evaluation.seed, spec.evaluation.samples
    np.testing.assert_array_equal(images, sample_model(model, 1, count=count, seed=seed), "by both ways")
    with pytest.raises(SfddmError, match="steps: this model makes an image of noise in 1 step, at index 0 alone"):
        sample_model(model, 2)


def test_the_guard_of_this_test_catches_who_reads_images(
    workplace: tuple[Any, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, root = workplace
    monkeypatch.setattr(distilling, "open_store", untouchable)
    stage = stages.student_training(spec, "pid", "1", 0)
    stage = replace(stage, training=replace(stage.training, data_free=False))
    with pytest.raises(AssertionError, match="the images were"):
        train_student(stage, StudentInputs(root / "data", root / "teacher"), tmp_path / "s", state=tmp_path, device=CPU)


def batches(classes: int | None, chosen: tuple[int, ...] | None = None, **options: Any) -> list[Batch]:
    network = build_network(PerceptronOptions(kind="mlp", width=4, depth=1, classes=classes).config(1, 2), 0)
    student = Denoiser(network, "v", Steps.of_teacher(make_schedule("cosine", 64)))
    seen: list[Batch] = []

    def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        seen.append(batch)
        return Loss(networks.student.predict(batch.noise, batch.k).x0.square().mean())

    given = TrainingOptions(images=256 * 20, batch_size=256, **options)
    train(
        Objective(student, None, loss), NoImages(10, (2, 1, 1), chosen), None, given,
        seeds=Seeds(5), checkpoint=Path("never-written"), device=CPU, title="free",
    )  # fmt: skip
    return seen


def test_its_classes_are_uniform_and_a_function_of_seed_and_step() -> None:
    labels = [batch.labels for batch in batches(4)]
    for step, drawn in enumerate(labels):
        assert drawn is not None
        assert drawn.tolist() == drawn_classes(5, step, 256, (0, 1, 2, 3)).tolist()
    counts = Counter(int(label) for drawn in labels if drawn is not None for label in drawn)
    # 5,120 draws: a share of a quarter has a standard deviation of 0.006.
    assert all(abs(counts[label] / 5120 - 0.25) < 0.025 for label in range(4))
    assert labels[0] is not labels[1]
    assert not torch.equal(labels[0], labels[1])  # type: ignore[arg-type]


def test_a_share_of_the_classes_is_all_that_is_drawn_and_dropped_labels_are_no_class() -> None:
    seen = {int(label) for batch in batches(4, (1, 3)) for label in _labels(batch)}
    assert seen == {1, 3}
    dropped = torch.cat([_labels(batch) for batch in batches(4, label_dropout=0.5)])
    assert abs(float((dropped == 4).float().mean()) - 0.5) < 0.03
    assert batches(None)[0].labels is None


def _labels(batch: Batch) -> Tensor:
    assert batch.labels is not None
    return batch.labels


def test_whoever_computes_with_the_images_of_its_batch_fails() -> None:
    batch = batches(None, horizontal_flip=True)[0]
    assert batch.x0.shape == batch.noise.shape == (256, 2, 1, 1)
    level = tiny_denoiser().level(batch.k)
    with pytest.raises(RuntimeError):
        q_sample(batch.x0, batch.noise, level)
    with pytest.raises((RuntimeError, NotImplementedError)):
        batch.x0.mean().item()
    with pytest.raises(TypeError):
        batch.x0.numpy()


def test_a_loss_of_images_alone_stops_the_training(tmp_path: Path) -> None:
    student = tiny_denoiser(size=4)
    before = weights_of(student)

    def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        return Loss((batch.x0 * networks.student.network.get_parameter("unet.conv_in.weight").mean()).mean())

    with pytest.raises((RuntimeError, NotImplementedError)):
        train(
            Objective(student, None, loss), NoImages(10, (1, 4, 4)), None, TrainingOptions(images=8, batch_size=4),
            seeds=Seeds(5), checkpoint=tmp_path / "c", device=CPU, title="free",
        )  # fmt: skip
    assert_same_weights(weights_of(student), before)
