"""Gather everything that was measured in one experiment into ``metrics.json`` and ``samples.npz``."""

from __future__ import annotations

import platform
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfddm.methods.base import Method
from sfddm.report.points import are_points
from sfddm.results.costs import Card, Sampling
from sfddm.results.files import read_result, write_result
from sfddm.results.rows import AuditOfRow, ClassesOfRow, Collected, InterpolationOfRow, Provenance, Role, Row, RowOf
from sfddm.results.scores import Audit, Interpolation, Score
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file
from sfddm.spec.experiment import Spec

#: Images of each row that are kept for the report.
KEPT_IMAGES = 64
#: Points of each row, where the data are points.
KEPT_POINTS = 1024
#: Interpolated paths of each row that are kept for the report.
KEPT_PATHS = 2
#: The method's name in the rows of real against real.
REAL = "real"

Images = NDArray[np.uint8]


def collect(spec: Spec, runs: Path, out: Path) -> None:
    """Write ``out/metrics.json`` and ``out/samples.npz`` from a finished run.

    Args:
        spec: the experiment.
        runs: the experiment's folder, as docs/architecture.md lays it out.
        out: the folder to write to; it is made if need be, and other files in it are left alone.

    Raises:
        SfddmError: a file of the run is missing or broken, or a figure is not finite; nothing is written.
    """
    rows: list[Row] = []
    kept: dict[str, Images] = {}
    cards: list[Card] = []
    audits: list[AuditOfRow] = []
    interpolations: list[InterpolationOfRow] = []
    classes: list[ClassesOfRow] = []
    for seed in spec.seeds:
        folder = runs / f"seed-{seed}"
        teacher = read_result(folder / "teacher" / "model" / "card.json", Card, "train")
        cards.append(teacher)
        for row, steps in spec.rows():
            trained = _trained(spec, folder, row, steps)
            cards.extend(trained)
            place = folder / row / f"steps-{steps}"
            sampling = read_result(place / "samples.json", Sampling, "sample")
            images = _first_images(place / "samples.npy", expected=sampling.images, written_by="sample")
            kept[f"{row}/{steps}/{seed}"] = images
            whose = _whose(spec, row, steps, seed)
            facts = vars(whose) | _facts(spec, row, steps) | _costs(whose, trained, teacher)
            facts |= _sampling_costs(sampling, (trained or [teacher])[-1])
            score = read_result(place / "score.json", Score, "evaluate")
            rows.extend(_rows_of(score, facts))
            if score.by_class:
                classes.append(ClassesOfRow(**vars(whose), rows=score.by_class))
            if (row, steps) in spec.measured_rows("agreement") and (place / "agreement.json").is_file():
                rows.extend(_rows_of(read_result(place / "agreement.json", Score, "agree"), facts))
            if (row, steps) in spec.measured_rows("audit"):
                audits += _audits(place, whose)
            if (row, steps) in spec.measured_rows("interpolation"):
                found, strips = _interpolations(place / "interpolation", whose)
                interpolations += found
                kept |= {f"interpolation/{row}/{steps}/{seed}/{name}": paths for name, paths in strips.items()}
    kept[REAL] = _first_images(
        runs / "data" / spec.evaluation.reference_split / "images.npy", expected=None, written_by="fetch"
    )
    baseline = read_result(runs / "reference" / "score.json", Score, "reference")
    real = {"experiment": spec.name, "method": REAL, "role": "real", "title": "Real against real"}
    collected = Collected(
        rows=tuple(rows),
        baseline=tuple(_rows_of(baseline, real)),
        audits=tuple(audits),
        interpolations=tuple(interpolations),
        classes=tuple(classes),
        provenance=_provenance(spec, cards),
    )
    # The samples go first: whoever finds metrics.json finds its samples too.
    with atomic_file(out / "samples.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **kept)  # type: ignore[arg-type]
    write_result(out / "metrics.json", collected)


def _trained(spec: Spec, folder: Path, row: str, steps: int) -> list[Card]:
    """Return the cards of the trainings that a row needs, in the order of its folds."""
    folds = spec.method(row).folds(steps)
    return [read_result(folder / row / f"fold-{fold.name}" / "card.json", Card, "distill") for fold in folds]


def _whose(spec: Spec, row: str, steps: int, seed: int) -> RowOf:
    method = spec.method(row)
    role: Role = "teacher" if method.is_reference else "method"
    title = method.row_title(steps)
    return RowOf(experiment=spec.name, method=row, role=role, title=title, steps=steps, seed=seed)


def _facts(spec: Spec, row: str, steps: int) -> dict[str, Any]:
    method = spec.method(row)
    return {
        "method_name": method.name,
        "index_set": method.index_set(steps),
        "starts_as_teacher": _starts_as_teacher(method, steps),
        "options": spec.methods[row].model_dump(mode="json"),
    }


def _starts_as_teacher(method: Method, steps: int) -> bool:
    """Say whether every training starts with the teacher's weights and is told the teacher's own indices."""
    folds = method.folds(steps)
    told = all(fold.start is None and method.conditioning(fold.index_set) == fold.index_set for fold in folds)
    return bool(folds) and told and method.initialisation == "teacher"


def _costs(whose: RowOf, trained: list[Card], teacher: Card) -> dict[str, Any]:
    """Return the training costs of a row: those of its folds, or the teacher's own for the teacher's row."""
    counted = [teacher] if whose.role == "teacher" else trained
    return {
        "folds": len(trained),
        "images_seen": sum(card.images_seen for card in counted),
        "train_seconds": sum(card.train_seconds for card in counted),
        "network_evaluations": sum(
            card.images_seen * (card.student_evaluations + card.teacher_evaluations) for card in counted
        ),
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


def _rows_of(score: Score, facts: dict[str, Any]) -> list[Row]:
    return [Row(**facts, **vars(figure), protocol=score.protocol) for figure in score.rows]


def _audits(place: Path, whose: RowOf) -> list[AuditOfRow]:
    """Return the audit of a row's samples, or nothing where none was made."""
    path = place / "audit.json"
    if not path.is_file():
        return []
    audit = read_result(path, Audit, "audit")
    return [AuditOfRow(**vars(whose), rows=audit.rows, note=audit.note)]


def _interpolations(folder: Path, whose: RowOf) -> tuple[list[InterpolationOfRow], dict[str, Images]]:
    """Return a row's interpolation and the first of its paths by "kind/who", or nothing where none was made.

    Raises:
        SfddmError: the figures are there but their strips are not, or not as a whole.
    """
    if not (folder / "interpolation.json").is_file():
        return [], {}
    read = read_result(folder / "interpolation.json", Interpolation, "interpolate")
    path = folder / "strips.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            strips = {name: np.array(archive[name][:KEPT_PATHS]) for name in archive.files}
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm interpolate` writes it") from None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise SfddmError(f"{path}: not an archive of arrays ({error})") from None
    return [InterpolationOfRow(**vars(whose), rows=read.rows, protocol=read.protocol)], strips


def _first_images(path: Path, expected: int | None, written_by: str) -> Images:
    """Return the first images of an array file, shape (up to 64, H, W, C), without reading the rest; more of points.

    Raises:
        SfddmError: the file is missing, is not a uint8 array (N, H, W, C) of images or (N, 1, 1, 2) of points, or N is
            not ``expected``.
    """
    try:
        images = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm {written_by}` writes it") from None
    except (ValueError, OSError, EOFError) as error:
        raise SfddmError(f"{path}: not an array file ({error})") from None
    points = are_points(images)
    if images.dtype != np.uint8 or images.ndim != 4 or (images.shape[-1] not in (1, 3) and not points):
        raise SfddmError(
            f"{path}: must hold uint8 images of shape (N, H, W, 1 or 3), or points (N, 1, 1, 2), got {images.dtype} of "
            f"shape {images.shape}"
        )
    if expected is not None and len(images) != expected:
        raise SfddmError(f"{path}: holds {len(images)} images, but samples.json beside it says {expected}")
    return np.array(images[: KEPT_POINTS if points else KEPT_IMAGES])


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
