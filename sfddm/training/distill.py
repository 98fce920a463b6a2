"""The stage ``distill``: one fold of one method, for one seed."""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from sfddm.data.store import open_store
from sfddm.denoiser import Denoiser, FrozenDenoiser
from sfddm.errors import SfddmError
from sfddm.methods.base import Fold, Method
from sfddm.model_folder import load_model, plain_config, save_model
from sfddm.networks import build_network
from sfddm.randomness import derived_seed
from sfddm.spec import Spec, digest_of
from sfddm.training.card import make_card
from sfddm.training.loop import train


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

    Raises:
        SfddmError: the row has no such fold, or the teacher folder is not the model of that fold's teacher.
    """
    method, fold = spec.method(row), spec.fold(row, fold_name)
    store = open_store(data / "train")
    teacher, teacher_card = load_model(teacher_folder)
    expected = fold.teacher or "teacher"
    if teacher_card["fold"] != expected:
        raise SfddmError(f"{teacher_folder}: holds fold {teacher_card['fold']}, but {row} {fold_name} needs {expected}")
    student = make_student(method, fold, teacher, derived_seed(seed, row, fold_name, "weights"))
    frozen = FrozenDenoiser(teacher.to(device))
    target = None if method.target_decay is None else copy.deepcopy(student)
    frozen_target = None if target is None else FrozenDenoiser(target.to(device))
    part = spec.student_part(row) | {"fold": fold_name, "seed": seed, "teacher": teacher_card["depends_on"]}
    checkpoint = (state or Path("reports/state")) / digest_of(part)[:16] / "checkpoint.safetensors"
    result = train(
        student,
        lambda x0, noise, k: method.loss(student, frozen, x0, noise, k, frozen_target),
        store.images,
        spec.student_training(row),
        seed=derived_seed(seed, row, fold_name),
        checkpoint=checkpoint,
        device=device,
        title=f"{spec.name}: {row} {fold_name}, seed {seed}",
        target=target,
        target_decay=method.target_decay or 0.0,
    )
    card = make_card(spec, store, method=row, fold=fold_name, seed=seed, result=result, depends_on=part)
    evaluations = {
        "student_evaluations": method.student_evaluations,
        "teacher_evaluations": method.teacher_evaluations,
    }
    save_model(out, student, card | evaluations)
    checkpoint.unlink(missing_ok=True)


def make_student(method: Method, fold: Fold, teacher: Denoiser, seed: int) -> Denoiser:
    """Return the student before training: the teacher's architecture, its weights or fresh ones, the fold's steps."""
    if method.initialisation == "teacher":
        network = copy.deepcopy(teacher.network).requires_grad_(True)
    else:
        network = build_network(plain_config(teacher.network), seed)
    steps = teacher.steps.subsequence(fold.index_set, method.conditioning(fold.index_set))
    return Denoiser(network, method.prediction(teacher.prediction), steps)
