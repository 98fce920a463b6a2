"""Claims that no figure decides: properties of the code, and what nothing here can test."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sfddm.claims.figures import Figures
from sfddm.claims.kinds.base import ClaimTest, NothingToTest
from sfddm.results.properties import NodeOutcome
from sfddm.results.verdicts import Cell, Word

NodeId = Annotated[str, Field(pattern=r"^tests/(\w+/)*test_\w+\.py::test_\w+$")]


class Invariant(ClaimTest):
    """A property of the code, which tests of this project check; each is a pytest node id."""

    name = "invariant"
    tests: Annotated[tuple[NodeId, ...], Field(min_length=1)]

    def cells(self, figures: Figures) -> list[Cell]:
        """There is no place of the table where it could be seen."""
        raise NothingToTest("no figure decides it")

    def outcome(self, figures: Figures) -> tuple[Word, str, list[Cell]]:
        """Holds where all its tests passed, fails where one failed; not run where one did not run."""
        plural = "" if len(self.tests) == 1 else "s"
        properties = figures.properties
        if properties is None or properties.reason:
            why = properties.reason if properties else "`sfddm properties` runs them"
            return "not run", f"the test{plural} {', '.join(self.tests)} did not run: {why}", []
        ran = {node: properties.of(node) for node in self.tests}
        failed = [_told(node, one) for node, one in ran.items() if one and one.outcome == "failed"]
        absent = [_told(node, one) for node, one in ran.items() if not one or one.outcome not in ("passed", "failed")]
        at = f"at commit {properties.short_commit}"
        if failed or absent:
            return "fails" if failed else "not run", f"{'; '.join(failed or absent)}; {at}", []
        cases = sum(one.cases for one in ran.values() if one)
        text = f"the test{plural} {', '.join(self.tests)} passed, {cases} case{'' if cases == 1 else 's'} in all"
        return "holds", f"{text}, {at}", []

    def describe(self) -> str:
        """Say that figures have no part in it."""
        return "Tests of the code, without any figure"


def _told(node: str, one: NodeOutcome | None) -> str:
    return f"{node}: {one.outcome} ({one.reason})" if one else f"{node}: not among the tests that ran"


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
