"""What the page shows of the claims: a strip for each paper, each claim in a line with its evidence, fixed points."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set
from typing import Any

from sfddm.claims.show import SIGNS, counted
from sfddm.report.conclusions import OPEN, conclusions_of, counts_sentence, false_verdicts, signed
from sfddm.report.content import Content
from sfddm.report.tables import cell_anchor
from sfddm.results.styles import style_of
from sfddm.results.verdicts import MEASURED_WORDS, PROPERTY_WORDS, AtBudget, ByExtractor, Cell, Verdict, Word, anchor

#: Comparisons of one claim that fit beside it in a line.
_IN_A_LINE = 4
#: Of more papers each has one line at the top of the page.
_FEW_PAPERS = 6


def strip_values(content: Content) -> dict[str, Any]:
    """Return what the template of the strips shows: each paper's claims as marks, its counts and its conclusion.

    Papers of which no figure was measured stand aside.
    """
    conclusions, every = conclusions_of(content), by_paper(content.verdicts)
    measured = {paper: any(one.verdict not in (*OPEN, *PROPERTY_WORDS) for one in every[paper]) for paper in every}
    many = sum(measured.values()) > _FEW_PAPERS
    papers = [
        {
            "title": paper,
            "marks": [{"verdict": one, "grade": one.grade or ""} for one in some],
            "sentence": counts_sentence(some, in_one_line=many),
            "conclusions": conclusions.get(paper, ()),
        }
        for paper, some in every.items()
    ]
    return {
        "came_out": _counted(content.verdicts, MEASURED_WORDS),
        "properties": _counted(content.verdicts, PROPERTY_WORDS),
        "papers": [paper for paper in papers if measured[str(paper["title"])]],
        "aside": [paper for paper in papers if not measured[str(paper["title"])]],
        "expected": false_verdicts(content.verdicts),
        "signs": SIGNS,
    }


def _counted(verdicts: Sequence[Verdict], words: Iterable[Word]) -> list[tuple[Word, str]]:
    return [(word, text) for word in words if (text := counted(verdicts, word))]


def claim_values(content: Content) -> dict[str, Any]:
    """Return what the template of the claims shows: those tested with their evidence, and the others' reasons."""
    anchors = _anchors(content)
    return {
        "papers": [
            {
                "title": paper,
                "claims": [_claim(one, anchors) for one in some if one.verdict not in OPEN],
                "untested": [one for one in some if one.verdict in OPEN],
            }
            for paper, some in by_paper(content.verdicts).items()
        ],
        "points": content.fixed_points,
        "titles": content.titles,
        "signs": SIGNS,
    }


def by_paper(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Return each paper's verdicts, in the order of the claims; the paper that was tested most comes first."""
    papers = {
        paper: [one for one in verdicts if one.paper == paper] for paper in dict.fromkeys(v.paper for v in verdicts)
    }
    foremost = max(papers, key=lambda paper: sum(bool(one.basis) for one in papers[paper]), default="")
    return dict(sorted(papers.items(), key=lambda item: item[0] != foremost))


def _anchors(content: Content) -> set[str]:
    """Return the identifiers of cells, rows and sections that the page has; nothing else is linked."""
    lines = [(t.metric, line.method) for t in content.tables for line in (*t.lines, *t.references, *t.baselines)]
    lines += [(t.metric, line.method) for t in content.ablations for block in t.blocks for line in block.lines]
    sections = {style_of(metric).section for metric in content.means.metric.unique()}
    if any(part.interpolations for part in content.collected):
        sections.add("interpolation")
    return {anchor(*line) for line in lines} | sections | {one for table in content.tables for one in table.anchors}


def _claim(verdict: Verdict, anchors: Set[str]) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "grade": verdict.grade or "",
        "glance": glance(verdict),
        "reduced": _reduced(verdict),
        "cells": [_evidence(cell, anchors) for cell in verdict.cells],
    }


def _reduced(verdict: Verdict) -> list[str]:
    """Return why the comparisons at the verdict's grade fall short of the claim's setting."""
    alike = [cell for cell in verdict.cells if cell.grade and cell.grade == verdict.grade]
    return list(dict.fromkeys(reason for cell in alike for reason in cell.reduced))


def _evidence(cell: Cell, anchors: Set[str]) -> dict[str, Any]:
    """Return a comparison with what stands behind it, each as a line of text, and the cells or rows to look at."""
    links: dict[str, str] = {}
    for row in cell.rows:
        exact = cell_anchor(row.metric, row.method, row.experiment, row.steps, cell.label)
        name = exact if exact in anchors else row.anchor
        if name in anchors:
            links.setdefault(name, row.method)
    return {
        "cell": cell,
        "curve": [_at_budget(point, cell) for point in cell.curve],
        "extractors": [_by_extractor(one, cell) for one in cell.extractors],
        "links": links,
    }


def _at_budget(point: AtBudget, cell: Cell) -> str:
    images = f" ({point.images:,} images)" if point.images else ""
    return f"{point.budget:g} times the training{images}: {signed(point.difference, cell.metric)}"


def _by_extractor(one: ByExtractor, cell: Cell) -> str:
    numbers = " against ".join(map(str, one.numbers))
    apart = f", difference {signed(one.difference, cell.metric)}" if one.difference else ""
    return f"{one.label}: {one.verdict}; {numbers}{apart}"


def glance(verdict: Verdict) -> list[tuple[str, str]]:
    """Return verdict and difference, or figures, of each comparison; their number alone where a line cannot hold them.

    The verdict is "" where that of the claim says it.
    """
    cells = verdict.cells
    if not cells:
        return []
    if len(cells) == 1:
        return [("", _result(cells[0], interval=True))]
    alike = len({(cell.experiment, cell.metric) for cell in cells}) == 1 and len({c.steps for c in cells}) == len(cells)
    if not alike or len(cells) > _IN_A_LINE:
        return [("", f"{len(cells)} comparisons")]
    return [(cell.verdict, f"{cell.at.removeprefix(', ')} {_result(cell, interval=False)}") for cell in cells]


def _result(cell: Cell, *, interval: bool) -> str:
    if cell.difference is None:
        return " against ".join(number.text for number in cell.numbers)
    text = signed(cell.difference, cell.metric)
    return text if interval else text.split(" [")[0]


def typeset(text: str) -> str:
    """Return a sentence that starts with a capital and has true minus signs; hyphens in names stay."""
    return re.sub(r"(?<![\w)-])-(?=\d)", "−", text[:1].upper() + text[1:])
