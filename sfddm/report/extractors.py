"""The same samples by several extractors, and whether these put the rows in the same order."""

from __future__ import annotations

from itertools import combinations
from math import isnan
from typing import Any

import pandas as pd

from sfddm.report.content import Content
from sfddm.report.frame import frame_of, in_reading_order, lines_of, over_seeds
from sfddm.results.rows import Collected
from sfddm.results.styles import style_of

#: What a protocol says of its extractor, with the words in front of it.
_FACTS = {
    "feature_layer": "layer",
    "resize": "images",
    "extractor_sha256": "weights' sha256",
    "extractor_accuracy": "accuracy on held-out images",
}


def extractors_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return an experiment's figures in the main metric by each extractor; None where it has one extractor only.

    ``groups`` hold the rows of the teacher, then those of each number of steps; a row has a cell for each extractor,
    with its rank among the methods at the same steps, and ``moved`` where that is not the main extractor's. ``taus``
    are Kendall's, for each number of steps and each two extractors.
    """
    names, metric = part.provenance.extractors, content.tables[0].metric
    whole = next(one for one in content.collected if one.provenance.experiment == part.provenance.experiment)
    means = over_seeds(frame_of([whole.at_largest_budgets]))
    means = means[(means.kind == "score") & (means.metric == metric)]
    means = means.assign(extractor=means.protocol.map(lambda protocol: protocol.get("extractor")))
    means = means[means.extractor.isin(names)]
    names = tuple(name for name in names if name in set(means.extractor))
    if len(names) < 2:
        return None
    ranked = with_ranks(means, names[0], ascending=style_of(metric).better != "higher")
    firsts = means.drop_duplicates("extractor").set_index("extractor")
    return {
        "title": part.provenance.title,
        "heading": style_of(metric).heading,
        "extractors": [(name, firsts.label[name], _facts(firsts.protocol[name])) for name in names],
        "groups": _groups(ranked, names),
        "pairs": [f"{one} and {other}" for one, other in combinations(names, 2)],
        "taus": taus_of(ranked, names),
        "sentence": _sentence(ranked),
    }


def with_ranks(means: pd.DataFrame, main: str, ascending: bool) -> pd.DataFrame:
    """Return the means with the ``rank`` of each method among those at the same steps, NaN where it has no rival.

    Equal figures share a rank. ``moved``: it is not the rank by the extractor ``main``.
    """
    methods = means[means.role == "method"]
    methods = methods[methods.groupby("steps").method.transform("nunique") > 1]
    order = methods.groupby(["steps", "extractor"]).value.rank(method="min", ascending=ascending)
    ranked = means.assign(rank=order)
    usual = ranked[ranked.extractor == main].set_index(["method", "steps"])["rank"].rename("usual")
    ranked = ranked.join(usual, on=["method", "steps"])
    return ranked.assign(moved=ranked["rank"].notna() & (ranked["rank"] != ranked.usual))


def taus_of(ranked: pd.DataFrame, names: tuple[str, ...]) -> list[tuple[int, int, list[float | None]]]:
    """Return (steps, methods, Kendall's tau-b of each two extractors) by falling number of steps.

    Tau is over the methods at these steps that both extractors scored, at least two; None where one of the two cannot
    tell any of them apart.
    """
    from scipy.stats import kendalltau

    found = []
    for steps, some in ranked[ranked["rank"].notna()].groupby("steps"):
        values = some.pivot(index="method", columns="extractor", values="value").dropna()
        taus = [float(kendalltau(values[one], values[other]).statistic) for one, other in combinations(names, 2)]
        found.append((int(steps), len(values), [None if isnan(tau) else tau for tau in taus]))
    return found[::-1]


def _groups(ranked: pd.DataFrame, names: tuple[str, ...]) -> list[list[dict[str, Any]]]:
    groups: dict[Any, list[dict[str, Any]]] = {}
    for _, some in in_reading_order(ranked).groupby(["role", "method", "steps"], sort=False):
        cells = {cell.extractor: cell for cell in lines_of(some)}
        first = next(iter(cells.values()))
        line = {key: getattr(first, key) for key in ("title", "role", "steps")}
        group = groups.setdefault((first.role, first.steps if first.role == "method" else None), [])
        group.append(line | {"cells": [cells.get(name) for name in names]})
    return list(groups.values())


def _sentence(ranked: pd.DataFrame) -> str:
    ranks = ranked[ranked["rank"].notna()]
    if ranks.empty:
        return "No two methods were measured at the same steps, so there is no order to agree on."
    moved = ranks.groupby("steps").moved.any()
    agreed = len(moved) - int(moved.sum())
    counted = f"{agreed} of {len(moved)} numbers of steps" if len(moved) > 1 else f"{agreed} of 1 number of steps"
    return f"All extractors put the methods in the same order at {counted}."


def _facts(protocol: dict[str, Any]) -> str:
    return "; ".join(f"{words} {protocol[key]}" for key, words in _FACTS.items() if protocol.get(key) is not None)
