"""Gather everything that was measured in one experiment into ``metrics.json`` and ``samples.npz``."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sfddm.data.store import open_store
from sfddm.evaluation.measurements.base import find_measurement
from sfddm.report.pictures import Images
from sfddm.report.points import are_points
from sfddm.results.costs import Card, Sampling
from sfddm.results.files import read_arrays, read_result, write_result
from sfddm.results.further_seed import FurtherSeed, seeds_of_rows
from sfddm.results.index_set import FoundIndexSet
from sfddm.results.measurements import Audit, Freedom, Interpolation, Measured
from sfddm.results.rows import (
    AuditOfRow,
    ClassesOfRow,
    Collected,
    FreedomOfRow,
    InterpolationOfRow,
    LossesOfTraining,
    Provenance,
    Row,
    RowOf,
)
from sfddm.results.score import Score
from sfddm.runtime.arrays import open_array
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file
from sfddm.spec.experiment import Spec
from sfddm.spec.facts import row_facts, row_of
from sfddm.spec.seeds import SeedsUntilDecided

#: Images, points and interpolated paths of each row that are kept for the report.
KEPT_IMAGES, KEPT_POINTS, KEPT_PATHS = 64, 1024, 2
#: The method's name in the rows of real against real.
REAL = "real"


@dataclass(frozen=True)
class _Gathered:
    """What is found on the way from row to row; ``kept`` are the images."""

    cards: list[Card] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    audits: list[AuditOfRow] = field(default_factory=list)
    freedoms: list[FreedomOfRow] = field(default_factory=list)
    interpolations: list[InterpolationOfRow] = field(default_factory=list)
    classes: list[ClassesOfRow] = field(default_factory=list)
    trainings: dict[tuple[str, str, int], LossesOfTraining] = field(default_factory=dict)
    kept: dict[str, Images] = field(default_factory=dict)


def collect(spec: Spec, runs: Path, out: Path) -> None:
    """Write ``out/metrics.json`` and ``out/samples.npz`` from a finished run.

    Args:
        spec: the experiment.
        runs: the experiment's folder, as docs/architecture.md lays it out.
        out: the folder to write to; it is made if need be, and other files in it are left alone.

    Raises:
        SfddmError: a file of the run is missing or broken, or a figure is not finite; nothing is written.
    """
    collected, kept = gather(spec, runs, len(spec.every_seed))
    # The samples go first: whoever finds metrics.json finds its samples too.
    with atomic_file(out / "samples.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **kept)  # type: ignore[arg-type]
    write_result(out / "metrics.json", collected)


def gather(spec: Spec, runs: Path, most: int) -> tuple[Collected, dict[str, Images]]:
    """Return what was measured, and the images that the report shows, by name.

    Args:
        spec: the experiment.
        runs: its folder.
        most: of rows whose number of seeds the run decides, at most so many seeds.

    Raises:
        SfddmError: a file of the run is missing or broken, or a figure is not finite.
    """
    found, seeds = _Gathered(), _seeds_of_rows(spec, runs, most)
    for seed in sorted(set().union(*seeds.values())):
        teacher = read_result(runs / f"seed-{seed}" / "teacher" / "model" / "card.json", Card, "train")
        found.cards.append(teacher)
        for row, steps in spec.rows():
            if seed in seeds[row]:
                _gather_row(spec, runs / f"seed-{seed}" / row, row_of(spec, row, steps, seed), teacher, found)
    found.kept[REAL] = _kept(open_store(runs / "data" / spec.evaluation.reference_split).images)
    further, facts = spec.evaluation.extractors[1:], {"experiment": spec.name, "method": REAL, "role": "real"}
    places = [runs / "reference", *(runs / "reference" / extractor for extractor in further)]
    baselines = [read_result(place / "score.json", Score, "reference") for place in places]
    facts |= {"title": "Real against real"}
    collected = Collected(
        rows=tuple(found.rows),
        baseline=tuple(row for baseline in baselines for row in _rows_of(baseline, facts)),
        audits=tuple(found.audits),
        freedoms=tuple(found.freedoms),
        interpolations=tuple(found.interpolations),
        classes=tuple(found.classes),
        trainings=tuple(found.trainings.values()),
        provenance=_provenance(spec, found.cards),
    )
    return collected, found.kept


def _seeds_of_rows(spec: Spec, runs: Path, most: int) -> dict[str, tuple[int, ...]]:
    """Return the training seeds of each row: the spec's, or as many as were decided on, at most ``most``."""
    if not isinstance(spec.seeds, SeedsUntilDecided):
        return dict.fromkeys(spec.methods, spec.seeds)
    decisions: list[FurtherSeed] = []
    for count in range(spec.seeds.at_least, most):
        decisions.append(read_result(runs / "seeds" / f"after-{count}.json", FurtherSeed, "further-seed"))
        if not decisions[-1].rows:
            break
    return seeds_of_rows(spec.methods, spec.seeds.at_least, decisions)


def _gather_row(spec: Spec, folder: Path, whose: RowOf, teacher: Card, found: _Gathered) -> None:
    """Read the files of one row; measurements that were not asked for, or not made, are left out."""
    row, steps = whose.method, whose.steps
    plan, place = spec.plan(row, steps), folder / f"steps-{steps}"
    names = [training.name for training in plan.trainings]
    trained = [read_result(folder / f"fold-{name}" / "card.json", Card, "distill") for name in names]
    found.cards.extend(trained)
    cards = {"teacher": teacher} if whose.role == "teacher" else dict(zip(names, trained, strict=True))
    _gather_losses(whose, cards, found)
    sampling = read_result(place / "samples.json", Sampling, "sample")
    images = _first_samples(place / "samples.npy", sampling.images)
    found.kept[f"{row}/{steps}/{whose.seed}"] = images
    facts = row_facts(spec, row, steps, whose.seed)
    if plan.index_set is None:
        facts["index_set"] = read_result(place / "index_set.json", FoundIndexSet, "index-set").index_set
    facts |= _training_costs([teacher] if whose.role == "teacher" else trained)
    facts |= _sampling_costs(sampling, (trained or [teacher])[-1])
    score = read_result(place / "score.json", Score, "evaluate")
    found.rows.extend(_rows_of(score, facts))
    if score.by_class:
        found.classes.append(ClassesOfRow(**vars(whose), rows=score.by_class))
    for extractor in spec.evaluation.extractors[1:]:
        found.rows.extend(_rows_of(read_result(place / f"score-{extractor}.json", Score, "evaluate"), facts))

    for name in spec.evaluation.measured:
        if (row, steps) in spec.measured_rows(name) and (place / f"{name}.json").is_file():
            _gather_measurement(name, place, whose, facts, found)


def _gather_losses(whose: RowOf, cards: dict[str, Card], found: _Gathered) -> None:
    """Keep the losses of a row's trainings, which several numbers of steps may share, once."""
    facts = {key: getattr(whose, key) for key in ("experiment", "method", "title", "seed")}
    for fold, card in cards.items():
        if card.losses:
            one = LossesOfTraining(**facts, fold=fold, losses=card.losses)
            found.trainings.setdefault((whose.method, fold, whose.seed), one)


def _gather_measurement(name: str, place: Path, whose: RowOf, facts: dict[str, Any], found: _Gathered) -> None:
    """Read one further measurement of a row; what the report shows in tables of its own is kept apart."""
    file = place / f"{name}.json"
    if name == "audit":
        audit = read_result(file, Audit, "measure")
        found.audits.append(AuditOfRow(**vars(whose), rows=audit.rows, note=audit.note))
    elif name == "freedom":
        freedom = read_result(file, Freedom, "measure")
        found.freedoms.append(FreedomOfRow(**vars(whose), rows=freedom.rows, left_out=freedom.left_out))
    elif name == "interpolation":
        paths = read_result(file, Interpolation, "measure")
        found.interpolations.append(InterpolationOfRow(**vars(whose), rows=paths.rows, protocol=paths.protocol))
        strips = read_arrays(file.with_suffix(".npz"), "measure")
        prefix = f"interpolation/{whose.method}/{whose.steps}/{whose.seed}"
        found.kept.update({f"{prefix}/{name}": paths[:KEPT_PATHS] for name, paths in strips.items()})
    elif find_measurement(name).template is None:
        found.rows.extend(_rows_of(read_result(file, Measured, "measure"), facts))


def _training_costs(cards: list[Card]) -> dict[str, Any]:
    evaluations = [card.images_seen * (card.student_evaluations + card.teacher_evaluations) for card in cards]
    return {
        "images_seen": sum(card.images_seen for card in cards),
        "train_seconds": sum(card.train_seconds for card in cards),
        "network_evaluations": sum(evaluations),
    }


def _sampling_costs(sampling: Sampling, sampled: Card) -> dict[str, Any]:
    """Return what one image costs; the network's size is stated by the sampling, or by the model's card."""
    return {
        "nfe": sampling.nfe,
        "sample_seconds_per_image": sampling.seconds / sampling.images,
        "parameters": sampled.parameters if sampling.parameters is None else sampling.parameters,
        "active_parameters": sampling.active_parameters,
        "flops_per_evaluation": sampling.flops_per_evaluation,
    }


def _rows_of(score: Score | Measured, facts: dict[str, Any]) -> tuple[Row, ...]:
    return tuple(Row(**facts, **vars(figure), protocol=score.protocol) for figure in score.rows)


def _first_samples(path: Path, expected: int) -> Images:
    """Return what is kept of a file of samples.

    Raises:
        SfddmError: the file is missing, is not a uint8 array (N, H, W, C) of images or (N, 1, 1, 2) of points, or N is
            not ``expected``.
    """
    try:
        images = open_array(path)
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm sample` writes it") from None
    if images.dtype != np.uint8 or images.ndim != 4 or (images.shape[-1] not in (1, 3) and not are_points(images)):
        raise SfddmError(
            f"{path}: must hold uint8 images of shape (N, H, W, 1 or 3), or points (N, 1, 1, 2), got {images.dtype} of "
            f"shape {images.shape}"
        )
    if len(images) != expected:
        raise SfddmError(f"{path}: holds {len(images)} images, but samples.json beside it says {expected}")
    return _kept(images)


def _kept(images: Images) -> Images:
    """Return the first of (N, H, W, C) images, without reading the rest of a mapped file; more of points."""
    return np.array(images[: KEPT_POINTS if are_points(images) else KEPT_IMAGES])


def _provenance(spec: Spec, cards: list[Card]) -> Provenance:
    """Describe the run; the first card is a teacher's. Differing commits or machines are all named."""
    first = cards[0]
    return Provenance(
        experiment=spec.name,
        title=spec.title,
        notes=spec.notes,
        spec=spec.model_dump(mode="json"),
        spec_digest=spec.digest,
        commit=", ".join(dict.fromkeys(card.commit or "unknown" for card in cards)),
        data=first.data,
        versions=first.versions,
        hardware="; ".join(dict.fromkeys(card.hardware for card in cards)),
        python=first.versions.get("python", platform.python_version()),
    )
