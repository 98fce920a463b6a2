"""Class by class: each row's KID of every class, its worst class, and how often the class asked for is what came."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from sfddm.report.content import Content
from sfddm.report.frame import in_reading_order, lines_of
from sfddm.results.rows import Collected


def classes_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return an experiment's figures class by class, of its first training seed; None where it knows no classes.

    A line has a figure for each class, None where the row has too few images of it; the mean and the worst of their
    KIDs; and ``hits``, the mean share of images whose nearest real image is of the class asked for.
    """
    seed, frame = part.seeds[0], content.frame_of(part, "class")
    own = in_reading_order(frame[frame.seed == seed])
    if own.empty:
        return None
    given = part.provenance.spec.get("data", {}).get("class_names") or ()
    names = [given[c] if c < len(given) else str(c) for c in range(own.item.max() + 1)]
    lines = []
    for _, row in own.groupby(["method", "steps"], sort=False):
        kid, hits = row[row.metric == "kid"], row[row.metric == "hits"]
        figures = {figure.item: figure for figure in lines_of(kid)}
        lines.append(
            {
                "title": row.title.iloc[0],
                "steps": row.steps.iloc[0],
                "figures": [figures.get(c) for c in range(len(names))],
                "mean": fmean(kid.value),
                "worst": names[kid.item[kid.value.idxmax()]],
                "hits": fmean(hits.value),
            }
        )
    return {"title": part.provenance.title, "names": names, "lines": lines, "seed": seed}
