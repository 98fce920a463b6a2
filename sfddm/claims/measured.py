"""Figures as the tests of claims see them: one for each row of the table, over its seeds; and their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from sfddm.claims.model import Selection, StepFilter
from sfddm.claims.verdict import Number, RowLink
from sfddm.report.rows import Provenance, Row
from sfddm.report.tables import mean_over_seeds


@dataclass(frozen=True)
class Measured:
    """One figure of one row of the table.

    Attributes:
        rows: the figure of each training seed, by seed.
        confidence: of its intervals, in (0, 1).
        timesteps: the teacher's T.
    """

    rows: tuple[Row, ...]
    confidence: float
    timesteps: int

    @property
    def first(self) -> Row:
        """The first seed's row: what all seeds share can be read from it."""
        return self.rows[0]

    @property
    def images(self) -> int | None:
        """Generated images behind each seed's figure."""
        images = self.first.protocol.get("generated_images")
        return images if isinstance(images, int) else None

    @property
    def link(self) -> RowLink:
        """Where the figure stands."""
        row = self.first
        return RowLink(row.experiment, row.method, row.steps, row.metric)

    def number(self, name: str | None = None) -> Number:
        """Return the mean over the seeds with the interval that the table shows."""
        cell = mean_over_seeds(self.rows, self.confidence)
        row = self.first
        return Number(name or row.title, row.steps, cell.value, cell.low, cell.high, cell.decimals)


@dataclass(frozen=True)
class Difference:
    """left - scale * right - offset, with its interval; ``equal``: exactly 0 for every seed."""

    value: float
    low: float | None
    high: float | None
    seeds: int
    equal: bool

    @property
    def text(self) -> str:
        """The difference in words."""
        if self.low is None or self.high is None:
            return f"{self.value:+.4g}, without an interval"
        if self.seeds > 1:
            return f"paired difference {self.value:+.4g} [{self.low:+.4g}, {self.high:+.4g}]"
        return "intervals overlap" if self.low <= 0 <= self.high else "intervals are apart"


class Figures:
    """All figures of a report, to be selected from."""

    def __init__(self, rows: Sequence[Row], floor: Sequence[Row], provenance: Mapping[str, Provenance]) -> None:
        self.provenance = provenance
        by_key: dict[tuple[str, str, int | None, str, str], list[Row]] = {}
        for row in (*rows, *floor):
            by_key.setdefault((row.experiment, row.method, row.steps, row.metric, row.label), []).append(row)
        self.all = [self._measured(some) for some in by_key.values()]

    def _measured(self, rows: list[Row]) -> Measured:
        source = self.provenance.get(rows[0].experiment)
        spec = source.spec if source else {}
        confidence = float(spec.get("evaluation", {}).get("confidence", 0.95))
        timesteps = int(spec.get("schedule", {}).get("timesteps", 1000))
        ordered = sorted(rows, key=lambda row: -1 if row.seed is None else row.seed)
        return Measured(tuple(ordered), confidence, timesteps)

    def select(self, selection: Selection, metric: str | None, steps: StepFilter | None = None) -> list[Measured]:
        """Return the figures of the selected rows, in the order of the table; ``metric`` None takes all."""
        return [
            figure
            for figure in self.all
            if _selected(figure.first, selection)
            and (metric is None or figure.first.metric == metric)
            and (steps is None or steps.admits(figure.first.steps, figure.timesteps))
        ]


def _selected(row: Row, selection: Selection) -> bool:
    implements = (selection.implements,) if isinstance(selection.implements, str) else selection.implements
    return (
        selection.method in (None, row.method)
        and (implements is None or row.method_name in implements)
        and selection.steps in (None, row.steps)
        and all(key in row.options and row.options[key] == value for key, value in selection.options.items())
    )


def difference(left: Measured, right: Measured, scale: float = 1.0, offset: float = 0.0) -> Difference | None:
    """Return left - scale * right - offset with an interval; None where the two share no training seed.

    Several seeds: the differences of each seed, their mean -+ t_{(1 + confidence) / 2, n - 1} * s / sqrt(n), which
    covers what differs between trainings. One seed: from the ends of the two scores' own intervals, so that 0 lies
    outside exactly where those are apart. A figure without a seed (real against real) stands against every seed.

    Args:
        left, right: figures of one experiment in one metric.
        scale: positive.
        offset: in the metric's unit.
    """
    others = {row.seed: row for row in right.rows}
    pairs = [(row, other) for row in left.rows if (other := others.get(row.seed, others.get(None))) is not None]
    if not pairs:
        return None
    values = [one.value - scale * other.value - offset for one, other in pairs]
    equal = not any(values)
    if len(values) > 1:
        from scipy.stats import t

        half = float(t.ppf((1 + left.confidence) / 2, len(values) - 1)) * stdev(values) / len(values) ** 0.5
        return Difference(fmean(values), fmean(values) - half, fmean(values) + half, len(values), equal)
    one, other = pairs[0]
    low = high = None
    if one.low is not None and other.high is not None and one.high is not None and other.low is not None:
        low = one.low - scale * other.high - offset
        high = one.high - scale * other.low - offset
    return Difference(values[0], low, high, 1, equal)
