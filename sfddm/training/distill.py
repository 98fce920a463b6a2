"""The stage ``distill``: one fold of one method, for one seed."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfddm.data.store import Store, open_store
from sfddm.denoiser import Denoiser, FrozenDenoiser
from sfddm.errors import SfddmError
from sfddm.methods.base import Beside, Fold, Loss, Method
from sfddm.model_folder import load_companions, load_model, plain_config, save_model
from sfddm.networks import build_network, first_weights_of, network_config
from sfddm.randomness import derived_seed, further_noise
from sfddm.spec import Model, Spec, digest_of
from sfddm.training.card import make_card
from sfddm.training.device import is_first_process
from sfddm.training.loop import Batch, BatchLoss, train
from sfddm.training.pairs import PairsFeed


def distill_fold(
    spec: Spec,
    row: str,
    fold_name: str,
    seed: int,
    teacher_folder: Path,
    data: Path,
    out: Path,
    *,
    state: Path | None,
    device: torch.device,
    start_folder: Path | None = None,
    pairs_folder: Path | None = None,
) -> None:
    """Train the student of one fold and write its model folder.

    Args:
        spec: the experiment.
        row: the method's row in the spec.
        fold_name: which of the method's folds.
        seed: the training's seed.
        teacher_folder: the model this fold learns from.
        data: folder of the stores, one for each split.
        out: the model folder to write.
        state: where checkpoints live, each in a folder named after what its training depends on; None: reports/state.
        device: where to compute.
        start_folder: the model whose weights it starts from, where the fold has one.
        pairs_folder: what ``sfddm pairs`` wrote, where the method needs it.

    Raises:
        SfddmError: the row has no such fold, a model folder is not the one it should be, pairs are missing, or a
            launcher's variables are stray.
    """
    writes = is_first_process()
    method, fold = spec.method(row), spec.fold(row, fold_name)
    store = open_store(data / "train")
    teacher, teacher_card = load_model(teacher_folder)
    _check_model(teacher_folder, teacher_card, spec.teacher_of(row, fold_name), f"{row} {fold_name}")
    start = _load_start(start_folder, row, fold)
    part = spec.student_part(row) | {"fold": fold_name, "seed": seed, "teacher": teacher_card["depends_on"]}
    if start:
        part |= {"start": start[1]["depends_on"]}
    networks = _make_networks(method, fold, row, seed, teacher, start[0] if start else None, start_folder)
    options = method.training(fold) or spec.students
    classes = method.classes_of_part(fold, store, spec) if fold.part else None
    pairs = None
    if method.needs_pairs(fold):
        pairs_seed = derived_seed(seed, row, fold_name, "pairs")
        seen = classes if method.filters_pairs(fold) else None
        pairs = _open_pairs(pairs_folder, f"{row} {fold_name}", options.batch_size, pairs_seed, seen, device)
    images, labels = _rows_of_classes(store, classes)
    loss = _batch_loss(method, fold, networks, teacher.to(device), pairs, options.batch_size, seed)
    checkpoint = (state or Path("reports/state")) / digest_of(part)[:16] / "checkpoint.safetensors"
    result = train(
        networks.student,
        loss,
        images,
        labels,
        options,
        seed=derived_seed(seed, row, fold_name),
        checkpoint=checkpoint,
        device=device,
        title=f"{spec.name}: {row} {fold_name}, seed {seed}",
        target=networks.target,
        target_decay=method.target_decay or 0.0,
        companions=networks.companions,
        companion_rate=method.companion_rate,
    )
    if not writes:
        return
    card = make_card(spec, store, method=row, fold=fold_name, seed=seed, result=result, depends_on=part)
    guided = 1 if method.options.guidance_scale == 1.0 else 2
    facts = {
        "student_evaluations": method.student_evaluations,
        "teacher_evaluations": method.teacher_evaluations * guided,
        "classes": None if classes is None else list(classes),
    }
    save_model(out, networks.student, card | facts, networks.companions)
    checkpoint.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Networks:
    """What a fold's training changes; ``target`` follows the student as a moving average."""

    student: Denoiser
    target: Denoiser | None
    companions: torch.nn.ModuleDict | None


def _make_networks(
    method: Method,
    fold: Fold,
    row: str,
    seed: int,
    teacher: Denoiser,
    start: Denoiser | None,
    start_folder: Path | None,
) -> _Networks:
    student = make_student(method, fold, teacher, derived_seed(seed, row, fold.name, "weights"), start)
    with first_weights_of(derived_seed(seed, row, fold.name, "companions")):
        companions = method.companions(fold, student, teacher)
    if companions is not None and start_folder is not None:
        load_companions(start_folder, companions)
    target = None if method.target_decay is None else copy.deepcopy(student)
    return _Networks(student, target, companions)


def make_student(method: Method, fold: Fold, teacher: Denoiser, seed: int, start: Denoiser | None = None) -> Denoiser:
    """Return the student before training, for the fold's steps.

    Its weights are those of ``start`` where the fold has one; else its network is its own where the method's options
    give one, and the teacher's architecture otherwise, with the teacher's weights or fresh ones.
    """
    own = method.options.network
    if start is not None:
        network = copy.deepcopy(start.network).requires_grad_(True)
    elif own is not None:
        config = plain_config(teacher.network)
        own = own.model_copy(update={"classes": teacher.classes})
        network = build_network(network_config(own, config["sample_size"], config["in_channels"]), seed)
    elif method.initialisation == "teacher":
        network = copy.deepcopy(teacher.network).requires_grad_(True)
    else:
        network = build_network(plain_config(teacher.network), seed)
    steps = teacher.steps.subsequence(fold.index_set, method.conditioning(fold.index_set))
    return Denoiser(network, method.prediction(teacher.prediction), steps)


def _batch_loss(
    method: Method,
    fold: Fold,
    networks: _Networks,
    teacher: Denoiser,
    pairs: PairsFeed | None,
    batch_size: int,
    seed: int,
) -> BatchLoss:
    """Bind a method's loss to its networks; what it draws besides the batch is a function of (seed, step)."""
    student, target = networks.student, networks.target
    frozen = FrozenDenoiser(teacher)
    average = None if target is None else FrozenDenoiser(target.to(teacher.index_set.device))
    stream = derived_seed(seed, method.options.method, fold.name, "further")

    def loss(batch: Batch) -> Loss:
        noise = uniform = None
        if method.further_draws:
            shape = (batch_size, *batch.x0.shape[1:])
            drawn, numbers = further_noise(stream, batch.step, method.further_draws, shape, batch.x0.device)
            noise, uniform = drawn[:, batch.share], numbers[:, batch.share]
        beside = Beside(
            fold=fold,
            step=batch.step,
            labels=batch.labels,
            moving_average=None if average is None else average.given(batch.labels),
            companions=networks.companions,
            noise=noise,
            uniform=uniform,
            pairs=None if pairs is None else pairs.batch(batch.step, batch.share),
        )
        guided = frozen.given(batch.labels, method.options.guidance_scale)
        return method.loss(student.given(batch.labels), guided, batch.x0, batch.noise, batch.k, beside)

    return loss


def _open_pairs(
    folder: Path | None, who: str, batch_size: int, seed: int, classes: tuple[int, ...] | None, device: torch.device
) -> PairsFeed:
    """Return the teacher's images with their noise; those of some classes only where ``classes`` says which."""
    if folder is None:
        raise SfddmError(f"{who}: compares with the teacher's images; give --pairs")
    pairs = PairsFeed(folder, batch_size, seed, device)
    if classes is not None:
        pairs.keep(classes)
    return pairs


def _load_start(folder: Path | None, row: str, fold: Fold) -> tuple[Denoiser, dict[str, Any]] | None:
    if (folder is None) != (fold.start is None):
        wanted = f"starts from fold {fold.start}; give --start" if fold.start else "starts from no other fold"
        raise SfddmError(f"{row} {fold.name}: {wanted}")
    if folder is None or fold.start is None:
        return None
    start, card = load_model(folder)
    _check_model(folder, card, Model(row, fold.start), f"{row} {fold.name}")
    return start, card


def _check_model(folder: Path, card: dict[str, Any], expected: Model, who: str) -> None:
    if (card["method"], card["fold"]) != expected:
        raise SfddmError(
            f"{folder}: holds {card['method']} {card['fold']}, but {who} needs {expected.row} {expected.fold}"
        )


def _rows_of_classes(store: Store, classes: tuple[int, ...] | None) -> tuple[Any, Any]:
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
