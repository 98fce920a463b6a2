"""What the page shows of the claims: counts, each claim with its badge, and the fixed points."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from typing import Any

from sfddm.claims.show import SIGNS, counted, counts_of, scales
from sfddm.report.content import Content
from sfddm.results.styles import style_of
from sfddm.results.verdicts import PROPERTY_WORDS, WORDS, Verdict, anchor


def verdict_values(content: Content) -> dict[str, Any]:
    """Return what the template of the verdicts shows."""
    papers, anchors = by_paper(content.verdicts), _anchors(content)
    # The page opens with the paper that the experiments at hand say most about.
    foremost = max(papers, key=lambda paper: sum(bool(one.basis) for one in papers[paper]), default="")
    overview = [(word, [one for one in papers.get(foremost, []) if one.verdict == word]) for word in WORDS]
    ordered = sorted(papers.items(), key=lambda item: item[0] != foremost)
    return {
        "tally": counts_of(content.verdicts),
        "overview": [(word, some) for word, some in overview if some],
        "papers": [
            {
                "title": paper,
                "tally": counts_of(some),
                "scales": scales(some),
                "claims": [_claim(one, anchors) for one in some],
            }
            for paper, some in ordered
        ],
        "points": content.fixed_points,
        "titles": content.titles,
        "signs": SIGNS,
        "counted": counted,
        "property_words": PROPERTY_WORDS,
    }


def by_paper(verdicts: Sequence[Verdict]) -> dict[str, list[Verdict]]:
    """Return each paper's verdicts, in the order of the claims."""
    return {
        paper: [one for one in verdicts if one.paper == paper] for paper in dict.fromkeys(v.paper for v in verdicts)
    }


def _anchors(content: Content) -> set[str]:
    """Return the identifiers of rows and sections that the page has; nothing else is linked."""
    lines = [(t.metric, line.method) for t in content.tables for line in (*t.lines, *t.references, *t.baselines)]
    lines += [(t.metric, line.method) for t in content.ablations for block in t.blocks for line in block.lines]
    sections = {style_of(metric).section for metric in content.means.metric.unique()}
    if any(part.interpolations for part in content.collected):
        sections.add("interpolation")
    return {anchor(*line) for line in lines} | sections


def _claim(verdict: Verdict, anchors: Set[str]) -> dict[str, Any]:
    links = {(row.anchor, row.method): 0 for cell in verdict.cells for row in cell.rows if row.anchor in anchors}
    return {"verdict": verdict, "brief": _brief(verdict), "links": list(links), "reduced": _reduced(verdict)}


def _reduced(verdict: Verdict) -> list[str]:
    """Return why the comparisons at the verdict's grade fall short of the claim's setting."""
    alike = [cell for cell in verdict.cells if cell.grade and cell.grade == verdict.grade]
    return list(dict.fromkeys(reason for cell in alike for reason in cell.reduced))


def _brief(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Return verdict, steps and numbers of each comparison, where a line can hold them all."""
    cells = verdict.cells
    alike = len({(cell.experiment, cell.metric) for cell in cells}) == 1 and all(len(c.numbers) == 2 for c in cells)
    if not alike or not 1 < len(cells) <= 6 or len({cell.steps for cell in cells}) < len(cells):
        return []
    return [
        (cell.verdict, cell.at.removeprefix(", "), " against ".join(n.text for n in cell.numbers)) for cell in cells
    ]


def typeset(text: str) -> str:
    """Return a sentence that starts with a capital and has true minus signs; hyphens in names stay."""
    return re.sub(r"(?<![\w)-])-(?=\d)", "−", text[:1].upper() + text[1:])
