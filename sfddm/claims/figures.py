"""Figures as the tests of claims see them: one for each row of the table, over its seeds; and their differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from sfddm.claims.selection import Selection, StepFilter
from sfddm.claims.single_training import single_training_factor
from sfddm.results.properties import Properties
from sfddm.results.rows import Collected, Provenance, Row
from sfddm.results.statistics import Difference, difference, mean_over_seeds
from sfddm.results.styles import style_of
from sfddm.results.verdicts import Number


@dataclass(frozen=True)
class FigureOverSeeds:
    """One figure of one row of the table.

    Attributes:
        rows: the figure of each training seed, by seed.
        source: the experiment's: the teacher's T, and the confidence of the intervals.
        cheaper: the same figure of the same row, trained with smaller budgets, from the smallest on.
    """

    rows: tuple[Row, ...]
    source: Provenance
    cheaper: tuple[FigureOverSeeds, ...] = ()

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
    def trained(self) -> bool:
        """Whether a training besides the teacher's is behind it."""
        return bool(self.first.folds)

    @property
    def degrees(self) -> int:
        """Degrees of freedom of the Student's t behind the interval of one seed's score."""
        interval = self.first.protocol.get("interval")
        return int(interval["blocks"]) - 1 if isinstance(interval, dict) and "blocks" in interval else 9

    @property
    def value(self) -> float:
        """The mean over the seeds."""
        return mean_over_seeds(self.rows, self.source.confidence).value

    def number(self, name: str | None = None) -> Number:
        """Return the mean over the seeds with the interval that the table shows."""
        mean, row = mean_over_seeds(self.rows, self.source.confidence), self.first
        return Number(name or row.title, row.steps, mean.value, mean.low, mean.high, style_of(row.metric).decimals)

    def minus(self, other: FigureOverSeeds, scale: float = 1.0, offset: float = 0.0) -> Difference | None:
        """Return self - scale * other - offset, paired over the training seeds; None where the two share none.

        A figure without a seed (real against real) stands against every seed. The interval of a single seed is widened
        by what training again would change; that of seeds that the run decided on holds at any number of them.
        """
        others = {row.seed: row for row in other.rows}
        paired = ((row, others.get(row.seed, others.get(None))) for row in self.rows)
        pairs = [(row, matched) for row, matched in paired if matched is not None]
        if not pairs:
            return None
        single = single_training_factor(self.first.metric, self.trained or other.trained)
        confidence, anytime = self.source.confidence, self.source.until_decided
        return difference(pairs, confidence, scale, offset, single, self.degrees, anytime=anytime)


class Figures:
    """All figures of several experiments, to be selected from; and what came of the tests of the code, if any ran."""

    def __init__(self, parts: Sequence[Collected], properties: Properties | None = None) -> None:
        self.properties = properties
        self.all = [measured for part in parts for measured in measured_of(part, part.every_row)]

    def select(
        self,
        selection: Selection,
        metric: str | None,
        steps: StepFilter | None = None,
        *,
        every_budget: bool = False,
    ) -> list[FigureOverSeeds]:
        """Return the figures of the selected rows, in the order of the table; ``metric`` None takes all.

        ``every_budget``: also of rows that the same method trained longer, too.
        """
        return [
            figure
            for figure in self.all
            if selection.admits(figure.first, every_budget=every_budget)
            and (metric is None or figure.first.metric == metric)
            and (steps is None or steps.admits(figure.first.steps, figure.source.timesteps))
        ]


def measured_of(part: Collected, rows: Iterable[Row]) -> Iterator[FigureOverSeeds]:
    """Yield the figures that an experiment's rows are, in the order of their first seeds."""
    found: dict[tuple[str, int | None, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row.method, row.steps, row.metric, row.label), []).append(row)
    figures = [
        FigureOverSeeds(tuple(sorted(some, key=lambda row: -1 if row.seed is None else row.seed)), part.provenance)
        for some in found.values()
    ]
    cheaper: dict[tuple[str | None, int | None, str, str], list[FigureOverSeeds]] = {}
    for figure in sorted(figures, key=lambda figure: figure.first.budget):
        row = figure.first
        if row.at_smaller_budget:
            cheaper.setdefault((row.budget_of, row.steps, row.metric, row.label), []).append(figure)
    for figure in figures:
        row = figure.first
        yield replace(figure, cheaper=tuple(cheaper.get((row.method, row.steps, row.metric, row.label), ())))
