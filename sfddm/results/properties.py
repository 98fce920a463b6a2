"""``properties.json``: what came of the tests that claims about the code rest on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sfddm.results.costs import Amount
from sfddm.results.files import read_result
from sfddm.results.score import STRICT, Count

NAME = "properties.json"


@dataclass(frozen=True, kw_only=True)
class NodeOutcome:
    """What came of one test function.

    Attributes:
        node: its pytest node id, without parameters.
        outcome: "passed" where all its cases did, "failed" where one did not, "skipped" where one was left out and none
            failed, "not collected" where pytest found no such test.
        cases: how many it has; seconds: of all of them, fixtures included.
        reason: which cases failed, or why the test was not collected; empty where it passed.
    """

    __pydantic_config__ = STRICT

    node: str
    outcome: Literal["passed", "failed", "skipped", "not collected"]
    cases: Count
    seconds: Amount
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Properties:
    """What came of all tests that claims name.

    Attributes:
        commit: of the code, "+dirty" after it where tracked files differ.
        versions: of Python, pytest and the libraries.
        tests: in the order of their node ids; none where nothing ran.
        reason: why nothing ran; empty where tests did.
    """

    __pydantic_config__ = STRICT

    commit: str
    versions: dict[str, str]
    tests: tuple[NodeOutcome, ...] = ()
    reason: str = ""
    schema: Literal[1] = 1

    @property
    def short_commit(self) -> str:
        """The commit's first twelve digits, and whether files differ."""
        commit, plus, dirty = self.commit.partition("+")
        return f"{commit[:12]}{plus}{dirty}"

    def of(self, node: str) -> NodeOutcome | None:
        """Return what came of one test; None where it was not asked for, or nothing ran."""
        return next((one for one in self.tests if one.node == node), None)


def read_properties(path: Path) -> Properties:
    """Read a properties.json.

    Raises:
        SfddmError: the file is missing, is not JSON, or lacks a key.
    """
    return read_result(path, Properties, "properties")
