"""Agreement with the teacher: each row's figures beside their controls, means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfddm.evaluation.agreement import CONTROL, METRICS
from sfddm.report.tables import Cell, mean_over_seeds
from sfddm.results.rows import Collected, Row
from sfddm.results.styles import style_of

#: Every metric of agreement, the controls too: they have a section of their own and stay out of the other tables.
AGREEMENT_METRICS = frozenset(METRICS) | {metric + CONTROL for metric in METRICS}
#: How each metric's column is headed, and what it is called in a sentence.
_HEADINGS = {
    "psnr_teacher": ("PSNR, dB", "higher is nearer", "PSNR"),
    "ssim_teacher": ("SSIM", "higher is nearer", "SSIM"),
    "feature_distance_teacher": ("Feature distance", "lower is nearer", "feature distance"),
    "l1_teacher": ("L1 distance", "lower is nearer", "L1 distance"),
}


@dataclass(frozen=True)
class Pair:
    """A figure and its control. ``nearer``: the figure is on the better side, and their intervals do not overlap."""

    same: Cell
    other: Cell
    nearer: bool


@dataclass(frozen=True)
class AgreementLine:
    """One row of the table: a pair for each metric of the table, None where it was not measured."""

    title: str
    method: str
    steps: int
    pairs: tuple[Pair | None, ...]


@dataclass(frozen=True)
class AgreementPart:
    """One experiment: groups of lines at the same steps, many steps first; and what they add up to, in words.

    ``headings``: name and better side of each metric that was measured in any line.
    """

    title: str
    label: str
    headings: tuple[tuple[str, str], ...]
    groups: tuple[tuple[AgreementLine, ...], ...]
    sentence: str
    settings: dict[str, str]


def agreement_of(part: Collected) -> AgreementPart | None:
    """Return an experiment's agreement with its teacher; None where none was measured.

    The teacher's own row is left out: it would agree with itself.
    """
    found: dict[tuple[str, int], dict[str, list[Row]]] = {}
    for row in part.rows:
        if row.metric in AGREEMENT_METRICS and row.role == "method" and row.steps is not None:
            found.setdefault((row.method, row.steps), {}).setdefault(row.metric, []).append(row)
    if not found:
        return None
    measured = [metric for metric in METRICS if any(metric in rows for rows in found.values())]
    lines = [
        _line(method, steps, rows, measured, part.provenance.confidence) for (method, steps), rows in found.items()
    ]
    by_steps = [
        tuple(line for line in lines if line.steps == steps) for steps in sorted({line.steps for line in lines})[::-1]
    ]
    first = next(row for rows in found.values() for some in rows.values() for row in some)
    labels = {row.label for row in part.rows if row.metric == METRICS[2]}
    settings = first.protocol.get("settings", {})
    headings = tuple(_HEADINGS[metric][:2] for metric in measured)
    return AgreementPart(
        part.provenance.title,
        " / ".join(sorted(labels)),
        headings,
        tuple(by_steps),
        sentence_of(lines, measured),
        dict(settings),
    )


def _line(
    method: str, steps: int, rows: dict[str, list[Row]], metrics: Sequence[str], confidence: float
) -> AgreementLine:
    title = next(some[0].title for some in rows.values())
    return AgreementLine(title, method, steps, tuple(_pair(metric, rows, confidence) for metric in metrics))


def _pair(metric: str, rows: dict[str, list[Row]], confidence: float) -> Pair | None:
    if metric not in rows or metric + CONTROL not in rows:
        return None
    same, other = (mean_over_seeds(rows[name], confidence) for name in (metric, metric + CONTROL))
    higher = style_of(metric).better == "higher"
    below, above = (other, same) if higher else (same, other)
    nearer = below.high is not None and above.low is not None and below.high < above.low
    return Pair(same, other, nearer)


def sentence_of(lines: Sequence[AgreementLine], metrics: Sequence[str]) -> str:
    """Say in how many rows the same noise brings images nearer to the teacher's than other noise does.

    Args:
        lines: the rows.
        metrics: what the pairs of each line are of, in their order.
    """
    counts = []
    for position, metric in enumerate(metrics):
        pairs = [line.pairs[position] for line in lines]
        measured = [pair for pair in pairs if pair is not None]
        if measured:
            nearer = sum(pair.nearer for pair in measured)
            counts.append(f"{nearer} of {len(measured)} by {_HEADINGS[metric][2]}")
    if not counts:
        return "The control of other noise was not measured."
    return f"Same noise gives images nearer to the teacher’s, outside the intervals, in {_listed(counts)}."


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
