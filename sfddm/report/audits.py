"""The audit: one set of trainings under several protocols, and whether that changes who is ahead of whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from sfddm.report.choices import CHOSEN, OWN, Protocol, protocols_of
from sfddm.report.content import Content
from sfddm.report.frame import lines_of
from sfddm.results.rows import Collected
from sfddm.results.statistics import overlap
from sfddm.results.styles import style_of

#: By the method ahead under the report's own protocol, the one behind, and the steps: the protocols that turn the two
#: round, and whether the intervals are apart under both.
Reversals = dict[tuple[str, str, int], list[tuple[str, bool]]]


@dataclass(frozen=True)
class AuditedRow:
    """One method at one number of steps: by protocol its figure, the mean over its seeds."""

    method: str
    title: str
    role: str
    steps: int
    places: Mapping[str, Any]


@dataclass(frozen=True)
class Cell:
    """A row's figure under a protocol.

    Attributes:
        difference: to that under the report's own protocol, as printed; empty for the report's own.
        beyond: whether the figure lies outside of the interval of the report's own.
    """

    value: float
    text: str
    interval: str
    difference: str
    beyond: bool


@dataclass(frozen=True)
class Line:
    """A protocol's figures of the rows at one number of steps.

    Attributes:
        cells: by method.
        ranking: the methods from the lowest figure to the highest; those with equal ones stand together.
        moved: whether it is not the ranking of the same rows under the report's own protocol.
    """

    protocol: Protocol
    cells: Mapping[str, Cell]
    ranking: tuple[tuple[str, ...], ...]
    moved: bool


def audit_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return an experiment's audit; None where none was made."""
    if not part.audits and not part.freedoms:
        return None
    protocols, means = protocols_of(part), content.means_of(part, "audit")
    rows = []
    for (method, steps), of_row in means.groupby(["method", "steps"], sort=False):
        lines = lines_of(of_row)
        places = {place.item: place for place in lines}
        rows.append(AuditedRow(str(method), lines[0].title, lines[0].role, steps, places))
    order = sorted({(row.role != "teacher", -row.steps) for row in rows})
    groups = [[row for row in rows if (row.role != "teacher", -row.steps) == key] for key in order]
    return {
        "title": part.provenance.title,
        "methods": {row.method: row.title for row in rows},
        "groups": [(group[0].steps, lines_of_group(group, protocols)) for group in groups],
        "protocols": protocols,
        "sentences": sentences_of(rows, protocols),
        "turns": turns_of(rows, protocols),
        "notes": [*dict.fromkeys(audit.note for audit in part.audits), *_left_out(part)],
    }


def lines_of_group(rows: Sequence[AuditedRow], protocols: Sequence[Protocol]) -> list[Line]:
    """Return the lines of the rows at the same steps, of the protocols that any of them has."""
    lines = []
    for protocol in protocols:
        there = [row for row in rows if protocol.name in row.places and protocol.base in row.places]
        if there:
            ranked = [row for row in there if row.role == "method"]
            rankings = [ranking_of(ranked, name) for name in (protocol.name, protocol.base)]
            cells = {row.method: _cell(row, protocol) for row in there}
            lines.append(Line(protocol, cells, rankings[0], rankings[0] != rankings[1]))
    return lines


def ranking_of(rows: Sequence[AuditedRow], protocol: str) -> tuple[tuple[str, ...], ...]:
    """Return the methods in increasing order of their figures; none where there are no two."""
    values = sorted({row.places[protocol].value for row in rows})
    if len(rows) < 2:
        return ()
    return tuple(tuple(row.method for row in rows if row.places[protocol].value == value) for value in values)


def _cell(row: AuditedRow, protocol: Protocol) -> Cell:
    found, ours = row.places[protocol.name], row.places[protocol.base]
    difference = f"{found.value - ours.value:+.{style_of(found.metric).decimals}f}"
    inside = ours.low is None or ours.high is None or ours.low <= found.value <= ours.high
    own = protocol.name == protocol.base
    return Cell(found.value, found.text, found.interval, "" if own else difference, not inside)


def _left_out(part: Collected) -> list[str]:
    """Say which degrees of freedom a row lacks, and why."""
    rows: dict[str, list[str]] = {}
    for one in part.freedoms:
        for degree, reason in one.left_out.items():
            rows.setdefault(f"{_LACKING[degree]}: {reason}.", []).append(f"{one.title} at {one.steps} steps")
    return [f"{', '.join(names)}, without {sentence}" for sentence, names in rows.items()]


_LACKING = {"weights": "weights that are not averaged", "checkpoint": "checkpoints to choose from"}


def reversals_of(lines: Sequence[AuditedRow], protocols: Sequence[Protocol]) -> tuple[Reversals, int]:
    """Return the pairs of methods at the same steps whose order another protocol turns round, and how many pairs are.

    Pairs that are exactly equal under the report's own protocol have no order to turn round and do not count.
    """
    found: Reversals = {}
    pairs = 0
    for one, other in combinations([line for line in lines if line.role == "method" and OWN in line.places], 2):
        if one.steps != other.steps or one.places[OWN].value == other.places[OWN].value:
            continue
        pairs += 1
        for protocol in protocols:
            if any({protocol.base, protocol.name} - line.places.keys() for line in (one, other)):
                continue
            ours, theirs = (line.places[protocol.base] for line in (one, other))
            front, back = (line.places[protocol.name] for line in (one, other))
            if (ours.value - theirs.value) * (front.value - back.value) < 0:
                ahead, behind = (one, other) if ours.value < theirs.value else (other, one)
                resolved = not overlap(front, back) and not overlap(ours, theirs)
                pair = (ahead.title, behind.title, one.steps)
                found.setdefault(pair, []).append((protocol.title, resolved))
    return found, pairs


def sentences_of(lines: Sequence[AuditedRow], protocols: Sequence[Protocol]) -> list[str]:
    """Say how far the protocol moves the figure itself, and whether the ranking changes under another one."""
    reversals, pairs = reversals_of(lines, protocols)
    resolved = sum(any(apart for _, apart in found) for found in reversals.values())
    if not pairs:
        ranking = "No two methods at the same steps differ, so there is no ranking to change."
    elif not reversals:
        kept = "the one pair" if pairs == 1 else f"all {pairs} pairs"
        ranking = f"The ranking does not change: {kept} of methods at the same steps keep their order."
    else:
        ranking = (
            f"The ranking changes: of {pairs} pair{'s' if pairs > 1 else ''} of methods at the same steps, "
            f"{len(reversals)} {'is' if len(reversals) == 1 else 'are'} turned round by at least one protocol, "
            f"{resolved or 'none'} of them with intervals apart under both protocols."
        )
    return [sentence for sentence in (_spread(lines, protocols), _chosen(lines, protocols), ranking) if sentence]


def turns_of(lines: Sequence[AuditedRow], protocols: Sequence[Protocol]) -> list[str]:
    """Name each pair of methods whose order changes, and under which protocols; those with intervals apart first."""
    clear, doubtful = [], []
    for (ahead, behind, steps), found in reversals_of(lines, protocols)[0].items():
        under = ", ".join(protocol for protocol, _ in found)
        sentence = f"At {steps} steps {ahead} is ahead of {behind}, but behind it under: {under}"
        if any(apart for _, apart in found):
            clear.append(f"{sentence}.")
        else:
            doubtful.append(f"{sentence}; their intervals overlap.")
    return clear + doubtful


def _spread(lines: Sequence[AuditedRow], protocols: Sequence[Protocol]) -> str:
    """Say how far apart the protocols put one and the same row, at most."""
    titles = {protocol.name: protocol.title for protocol in protocols}
    spreads = []
    for line in lines:
        scored = sorted((place.value, titles[item]) for item, place in line.places.items())
        if len(scored) > 1 and scored[0][0] > 0:
            spreads.append((scored[-1][0] / scored[0][0], line, scored[0], scored[-1]))
    if not spreads:
        return ""
    ratio, line, least, most = max(spreads, key=lambda spread: spread[0])
    return (
        f"The protocol alone moves the figure by up to a factor of {ratio:.3g}: that of {line.title} at "
        f"{line.steps} steps is {_number(least[0])} under “{least[1]}” and {_number(most[0])} under “{most[1]}”."
    )


def _chosen(lines: Sequence[AuditedRow], protocols: Sequence[Protocol]) -> str:
    """Say how far keeping the lowest of several figures lowers one, at most."""
    falls = [
        (1 - line.places[protocol.name].value / line.places[protocol.base].value, line, protocol)
        for protocol in protocols
        for line in lines
        if protocol.name in CHOSEN and {protocol.name, protocol.base} <= line.places.keys()
        and line.places[protocol.base].value > 0
    ]  # fmt: skip
    if not falls:
        return ""
    fall, line, protocol = max(falls, key=lambda one: one[0])
    return (
        f"Looking at several figures and keeping the lowest would have printed up to {fall:.1%} less: "
        f"{line.title} at {line.steps} steps, {protocol.title.lower()}. No figure of this report is chosen so."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
