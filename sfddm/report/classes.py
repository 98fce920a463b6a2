"""Class by class: each row's KID of every class, its worst class, and how often the class asked for is what came."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean
from typing import Any

import pandas as pd

from sfddm.report.frame import in_reading_order, lines_of
from sfddm.results.rows import Collected


@dataclass(frozen=True)
class ClassLine:
    """One row of the table, of one training seed.

    Attributes:
        figures: one for each class of the table; None where the row has too few images of it.
        mean, worst: of the KIDs; ``hits`` the mean share of images whose nearest real image is of the class asked for.
    """

    title: str
    steps: int
    figures: tuple[Any, ...]
    mean: float
    worst: str
    hits: float


@dataclass(frozen=True)
class ClassPart:
    """One experiment: the classes' names and the lines, the teacher's first, then by falling number of steps."""

    title: str
    names: tuple[str, ...]
    lines: tuple[ClassLine, ...]
    seed: int


def classes_of(part: Collected, frame: pd.DataFrame) -> ClassPart | None:
    """Return an experiment's figures class by class, of its first training seed; None where it knows no classes."""
    seed = part.seeds[0]
    own = frame[frame.seed == seed]
    if own.empty:
        return None
    given = part.provenance.spec.get("data", {}).get("class_names") or ()
    names = tuple(given[c] if c < len(given) else str(c) for c in range(own.item.max() + 1))
    lines = []
    for _, row in in_reading_order(own).groupby(["method", "steps"], sort=False):
        kid, hits = row[row.metric == "kid"], row[row.metric == "hits"]
        figures = {figure.item: figure for figure in lines_of(kid)}
        shown = tuple(figures.get(c) for c in range(len(names)))
        worst = names[kid.item[kid.value.idxmax()]]
        first = row.iloc[0]
        lines.append(ClassLine(first.title, first.steps, shown, fmean(kid.value), worst, fmean(hits.value)))
    return ClassPart(part.provenance.title, names, tuple(lines), seed)
