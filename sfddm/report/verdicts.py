"""What the page shows of the claims: counts, each claim with its badge, and the fixed point."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from typing import Any

from sfddm.claims.show import SIGNS
from sfddm.claims.verdict import WORDS, Cell, Verdict
from sfddm.report.fixed_points import FixedPoint


def verdict_values(
    verdicts: Sequence[Verdict],
    points: Sequence[FixedPoint],
    titles: Mapping[str, str],
    anchors: Set[str],
) -> dict[str, Any]:
    """Return what the template of the verdicts shows.

    Args:
        verdicts: of every claim, in order.
        points: where a student is DDIM.
        titles: each experiment's title.
        anchors: identifiers of the rows that the page has; nothing else is linked.
    """
    papers: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        papers.setdefault(verdict.paper, []).append(verdict)
    # The page opens with the paper that the experiments at hand say most about.
    foremost = max(papers, key=lambda paper: sum(bool(one.basis) for one in papers[paper]), default="")
    overview = [(word, [one for one in papers.get(foremost, []) if one.verdict == word]) for word in WORDS]
    ordered = sorted(papers.items(), key=lambda item: item[0] != foremost)
    return {
        "tally": tally_of(verdicts),
        "overview": [(word, some) for word, some in overview if some],
        "papers": [
            {"title": paper, "tally": tally_of(some), "claims": [_claim(one, titles, anchors) for one in some]}
            for paper, some in ordered
        ],
        "points": [{"point": point, "experiment": titles.get(point.experiment, point.experiment)} for point in points],
        "signs": SIGNS,
    }


def tally_of(verdicts: Sequence[Verdict]) -> list[tuple[str, int]]:
    """Return how many claims have each verdict; verdicts that do not occur are left out."""
    counts = [(word, sum(verdict.verdict == word for verdict in verdicts)) for word in WORDS]
    return [(word, count) for word, count in counts if count]


def _claim(verdict: Verdict, titles: Mapping[str, str], anchors: Set[str]) -> dict[str, Any]:
    links = {(row.anchor, row.method): 0 for cell in verdict.cells for row in cell.rows if row.anchor in anchors}
    return {
        "verdict": verdict,
        "basis": verdict.basis,
        "cells": [{"cell": cell, "place": _place(cell, titles)} for cell in verdict.cells]
        if len(verdict.cells) > 1
        else [],
        "brief": _brief(verdict),
        "place": _place(verdict.cells[0], titles) if len(verdict.cells) == 1 else "",
        "links": list(links),
        "published": list(verdict.published_by_reason.items()),
    }


def _brief(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Return verdict, steps and numbers of each comparison, where a line can hold them all."""
    cells = verdict.cells
    alike = len({(cell.experiment, cell.metric) for cell in cells}) == 1 and all(len(c.numbers) == 2 for c in cells)
    if not alike or not 1 < len(cells) <= 6 or len({cell.steps for cell in cells}) < len(cells):
        return []
    return [(cell.verdict, cell.at.removeprefix(", "), _values(cell)) for cell in cells]


def _values(cell: Cell) -> str:
    return " against ".join(f"{number.value:.{number.decimals}f}" for number in cell.numbers)


def _place(cell: Cell, titles: Mapping[str, str]) -> str:
    return titles.get(cell.experiment, cell.experiment) + cell.at


def typeset(text: str) -> str:
    """Return a sentence that starts with a capital and has true minus signs; hyphens in names stay."""
    return re.sub(r"(?<![\w)-])-(?=\d)", "−", text[:1].upper() + text[1:])
