"""Learning curves: how the loss of each training fell, as small lines that share an axis within a training."""

from __future__ import annotations

from collections.abc import Sequence
from math import log
from statistics import fmean
from typing import Any

from sfddm.report.content import Content
from sfddm.results.rows import Collected, LossesOfTraining

#: Of a line, in units of its picture, and the free room above and below.
WIDTH, HEIGHT, _MARGIN = 120, 26, 2
_BARS = "▁▂▃▄▅▆▇█"


def curves_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return one line for each training of an experiment, with a path for each seed; None where no loss was kept."""
    if not part.trainings:
        return None
    groups: dict[tuple[str, str], list[LossesOfTraining]] = {}
    for one in part.trainings:
        groups.setdefault((one.method, one.fold), []).append(one)
    return {
        "title": part.provenance.title,
        "size": (WIDTH, HEIGHT),
        "lines": [_line(some) for some in groups.values()],
    }


def _line(some: Sequence[LossesOfTraining]) -> dict[str, Any]:
    curves = [one.losses for one in some]
    heights = heights_of(curves)
    return {
        "title": some[0].title,
        "fold": some[0].fold,
        "first": fmean(curve[0] for curve in curves),
        "last": fmean(curve[-1] for curve in curves),
        "paths": [_path(one) for one in heights],
    }


def heights_of(curves: Sequence[Sequence[float]]) -> list[list[float]]:
    """Return curves between 0, their lowest loss of all, and 1, their highest; by logarithms where all are positive."""
    if min(map(min, curves)) > 0:
        curves = [[log(value) for value in curve] for curve in curves]
    lowest, highest = min(map(min, curves)), max(map(max, curves))
    span = (highest - lowest) or 1.0
    return [[(value - lowest) / span for value in curve] for curve in curves]


def _path(heights: Sequence[float]) -> str:
    """Return the points of an SVG polyline."""
    step = WIDTH / max(len(heights) - 1, 1)
    room = HEIGHT - 2 * _MARGIN
    return " ".join(f"{k * step:.0f},{HEIGHT - _MARGIN - room * height:.1f}" for k, height in enumerate(heights))


def text_curve(losses: Sequence[float]) -> str:
    """Return a curve as a line of bars, for text."""
    (heights,) = heights_of([losses])
    return "".join(_BARS[round(height * (len(_BARS) - 1))] for height in heights)
