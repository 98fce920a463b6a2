"""Which rows more training seeds could decide something about."""

from __future__ import annotations

from collections.abc import Sequence

from sfddm.claims.claim import Claim
from sfddm.claims.figures import Figures
from sfddm.claims.kinds.base import NothingToTest
from sfddm.claims.settled import seeds_may_settle
from sfddm.claims.together import judged_together
from sfddm.results.rows import Collected
from sfddm.results.verdicts import Cell


def open_rows(part: Collected, claims: Sequence[Claim]) -> dict[str, tuple[str, ...]]:
    """Return the rows of comparisons that more seeds may decide, each with the ids of the claims that make them.

    These are inconclusive, or unsettled for the width of an interval alone; seeds do not settle what training may turn.

    A row goes on at all of its training budgets, so that whether a verdict is settled is judged from the same seeds.
    Real images have no seed. Figures that are exactly equal stay so.

    Args:
        part: what was measured so far, with equally many seeds for every row that may still be open.
        claims: of the papers.
    """
    figures = Figures([part])
    budgets = _rows_at_each_budget(part)
    found: dict[str, dict[str, None]] = {}
    for claim in claims:
        for cell in _cells(claim, figures):
            if _is_open(cell):
                for row in (row for link in cell.rows for row in budgets.get(link.method, ())):
                    found.setdefault(row, {})[claim.id] = None
    return {row: tuple(ids) for row, ids in found.items()}


def _cells(claim: Claim, figures: Figures) -> list[Cell]:
    """Return the comparisons of a claim by each extractor: one that is inconclusive alone keeps a row open."""
    try:
        return judged_together(claim.test.cells(figures))
    except NothingToTest:
        return []


def _is_open(cell: Cell) -> bool:
    if cell.verdict == "unsettled":
        return seeds_may_settle(cell.curve)
    equal = cell.difference is not None and cell.difference.value == cell.difference.low == cell.difference.high == 0
    return cell.verdict == "inconclusive" and cell.difference is not None and not equal


def _rows_at_each_budget(part: Collected) -> dict[str, tuple[str, ...]]:
    """Return for each row all rows that are it at some budget, itself included."""
    rows = {row.method: row.budget_of or row.method for row in part.rows}
    return {name: tuple(other for other, own in rows.items() if own == rows[name]) for name in rows}
