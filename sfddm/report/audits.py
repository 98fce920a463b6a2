"""The protocol audit: the same samples under several protocols, and whether that changes who is ahead of whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pandas as pd

from sfddm.report.content import Content
from sfddm.report.frame import lines_of
from sfddm.results.measurements import AuditFigure
from sfddm.results.rows import Collected
from sfddm.results.statistics import overlap

OWN = "own"
#: By the method ahead under the report's own protocol, the one behind, and the steps: the protocols that turn the two
#: round, and whether the intervals are apart under both.
Reversals = dict[tuple[str, str, int], list[tuple[str, bool]]]


@dataclass(frozen=True)
class AuditLine:
    """One method at one number of steps: by protocol, its mean, its ``rank`` and whether that ``moved``.

    The rank is that among the methods at the same steps; equal figures share one. None: not ranked.
    """

    title: str
    role: str
    steps: int
    places: Mapping[str, Any]


def audit_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return an experiment's audit, means over seeds; None where none was made.

    ``protocols`` are figures, one of each protocol, which describe it, the report's own first.
    """
    if not part.audits:
        return None
    described: dict[str, AuditFigure] = {}
    for figure in (figure for audit in part.audits for figure in audit.rows):
        described.setdefault(figure.protocol_name, figure)
    protocols = sorted(described.values(), key=lambda figure: figure.protocol_name != OWN)
    ranked = with_ranks(content.means_of(part, "audit"))
    rows = [lines_of(row) for _, row in ranked.groupby(["method", "steps"], sort=False)]
    lines = [AuditLine(r[0].title, r[0].role, r[0].steps, {place.item: place for place in r}) for r in rows]
    order = sorted({(line.role != "teacher", -line.steps) for line in lines})
    return {
        "title": part.provenance.title,
        "protocols": protocols,
        "groups": [[line for line in lines if (line.role != "teacher", -line.steps) == key] for key in order],
        "sentences": sentences_of(lines, protocols),
        "turns": turns_of(lines, protocols),
        "note": part.audits[0].note,
    }


def with_ranks(means: pd.DataFrame) -> pd.DataFrame:
    """Return the means with the rank of each method among those at the same steps, NaN where it has no rival.

    ``moved``: the rank is not the one under the report's own protocol.
    """
    methods = means[means.role == "method"]
    rivals = methods.groupby("steps").method.transform("nunique")
    methods = methods[rivals > 1]
    ranked = means.assign(rank=methods.groupby(["steps", "item"]).value.rank(method="min"))
    usual = ranked[ranked.item == OWN].set_index(["method", "steps"])["rank"].rename("usual")
    ranked = ranked.join(usual, on=["method", "steps"])
    return ranked.assign(moved=ranked["rank"].notna() & ranked.usual.notna() & (ranked["rank"] != ranked.usual))


def reversals_of(lines: Sequence[AuditLine], protocols: Sequence[AuditFigure]) -> tuple[Reversals, int]:
    """Return the pairs of methods at the same steps whose order another protocol turns round, and how many pairs are.

    Pairs that are exactly equal under the report's own protocol have no order to turn round and do not count.
    """
    found: Reversals = {}
    pairs = 0
    for one, other in combinations([line for line in lines if line.role == "method" and OWN in line.places], 2):
        usual, against = one.places[OWN], other.places[OWN]
        if one.steps != other.steps or usual.value == against.value:
            continue
        pairs += 1
        ahead, behind = (one, other) if usual.value < against.value else (other, one)
        for protocol in protocols:
            front, back = (line.places.get(protocol.protocol_name) for line in (ahead, behind))
            if front and back and front.value > back.value:
                resolved = not overlap(front, back) and not overlap(usual, against)
                pair = (ahead.title, behind.title, one.steps)
                found.setdefault(pair, []).append((protocol.title, resolved))
    return found, pairs


def sentences_of(lines: Sequence[AuditLine], protocols: Sequence[AuditFigure]) -> list[str]:
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
    return [sentence for sentence in (_spread(lines, protocols), ranking) if sentence]


def turns_of(lines: Sequence[AuditLine], protocols: Sequence[AuditFigure]) -> list[str]:
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


def _spread(lines: Sequence[AuditLine], protocols: Sequence[AuditFigure]) -> str:
    """Say how far apart the protocols put one and the same set of samples, at most."""
    titles = {protocol.protocol_name: protocol.title for protocol in protocols}
    spreads = []
    for line in lines:
        scored = sorted((place.value, titles[item]) for item, place in line.places.items())
        if len(scored) > 1 and scored[0][0] > 0:
            spreads.append((scored[-1][0] / scored[0][0], line, scored[0], scored[-1]))
    if not spreads:
        return ""
    ratio, line, least, most = max(spreads, key=lambda spread: spread[0])
    return (
        f"The protocol alone moves the figure by up to a factor of {ratio:.3g}: the samples of {line.title} at "
        f"{line.steps} steps have {_number(least[0])} under “{least[1]}” and {_number(most[0])} under “{most[1]}”."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
