"""Class by class: each row's KID of every class, its worst class, and how often the class asked for is what came."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from sfddm.results.rows import ClassesOfRow, Collected
from sfddm.results.scores import ClassFigure


@dataclass(frozen=True)
class ClassLine:
    """One row of the table, of one training seed.

    Attributes:
        figures: one for each class of the table; None where the row has too few images of it.
        mean, worst: of the KIDs; ``hits`` the mean share of images whose nearest real image is of the class asked for.
    """

    title: str
    method: str
    steps: int
    figures: tuple[ClassFigure | None, ...]
    mean: float
    worst: str
    hits: float


@dataclass(frozen=True)
class ClassPart:
    """One experiment: the classes' names and the lines, the teacher's first, then by falling number of steps."""

    title: str
    names: tuple[str, ...]
    lines: tuple[ClassLine, ...]
    seed: int | None


def classes_of_part(part: Collected) -> ClassPart | None:
    """Return an experiment's figures class by class, of its first training seed; None where it knows no classes."""
    seed = part.seeds[0]
    rows = [row for row in part.classes if row.seed == seed and row.rows]
    if not rows:
        return None
    count = max(figure.class_ for row in rows for figure in row.rows) + 1
    given = part.provenance.spec.get("data", {}).get("class_names") or ()
    names = tuple(given[c] if c < len(given) else str(c) for c in range(count))
    ordered = sorted(rows, key=lambda row: (row.role != "teacher", -row.steps))
    return ClassPart(part.provenance.title, names, tuple(_line(row, names) for row in ordered), seed)


def _line(row: ClassesOfRow, names: tuple[str, ...]) -> ClassLine:
    found = {figure.class_: figure for figure in row.rows}
    worst = max(row.rows, key=lambda figure: figure.kid)
    return ClassLine(
        title=row.title,
        method=row.method,
        steps=row.steps,
        figures=tuple(found.get(c) for c in range(len(names))),
        mean=fmean(figure.kid for figure in row.rows),
        worst=names[worst.class_],
        hits=fmean(figure.hits for figure in row.rows),
    )
