"""Claims that no figure decides: properties of the code, and what nothing here can test."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sfddm.claims.figures import Figures
from sfddm.claims.kinds.base import ClaimTest, NothingToTest
from sfddm.results.verdicts import Cell, Word

NodeId = Annotated[str, Field(pattern=r"^tests/(\w+/)*test_\w+\.py::test_\w+$")]


class Invariant(ClaimTest):
    """A property of the code, which tests of this project check; each is a pytest node id."""

    name = "invariant"
    tests: Annotated[tuple[NodeId, ...], Field(min_length=1)]

    def cells(self, figures: Figures) -> list[Cell]:
        """There is no place of the table where it could be seen."""
        named = ", ".join(self.tests)
        raise NothingToTest(f"{named} would check it, but there is no run whose code that could be")

    def outcome(self, figures: Figures) -> tuple[Word, str, list[Cell]]:
        """Reproduced wherever there is a run, and said to be no measurement."""
        if not figures.commits:
            return super().outcome(figures)
        checked = f"the test{'' if len(self.tests) == 1 else 's'} {', '.join(self.tests)}"
        commits = ", ".join(figures.commits)
        reason = f"a property of the code, not a measurement: checked by {checked} at this commit ({commits})"
        return "reproduced", reason, []

    def describe(self) -> str:
        """Say that figures have no part in it."""
        return "Tests of the code, without any figure"


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
