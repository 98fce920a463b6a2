"""Interpolation in noise: the strips of a row, its teacher above it, and the numbers that describe the paths."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sfddm.report.content import Content
from sfddm.report.pictures import Images, strip_of
from sfddm.results.measurements import PathFigure
from sfddm.results.rows import Collected, InterpolationOfRow
from sfddm.results.statistics import overlap
from sfddm.results.styles import REALISM, interval_text

#: Space and metric of each column of the table of numbers.
COLUMNS = (
    ("pixels", "path_length_ratio"),
    ("pixels", "path_largest_step"),
    ("features", "path_length_ratio"),
    ("features", "path_largest_step"),
    ("features", REALISM),
)
_KINDS = {"linear": "Linear", "spherical": "Spherical"}
_ORDER = ("teacher-reference", "teacher", "student")
_DECIMALS = 3


@dataclass(frozen=True)
class PathLine:
    """Whose paths, of which kind, and (value, text, interval) for each of ``COLUMNS``; None where undefined."""

    who: str
    kind: str
    cells: tuple[tuple[float, str, str] | None, ...]


def interpolations_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return what the page shows of an experiment's interpolations, those of its first seed; None without any."""
    if not part.interpolations:
        return None
    samples = content.samples[part.provenance.experiment]
    seed = min(one.seed for one in part.interpolations)
    shown = sorted((one for one in part.interpolations if one.seed == seed), key=lambda one: -one.steps)
    return {
        "title": part.provenance.title,
        "seed": seed,
        "pairs": shown[0].protocol.get("pairs"),
        "rows": [
            {
                "title": one.title,
                "steps": one.steps,
                "lines": _lines(one),
                "sentence": realism_sentence(one),
                "strips": _strips(one, samples),
            }
            for one in shown
        ],
    }


def _name(who: str, one: InterpolationOfRow) -> str:
    if who == "student":
        return f"{one.title}, {one.steps} steps"
    if who == "teacher":
        return f"Teacher, {one.steps} steps"
    return f"Teacher, {one.protocol.get('teacher_reference_steps') or 'reference'} steps"


def _lines(one: InterpolationOfRow) -> list[PathLine]:
    figures = {(row.who, row.kind, row.space, row.metric): row for row in one.rows}
    rows = [(who, kind, _name(who, one), title) for kind, title in _KINDS.items() for who in _ORDER]
    rows.append(("student", "cross-fade", "Cross-fade of the same ends", "Control"))
    lines = [
        PathLine(name, title, tuple(_cell(figures.get((who, kind, *column))) for column in COLUMNS))
        for who, kind, name, title in rows
    ]
    return [line for line in lines if any(line.cells)]


def _cell(row: PathFigure | None) -> tuple[float, str, str] | None:
    if row is None:
        return None
    return row.value, f"{row.value:.{_DECIMALS}f}", interval_text(row.low, row.high, _DECIMALS)


def realism_sentence(one: InterpolationOfRow) -> str:
    """Say whether the row's inner images are more realistic than a cross-fade's, by their intervals."""
    found = {row.kind: row for row in one.rows if row.metric == REALISM and row.who == "student"}
    fade = found.get("cross-fade")
    parts = []
    for kind, title in _KINDS.items():
        row = found.get(kind)
        if row is None or fade is None:
            continue
        if row.low is None or row.high is None or fade.low is None or fade.high is None:
            verdict = "without an interval"
        elif overlap(row, fade):
            verdict = "not distinguishable"
        else:
            verdict = "nearer to real images" if row.high < fade.low else "farther from real images"
        parts.append(f"{title.lower()} {row.value:.2f} against {fade.value:.2f} ({verdict})")
    return f"Realism of the inner images, against that of a cross-fade: {'; '.join(parts)}." if parts else ""


def _strips(one: InterpolationOfRow, samples: Mapping[str, Images]) -> list[dict[str, Any]]:
    """Return each kept path's strips, teacher above student, and below them the cross-fade."""
    prefix = f"interpolation/{one.method}/{one.steps}/{one.seed}"
    strips = []
    for kind, title in _KINDS.items():
        present = [(who, samples[name]) for who in _ORDER if (name := f"{prefix}/{kind}/{who}") in samples]
        for pair in range(len(present[0][1]) if present else 0):
            group = f"{title}, from noise {2 * pair} to noise {2 * pair + 1}"
            strips += [_strip(images[pair], group, _name(who, one)) for who, images in present]
    for pair, fade in enumerate(samples.get(f"{prefix}/cross-fade/student", ())):
        strips.append(_strip(fade, "Control: cross-fade of pixels", f"Ends {2 * pair} and {2 * pair + 1}"))
    return strips


def _strip(images: Images, group: str, title: str) -> dict[str, Any]:
    return strip_of(images, group, title, f"{title}: {group}, {len(images)} images, left to right")
