"""Which claims a spec can decide: the claims' own tests, asked about runs that are made up.

Three runs of the spec are made up, without any width of intervals: in one, each row has a larger figure than the row
before, in one a smaller, in one all are equal. Every comparison of two rows then comes out on either side, so that the
verdicts that a test gives are those that a real run can come to where it decides at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from sfddm.claims.claim import Claim
from sfddm.claims.figures import Figures
from sfddm.claims.kinds.without_figures import Invariant
from sfddm.claims.single_training import single_training_factor
from sfddm.plan.rows import REAL, Figure, planned, with_figures
from sfddm.results.styles import CONTROL
from sfddm.results.verdicts import DECIDED, Cell, Word
from sfddm.spec.experiment import Spec


@dataclass(frozen=True)
class Comparison:
    """A comparison that a run would make.

    Attributes:
        cell: as the claim's test would make it; its figures are made up.
        verdicts: that it can come to where it decides: some of reproduced, contradicted and unsettled.
        turns: why it can be unsettled; "" where it cannot.
        counted: it counts what the spec states, so that the verdict is known now.
        until_decided: the run trains more seeds only where it is open.
    """

    cell: Cell
    verdicts: tuple[Word, ...]
    turns: str = ""
    counted: bool = False
    until_decided: bool = False

    @property
    def widened(self) -> float:
        """How many times wider its interval is made because there is a single training; 1 where it is not."""
        if self.cell.seeds != 1 or self.cell.difference is None:
            return 1.0
        return single_training_factor(self.cell.metric, self.cell.trained)

    @property
    def extractors(self) -> int:
        """How many extractors take part; 0 where figures are not of features."""
        return len(self.cell.extractors) or int(self.cell.extractor is not None and not self.counted)

    @property
    def strength(self) -> str:
        """Say what a verdict would stand on, and what it could not be."""
        if self.counted:
            return f"counted: {self.verdicts[0]}"
        if self.cell.difference is None:
            return "counted in the run"
        several = f"{'at most ' if self.until_decided else ''}{self.cell.seeds} trainings"
        told = [several if self.cell.seeds > 1 else "a single training"]
        if self.widened != 1:
            told = [f"single training: interval widened {self.widened:.2g} times"]
        if "unsettled" in self.verdicts:
            others = [word for word in ("reproduced", "contradicted") if word not in self.verdicts]
            named = {"reproduced": "a support", "contradicted": "a contradiction"}
            which = "either verdict" if len(others) != 1 else named[others[0]]
            told.append(f"{self.turns}: {which} would be unsettled")
        if self.extractors:
            told.append("one extractor" if self.extractors == 1 else f"{self.extractors} extractors")
        return "; ".join(told)


@dataclass(frozen=True)
class Decidable:
    """What a run of the spec would say of one claim.

    Attributes:
        kind: "figures" where it compares some, "tests" where tests of the code check it, "no" where nothing can.
        because: why it cannot be tested, else "".
    """

    claim: Claim
    kind: str
    because: str = ""
    comparisons: tuple[Comparison, ...] = ()

    @property
    def strengths(self) -> dict[str, int]:
        """How many comparisons stand on what."""
        return dict(Counter(comparison.strength for comparison in self.comparisons))


def decidable(spec: Spec, claims: Sequence[Claim], stored: int | None = None) -> list[Decidable]:
    """Return what a run of the spec would say of each claim.

    Args:
        spec: the experiment.
        claims: of the papers.
        stored: number of training images, for trainings whose length is in epochs; None: not known.
    """
    part = planned(spec, stored)
    runs = [Figures([run]) for run in (*(with_figures(part, figure) for figure in _made_up(spec)), part)]
    return [_of_claim(claim, runs, part.provenance.until_decided) for claim in claims]


def _of_claim(claim: Claim, runs: Sequence[Figures], until_decided: bool) -> Decidable:
    if isinstance(claim.test, Invariant):
        return Decidable(claim, "tests")
    outcomes = [claim.test.outcome(figures) for figures in runs]
    word, because, _ = outcomes[0]
    if word == "not tested":
        return Decidable(claim, "no", because)
    comparisons = [
        _comparison(places, until_decided)
        for places in zip(*(cells for _, _, cells in outcomes), strict=True)
        if places[0].verdict != "not tested"
    ]
    return Decidable(claim, "figures", "", tuple(comparisons))


def _comparison(places: Sequence[Cell], until_decided: bool) -> Comparison:
    """Return one comparison from its cells in all made-up runs."""
    found = {cell.verdict for cell in places}
    verdicts = tuple(word for word in DECIDED if word in found)
    turns = next((cell.turns for cell in places if cell.verdict == "unsettled"), "")
    return Comparison(places[0], verdicts, turns, places[0].metric == "folds", until_decided)


def _made_up(spec: Spec) -> tuple[Figure, Figure]:
    """Return figures that rise from row to row, and figures that fall: positive, the next twice as large or half.

    Rows that are one row at several budgets have the same figures: their curve is flat.
    """
    names = {row: options.budget_of or row for row, options in spec.methods.items()}
    places = dict.fromkeys([(REAL, None), *((names[row], steps) for row, steps in spec.rows())])
    ranks = {place: 2 * rank for rank, place in enumerate(places)}

    def rising(row: str, steps: int | None, metric: str) -> float:
        return 2.0 ** (ranks[names.get(row, row), steps] + metric.endswith((CONTROL, "_cross-fade")))

    def falling(row: str, steps: int | None, metric: str) -> float:
        return 2.0 ** (2 * len(ranks)) / rising(row, steps, metric)

    return rising, falling
