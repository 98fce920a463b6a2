"""Run pytest on named tests and write what came of each: ``python -m sfddm.claims.node_outcomes OUT NODE...``.

A process of its own, for pytest and what it imports must not meet a stage's; :mod:`sfddm.claims.properties` starts it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sfddm.results.files import to_json
from sfddm.results.properties import NodeOutcome

if TYPE_CHECKING:
    import pytest


@dataclass
class _Case:
    """One case of a test: its worst phase, and the seconds of all."""

    outcome: str = "passed"
    seconds: float = 0.0


@dataclass(eq=False)
class Listener:
    """A pytest plugin that leaves only the wanted tests and keeps what is reported of their cases."""

    wanted: tuple[str, ...]
    cases: dict[str, dict[str, _Case]] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave the wanted tests."""
        items[:] = [item for item in items if _function(item.nodeid) in self.wanted]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note a file that cannot be imported."""
        if report.failed:
            self.broken.add(report.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a phase of a case (setup, call, teardown) into account."""
        case = self.cases.setdefault(_function(report.nodeid), {}).setdefault(report.nodeid, _Case())
        case.seconds += report.duration
        if report.failed or (report.skipped and case.outcome == "passed"):
            case.outcome = report.outcome

    def outcome(self, node: str) -> NodeOutcome:
        """Return what came of a test function."""
        cases = self.cases.get(node, {})
        if not cases:
            return NodeOutcome(
                node=node, outcome="not collected", cases=0, seconds=0.0, reason=self._why_not_collected(node)
            )
        seconds = round(sum(case.seconds for case in cases.values()), 3)
        for word in ("failed", "skipped"):
            these = [name for name, case in cases.items() if case.outcome == word]
            if these:
                reason = f"{len(these)} of {len(cases)} cases {word}, the first {these[0]}"
                return NodeOutcome(node=node, outcome=word, cases=len(cases), seconds=seconds, reason=reason)
        return NodeOutcome(node=node, outcome="passed", cases=len(cases), seconds=seconds)

    def _why_not_collected(self, node: str) -> str:
        file = node.partition("::")[0]
        if not Path(file).is_file():
            return f"there is no file {file}"
        return f"{file} cannot be imported" if file in self.broken else f"{file} has no such test"


def run(nodes: Iterable[str]) -> list[NodeOutcome]:
    """Run these tests of the working folder, in alphabetical order of their files; one outcome for each node id."""
    import pytest

    wanted = tuple(sorted(set(nodes)))
    listener = Listener(wanted)
    files = [file for file in dict.fromkeys(node.partition("::")[0] for node in wanted) if Path(file).is_file()]
    options = ["--rootdir=.", "--color=no", "-p", "no:cacheprovider", "--continue-on-collection-errors"]
    if files:
        status = pytest.main([*options, *files], plugins=[listener])
        if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.NO_TESTS_COLLECTED):
            raise SystemExit(int(status))
    return [listener.outcome(node) for node in wanted]


def _function(node: str) -> str:
    return node.partition("[")[0]


def main() -> None:
    """Write the outcomes as a JSON list."""
    outcomes: list[dict[str, Any]] = [to_json(outcome) for outcome in run(sys.argv[2:])]
    Path(sys.argv[1]).write_text(json.dumps(outcomes), encoding="utf-8")


if __name__ == "__main__":
    main()
