"""The stage ``distill``: one training of one method, for one seed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sfddm.data.store import Store, open_store
from sfddm.diffusion.randomness import derived_seed
from sfddm.extractors.classifier import FrozenClassifier, load_classifier
from sfddm.methods import make_method
from sfddm.networks.build import build_network, first_weights_of, with_second_time
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.model_folder import load_auxiliary, load_model, save_model
from sfddm.networks.times import SECOND_TIME
from sfddm.objectives.objective import Objective
from sfddm.results.classifier import ClassifierCard
from sfddm.runtime.device import is_first_process
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import digest_of, read_json
from sfddm.training.card import make_card
from sfddm.training.feed import NoImages
from sfddm.training.loop import Seeds, remove_state, train
from sfddm.training.pairs import PairsFeed
from sfddm.training.partition import read_partition
from sfddm.training.sections import StudentInputs, StudentTraining


def train_student(
    stage: StudentTraining, inputs: StudentInputs, out: Path, *, state: Path | None, device: torch.device
) -> None:
    """Train one student and write its model folder.

    Args:
        stage: the training.
        inputs: what it reads.
        out: the model folder to write.
        state: where checkpoints live, each in a folder named after what its training depends on; None: reports/state.
        device: where to compute.

    Raises:
        SfddmError: a model folder is not the one it should be, or an input is missing or not asked for.
    """
    training, who = stage.training, _name_of(stage)
    writes = is_first_process()
    store = open_store(inputs.data / "train")
    teacher, teacher_card = load_model(inputs.teacher)
    _check_model(inputs.teacher, teacher_card, stage.learns_from, who)
    start, start_card = _load_start(inputs.start, stage)
    classes = _classes_of(stage, inputs)
    pairs = _pairs_of(stage, inputs, classes, device)
    classifier, classifier_card = _classifier_of(stage, inputs, store, device)
    key = stage.key | {"teacher": teacher_card["depends_on"], "classes": classes, "data": store.digest}
    key |= {"start": start_card["depends_on"]} if start_card else {}
    key |= {"pairs": read_json(inputs.pairs / "pairs.json")} if training.pairs and inputs.pairs else {}
    key |= {"classifier": classifier_card.weights_sha256} if classifier_card else {}
    student = make_student(stage, teacher, start)
    frozen = FrozenDenoiser(teacher.to(device), stage.method.guidance_scale)
    objective = make_objective(stage, student, frozen, inputs.start)
    objective.classifier = classifier
    checkpoint = (state or Path("reports/state")) / digest_of(key)[:16] / "checkpoint.safetensors"
    images, labels = _images_of(stage, store, classes)
    further = derived_seed(stage.seed, stage.method.method, training.name, "further")
    result = train(
        objective,
        images,
        labels,
        stage.options,
        seeds=Seeds(derived_seed(stage.seed, who_of(stage)), further),
        checkpoint=checkpoint,
        device=device,
        title=stage.origin.title,
        pairs=pairs,
    )
    if not writes:
        return
    card = make_card(stage.origin, store, method=stage.row, fold=training.name, seed=stage.seed, result=result, key=key)
    guided = 1 if stage.method.guidance_scale == 1.0 else 2
    facts = {
        "student_evaluations": objective.evaluations.student,
        "teacher_evaluations": objective.evaluations.teacher * guided,
        "classes": None if classes is None else list(classes),
    }
    auxiliary = objective.auxiliary if len(objective.auxiliary) else None
    save_model(out, student, card | facts, auxiliary, result.snapshots)
    remove_state(checkpoint, result)


def _name_of(stage: StudentTraining) -> str:
    return f"{stage.row} {stage.training.name}"


def _classes_of(stage: StudentTraining, inputs: StudentInputs) -> tuple[int, ...] | None:
    share = stage.training.share
    if share is None:
        _refuse(inputs.partition, f"{_name_of(stage)}: shares no classes; leave out --partition")
        return None
    return read_partition(_needed(inputs.partition, f"{_name_of(stage)}: shares the classes; give --partition"), share)


def _pairs_of(
    stage: StudentTraining, inputs: StudentInputs, classes: tuple[int, ...] | None, device: torch.device
) -> PairsFeed | None:
    training = stage.training
    if not training.pairs:
        _refuse(inputs.pairs, f"{_name_of(stage)}: does not compare with the teacher's images; leave out --pairs")
        return None
    folder = _needed(inputs.pairs, f"{_name_of(stage)}: compares with the teacher's images; give --pairs")
    pairs = PairsFeed(folder, stage.options.batch_size, derived_seed(stage.seed, who_of(stage), "pairs"), device)
    if classes is not None and training.share is not None and training.share.of_pairs:
        pairs.keep(classes)
    return pairs


def _classifier_of(
    stage: StudentTraining, inputs: StudentInputs, store: Store, device: torch.device
) -> tuple[FrozenClassifier | None, ClassifierCard | None]:
    if not stage.training.classifier:
        _refuse(inputs.classifier, f"{_name_of(stage)}: asks no classifier; leave out --classifier")
        return None, None
    folder = _needed(inputs.classifier, f"{_name_of(stage)}: compares a classifier's features; give --classifier")
    classifier, card = load_classifier(folder, device)
    height, width, channels = store.images.shape[1:]
    if card.shape != (channels, height, width):
        raise SfddmError(f"{folder}: is for (C, H, W) {card.shape}, the images are {(channels, height, width)}")
    return classifier, card


def who_of(stage: StudentTraining) -> str:
    """Return "row/fold": what the seeds of a training are derived from, besides its own seed."""
    return f"{stage.row}/{stage.training.name}"


def make_student(stage: StudentTraining, teacher: Denoiser, start: Denoiser | None = None) -> Denoiser:
    """Return the student before training, at the training's steps.

    Its weights are those of ``start`` where there is one; else its network is its own where the method's options give
    one, and the teacher's architecture otherwise, with the teacher's weights or fresh ones. A second time is added
    where the training asks for one; the teacher has none.
    """
    own, training = stage.method.network, stage.training
    seed = derived_seed(stage.seed, who_of(stage), "weights")
    added = {SECOND_TIME: True} if training.second_time else {}
    if start is not None:
        network = copy.deepcopy(start.network).requires_grad_(True)
    elif own is not None:
        config = teacher.network.config
        own = own.model_copy(update={"classes": teacher.classes})
        network = build_network(own.config(config["sample_size"], config["in_channels"]) | added, seed)
    elif training.initialisation == "random":
        network = build_network(teacher.network.config | added, seed)
    elif training.second_time:
        network = with_second_time(teacher.network, seed)
    else:
        network = copy.deepcopy(teacher.network).requires_grad_(True)
    steps = teacher.steps.subsequence(training.index_set, training.conditioning or training.index_set)
    return Denoiser(network, training.prediction or teacher.prediction, steps, training.from_noise)


def make_objective(
    stage: StudentTraining, student: Denoiser, teacher: FrozenDenoiser, start: Path | None = None
) -> Objective:
    """Return what the student minimises; its auxiliary networks go on from those beside the model ``start``."""
    method = make_method(stage.method, stage.schedule)
    with first_weights_of(derived_seed(stage.seed, who_of(stage), "companions")):
        objective = method.objective(stage.training, student, teacher)
    if start is not None:
        load_auxiliary(start, objective.auxiliary)
    return objective


def _refuse(path: Path | None, sentence: str) -> None:
    if path is not None:
        raise SfddmError(sentence)


def _needed(path: Path | None, sentence: str) -> Path:
    if path is None:
        raise SfddmError(sentence)
    return path


def _load_start(folder: Path | None, stage: StudentTraining) -> tuple[Denoiser | None, dict[str, Any]]:
    start, who = stage.training.start, f"{stage.row} {stage.training.name}"
    if (folder is None) != (start is None):
        wanted = f"starts from fold {start}; give --start" if start else "starts from no other fold"
        raise SfddmError(f"{who}: {wanted}")
    if folder is None or start is None:
        return None, {}
    model, card = load_model(folder)
    _check_model(folder, card, (stage.row, start), who)
    return model, card


def _check_model(folder: Path, card: dict[str, Any], expected: tuple[str, str], who: str) -> None:
    if (card["method"], card["fold"]) != expected:
        raise SfddmError(
            f"{folder}: holds {card['method']} {card['fold']}, but {who} needs {expected[0]} {expected[1]}"
        )


def _images_of(
    stage: StudentTraining, store: Store, classes: tuple[int, ...] | None
) -> tuple[NDArray[np.uint8] | NoImages, NDArray[np.int64] | None]:
    """Return the images and labels that a training sees: a data-free one none, of the shape in the manifest."""
    if not stage.training.data_free:
        return _images_of_classes(store, classes)
    count, height, width, channels = store.manifest["shape"]
    return NoImages(count, (channels, height, width), classes), None


def _images_of_classes(store: Store, classes: tuple[int, ...] | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the images and labels of some classes; of all, memory-mapped as they are, where ``classes`` is None.

    Raises:
        SfddmError: there is no image of these classes.
    """
    if classes is None:
        return store.images, store.labels
    rows = np.flatnonzero(np.isin(store.labels, classes))
    if not len(rows):
        raise SfddmError(f"{store.folder}: holds no image of the classes {', '.join(map(str, classes))}")
    return store.images[rows], store.labels[rows]
