"""Cuts a spec into what each stage computes with. A stage sees its own section alone, and depends on nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sfddm.evaluation.measurements.base import find_measurement
from sfddm.evaluation.sections import ClassifierTraining, ClassPartition, Scoring
from sfddm.extractors.spec import Extraction
from sfddm.methods.base import Share, Training
from sfddm.runtime.errors import SfddmError
from sfddm.sampling.sections import PairSampling, RowSampling
from sfddm.spec.experiment import Spec
from sfddm.training.sections import Origin, StudentTraining, TeacherTraining


def teacher_training(spec: Spec, seed: int) -> TeacherTraining:
    """Return what the stage ``train`` computes with."""
    shape, origin = image_shape(spec), origin_of(spec, f"teacher, seed {seed}")
    return TeacherTraining(origin, seed, shape, spec.schedule, spec.network, spec.teacher)


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
    extraction = Extraction(**_evaluation_fields(spec, Extraction))
    return ClassPartition(share, spec.network.classes, extraction)


def shared_classes(spec: Spec, row: str) -> Share | None:
    """Return a share of the classes that a student of the row has, if any has one."""
    trainings: list[Training] = list(spec.trainings(row).values())
    return next((training.share for training in trainings if training.share), None)


def origin_of(spec: Spec, what: str) -> Origin:
    """Return the experiment that a training is part of, and its title in the log."""
    return Origin(spec.name, spec.digest, f"{spec.name}: {what}")


def pair_sampling(spec: Spec, seed: int) -> PairSampling:
    """Return what the stage ``pairs`` computes with.

    Raises:
        SfddmError: the spec asks for no pairs.
    """
    if spec.pairs is None:
        raise SfddmError(f"{spec.name}: asks for no pairs; give pairs")
    size = spec.evaluation.batch_size
    return PairSampling(spec.name, spec.pairs, spec.schedule.timesteps, image_shape(spec), seed, size)


def row_sampling(spec: Spec, row: str, steps: int) -> RowSampling:
    """Return what the stages ``sample`` and ``index-set`` compute with.

    Raises:
        SfddmError: the spec has no such row, or the row cannot have so many steps.
    """
    plan, evaluation = spec.plan(row, steps), spec.evaluation
    return RowSampling(
        experiment=spec.name,
        row=row,
        steps=steps,
        index_set=plan.index_set,
        sampler=plan.sampler,
        guidance_scale=1.0 if plan.trainings else spec.methods[row].guidance_scale,
        shape=image_shape(spec),
        count=evaluation.samples,
        seed=evaluation.seed,
        batch_size=evaluation.batch_size,
    )


def image_shape(spec: Spec) -> tuple[int, int, int]:
    """Return (C, H, W) of an image."""
    return spec.data.channels, spec.data.image_size, spec.data.image_size


def scoring(spec: Spec, extractor: str | None = None, weights: Path | None = None) -> Scoring:
    """Return what the stages ``reference`` and ``evaluate`` compute with; ``extractor`` None is the main one.

    Figures class by class are of the main extractor only. ``weights``: instead of those that the spec states.

    Raises:
        SfddmError: the spec has no such extractor.
    """
    evaluation, fields = spec.evaluation, _evaluation_fields(spec, Scoring)
    extractor = extractor or evaluation.extractor
    if extractor not in evaluation.extractors:
        known = ", ".join(evaluation.extractors)
        raise SfddmError(f"{spec.name}: evaluation.extractors has no {extractor!r}; it has {known}")
    if extractor != evaluation.extractor:
        fields |= {"extractor": extractor, "classes": None}
    return Scoring(**fields | {"extractor_weights": weights or evaluation.weights_of(extractor)})


def classifier_training(spec: Spec) -> ClassifierTraining:
    """Return what the stage ``classifier`` computes with."""
    return ClassifierTraining(image_shape(spec), "test" in spec.data.splits)


def measurement(spec: Spec, name: str, row: str, steps: int) -> Any:
    """Return what a measurement of a row computes with, of the measurement's own ``Section``.

    Raises:
        SfddmError: there is no such measurement, or the row cannot be measured so.
    """
    if spec.data.points and not find_measurement(name).for_points:
        raise SfddmError(f"measurement: {name} is for images, not for points")
    kind = find_measurement(name).Section
    fields = _evaluation_fields(spec, kind)
    if "student" in kind.model_fields:
        fields |= _sampling_fields(spec, name, row, steps)
    return kind(**{field: value for field, value in fields.items() if field in kind.model_fields})


def _evaluation_fields(spec: Spec, kind: type[Any]) -> dict[str, Any]:
    """Return the fields of a section that the spec has."""
    data = {"data_label": spec.data.label, "image_size": spec.data.image_size, "channels": spec.data.channels}
    main = spec.evaluation.extractor
    own = {"extractor": main, "extractor_weights": spec.evaluation.weights_of(main), "classes": spec.network.classes}
    known = dict(spec.evaluation) | data | own
    return {name: known[name] for name in kind.model_fields if name in known}


def _sampling_fields(spec: Spec, name: str, row: str, steps: int) -> dict[str, Any]:
    student = row_sampling(spec, row, steps)
    if student.index_set is None:
        raise SfddmError(f"evaluation.{name}: {row} has no index set without its file; leave it out")
    references = [other for other in spec.methods if spec.method(other).is_reference]
    lengths = [spec.plan(other, length).index_set or () for other in references for length in spec.steps_of(other)]
    return {
        "student": student,
        "teacher_guidance_scale": spec.methods[row].guidance_scale,
        "teacher_index_set": max(lengths, key=len, default=None),
    }
