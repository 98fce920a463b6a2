"""Cuts a spec into what each stage computes with. A stage sees its own section alone, and depends on nothing else."""

from __future__ import annotations

from sfddm.evaluation.sections import ClassPartition
from sfddm.methods.base import Share, Training
from sfddm.runtime.errors import SfddmError
from sfddm.spec.experiment import Spec
from sfddm.training.sections import Origin, StudentTraining, TeacherTraining


def teacher_training(spec: Spec, seed: int) -> TeacherTraining:
    """Return what the stage ``train`` computes with."""
    shape = (spec.data.channels, spec.data.image_size, spec.data.image_size)
    return TeacherTraining(
        origin_of(spec, f"teacher, seed {seed}"), seed, shape, spec.schedule, spec.network, spec.teacher
    )


def student_training(spec: Spec, row: str, fold: str, seed: int) -> StudentTraining:
    """Return what the stage ``distill`` computes with.

    Raises:
        SfddmError: the spec has no such row, or the row no such training.
    """
    training = spec.training(row, fold)
    options = training.options or spec.students
    learns_from = spec.teacher_of(row, fold)
    return StudentTraining(
        origin_of(spec, f"{row} {fold}, seed {seed}"),
        row,
        seed,
        spec.methods[row],
        spec.schedule.build(),
        training,
        options,
        learns_from,
    )


def class_partition(spec: Spec, row: str) -> ClassPartition:
    """Return what the stage ``partition`` computes with.

    Raises:
        SfddmError: the row's students do not share the classes.
    """
    share = shared_classes(spec, row)
    if share is None or spec.network.classes is None:
        raise SfddmError(f"{spec.name}: the students of {row} do not share the classes; there is nothing to partition")
    return ClassPartition(share, spec.network.classes, spec.evaluation)


def shared_classes(spec: Spec, row: str) -> Share | None:
    """Return a share of the classes that a student of the row has, if any has one."""
    trainings: list[Training] = list(spec.trainings(row).values())
    return next((training.share for training in trainings if training.share), None)


def origin_of(spec: Spec, what: str) -> Origin:
    """Return the experiment that a training is part of, and its title in the log."""
    return Origin(spec.name, spec.digest, f"{spec.name}: {what}")
