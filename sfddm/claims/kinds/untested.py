"""Claims that nothing here can decide."""

from __future__ import annotations

from sfddm.claims.figures import Figures
from sfddm.claims.kinds.base import ClaimTest, NothingToTest
from sfddm.claims.verdict import Cell


class Untested(ClaimTest):
    """Nothing here can decide the claim; ``reason`` says why."""

    name = "none"
    reason: str

    def cells(self, figures: Figures) -> list[Cell]:
        """There are none."""
        raise NothingToTest(self.reason)

    def describe(self) -> str:
        """Say so."""
        return "Not at all"
