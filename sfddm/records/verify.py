"""A new run against a record, figure by figure.

The rule. Each figure has an interval; towards the other figure it reaches h from its value. With a record a, a run b
and m figures that have intervals, b has drifted where

    |a - b| > f(m) * sqrt(h_a^2 + h_b^2),    f(m) = z(1 - (1 - c) / (2 m)) / z(1 - (1 - c) / 2),

c being the confidence of the intervals and z the normal quantile: the difference of two independent figures leaves its
own interval, widened (Bonferroni) so that a run in which nothing changed passes with probability c, however many
figures there are. Equal figures never drift; figures that differ where neither has an interval cannot be judged, which
is told. An interval that covers no variation between trainings does not allow for it here either.

A row that the run lacks, or whose protocol is another, is a failure. Other versions, another commit, another machine or
another spec are told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from sfddm.results.metrics import read_metrics
from sfddm.results.rows import Collected, Provenance, Row
from sfddm.results.styles import CONTROL

if TYPE_CHECKING:
    from rich.console import Console

State = Literal["same", "within", "drift", "no interval", "missing", "protocol", "new"]
#: What makes a verification fail.
FAILURES: tuple[State, ...] = ("drift", "missing", "protocol")
#: Parts of a protocol that may differ: they are told, not judged.
_TOLD = ("versions",)
#: Those of an extractor that the run itself trained, on the same images, to other bits on another machine.
_TOLD_OF_TRAINED = ("extractor_sha256", "extractor_accuracy")

Key = tuple[str, str, int | None, int | None, str, str]


@dataclass(frozen=True)
class Compared:
    """One figure of the record beside the run's.

    Attributes:
        state: "same" bit for bit; "within" or "drift" by the rule; "no interval" where it cannot be applied; "missing"
            from the run; "new" in it; "protocol" where the two were measured differently.
        allowed: the largest difference that is no drift; None where the rule was not applied.
        because: in what the protocols differ.
    """

    key: Key
    state: State
    recorded: Row | None
    found: Row | None
    allowed: float | None = None
    because: str = ""


def verify(run: Path, record: Path, console: Console | None = None) -> bool:
    """Compare a run with a record and print what differs.

    Args:
        run: a metrics.json, or a folder that holds one, of the new run.
        record: the same of the record.
        console: where to print; the standard output by default.

    Returns:
        Whether every figure of the record is in the run, under the same protocol, without drift.

    Raises:
        SfddmError: a file is missing or broken.
    """
    from rich.console import Console

    new, old = read_metrics(run), read_metrics(record)
    compared = compare_figures(new, old)
    _print(compared, differing_sources(new, old), console or Console())
    return not any(one.state in FAILURES for one in compared)


def compare_figures(run: Sequence[Collected], record: Sequence[Collected]) -> list[Compared]:
    """Return every figure of the record, in its order, and then those that only the run has."""
    new, old = _by_key(run), _by_key(record)
    confidences = {part.provenance.experiment: part.provenance.confidence for part in record}
    judged = sum(key in new and (_has_interval(row) or _has_interval(new[key])) for key, row in old.items())
    found = [_compare(key, row, new.get(key), confidences[key[0]], judged) for key, row in old.items()]
    return found + [Compared(key, "new", None, row) for key, row in new.items() if key not in old]


def _by_key(parts: Sequence[Collected]) -> dict[Key, Row]:
    return {
        (row.experiment, row.method, row.steps, row.seed, row.metric, row.label): row
        for part in parts
        for row in (*part.rows, *part.baseline)
    }


def _compare(key: Key, recorded: Row, found: Row | None, confidence: float, judged: int) -> Compared:
    if found is None:
        return Compared(key, "missing", recorded, None)
    differing = _differing(_own_protocol(recorded), _own_protocol(found))
    if "extractor_trained_on" in recorded.protocol and "extractor_trained_on" not in differing:
        differing = [key for key in differing if key not in _TOLD_OF_TRAINED]
    if recorded.index_set != found.index_set and None not in (recorded.index_set, found.index_set):
        differing.append("index_set")
    if differing:
        return Compared(key, "protocol", recorded, found, because=f"differs in {', '.join(differing)}")
    if recorded.value == found.value:
        return Compared(key, "same", recorded, found)
    if not (_has_interval(recorded) or _has_interval(found)):
        return Compared(key, "no interval", recorded, found)
    reach = (_reach(recorded, found.value) ** 2 + _reach(found, recorded.value) ** 2) ** 0.5
    allowed = widening(judged, confidence) * reach
    state: State = "drift" if abs(recorded.value - found.value) > allowed else "within"
    return Compared(key, state, recorded, found, allowed)


def widening(figures: int, confidence: float) -> float:
    """Return f(m) of the rule: 1 for a single figure, 1.67 for fifty at 0.95.

    Args:
        figures: m, how many are judged, at least 1.
        confidence: of the intervals, in (0, 1).
    """
    normal, outside = NormalDist(), (1 - confidence) / 2
    return normal.inv_cdf(1 - outside / figures) / normal.inv_cdf(1 - outside)


def _has_interval(row: Row) -> bool:
    return row.low is not None and row.high is not None


def _reach(row: Row, towards: float) -> float:
    """Return how far the interval reaches from the value to one side, 0 where there is no interval."""
    if row.low is None or row.high is None:
        return 0.0
    return max(0.0, row.high - row.value if towards > row.value else row.value - row.low)


def _own_protocol(row: Row) -> dict[str, Any]:
    """Return a row's protocol with its own metric's settings alone: another metric beside it changes nothing in it."""
    settings = row.protocol.get("settings")
    name = row.metric.removesuffix(CONTROL)
    if not isinstance(settings, dict) or name not in settings:
        return row.protocol
    return row.protocol | {"settings": settings[name]}


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    keys = dict.fromkeys([*one, *other])
    return [key for key in keys if key not in _TOLD and one.get(key) != other.get(key)]


def differing_sources(run: Sequence[Collected], record: Sequence[Collected]) -> list[str]:
    """Return a sentence for each thing that differs without being a failure: spec, commit, machine, versions, data."""
    new = {part.provenance.experiment: part.provenance for part in run}
    told = []
    for part in record:
        old, name = part.provenance, part.provenance.experiment
        if name in new:
            told += [f"{name}: {text}" for text in _sources(old, new[name])]
    return told


def _sources(old: Provenance, new: Provenance) -> list[str]:
    told = []
    if old.spec_digest != new.spec_digest:
        keys = ", ".join(_differing(old.spec, new.spec)) or "nothing that the file shows"
        told.append(f"another spec, sha256 {new.spec_digest[:12]} instead of {old.spec_digest[:12]}: {keys}")
    if old.data.sha256 != new.data.sha256:
        told.append(f"other data, sha256 {new.data.sha256[:12]} instead of {old.data.sha256[:12]}")
    for what, before, after in (
        ("commit", old.commit, new.commit),
        ("hardware", old.hardware, new.hardware),
        ("Python", old.python, new.python),
    ):
        if before != after:
            told.append(f"{what} {after} instead of {before}")
    versions = [
        f"{name} {new.versions.get(name, 'absent')} instead of {old.versions.get(name, 'absent')}"
        for name in dict.fromkeys([*old.versions, *new.versions])
        if name != "python" and old.versions.get(name) != new.versions.get(name)
    ]
    return told + ([", ".join(versions)] if versions else [])


_WORDS: dict[State, str] = {
    "same": "equal",
    "within": "within the intervals",
    "drift": "DRIFTED",
    "no interval": "differ, and neither has an interval to judge by",
    "missing": "MISSING from the run",
    "protocol": "measured under ANOTHER PROTOCOL",
    "new": "only in the run",
}


def _print(compared: Sequence[Compared], told: Sequence[str], console: Console) -> None:
    from rich.table import Table

    shown = [one for one in compared if one.state not in ("same", "new")]
    if shown:
        table = Table(title="Figures that are not equal", title_justify="left")
        for column in ("experiment", "method", "figure"):
            table.add_column(column, overflow="fold")
        for column in ("steps", "seed", "record", "run", "difference", "allowed"):
            table.add_column(column, justify="right")
        table.add_column("state")
        for one in sorted(shown, key=lambda one: one.state not in FAILURES):
            style = "bold red" if one.state in FAILURES else None
            table.add_row(*_line(one), style=style)
        console.print(table)
    for text in told:
        console.print(f"told, not judged: {text}", markup=False, highlight=False)
    counts = [(sum(one.state == state for one in compared), words) for state, words in _WORDS.items()]
    parts = ", ".join(f"{count} {words}" for count, words in counts if count)
    failed = any(one.state in FAILURES for one in compared)
    console.print(f"{'FAILED' if failed else 'ok'}: of {len(compared)} figures {parts}.", markup=False, highlight=False)


def _line(one: Compared) -> list[str]:
    experiment, method, steps, seed, _, label = one.key
    recorded = f"{one.recorded.value:.6g}" if one.recorded else ""
    found = f"{one.found.value:.6g}" if one.found else ""
    apart = f"{one.found.value - one.recorded.value:+.3g}" if one.found and one.recorded else ""
    numbers = [recorded, found, apart, "" if one.allowed is None else f"{one.allowed:.3g}"]
    state = f"{one.state}: {one.because}" if one.because else one.state
    return [experiment, method, label, *("" if n is None else str(n) for n in (steps, seed)), *numbers, state]
