"""Agreement with the teacher: each row's figures beside their controls, means over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from sfddm.report.content import Content
from sfddm.report.frame import lines_of
from sfddm.results.rows import Collected
from sfddm.results.styles import CONTROL, style_of

#: How each metric's column is headed, and what it is called in a sentence.
_HEADINGS = {
    "psnr_teacher": ("PSNR, dB", "higher is nearer", "PSNR"),
    "ssim_teacher": ("SSIM", "higher is nearer", "SSIM"),
    "feature_distance_teacher": ("Feature distance", "lower is nearer", "feature distance"),
    "l1_teacher": ("L1 distance", "lower is nearer", "L1 distance"),
}


def agreement_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return an experiment's agreement with its teacher; None where none was measured.

    The teacher's own row is left out: it would agree with itself. Lines of equal steps are a group, many steps first.
    Each has a cell for each of ``headings``, the figure beside its control, None where one was not measured, and the
    figure of the report's main metric.
    """
    means, table = content.means_of(part), content.tables[0]
    own = means[(means.role == "method") & means.metric.map(lambda name: style_of(name).section == "agreement")]
    if own.empty:
        return None
    metrics = [metric for metric in _HEADINGS if metric in set(own.metric)]
    beside = beside_control(own)
    cells = {(cell.method, cell.steps, cell.metric): cell for cell in lines_of(beside)}
    main = {(one.method, one.steps): one for one in lines_of(means[means.metric == table.metric])}
    lines = [
        {
            "title": row.title,
            "steps": row.steps,
            "main": main.get((row.method, row.steps)),
            "cells": [cells.get((row.method, row.steps, one)) for one in metrics],
        }
        for row in own.drop_duplicates(["method", "steps"]).itertuples()
    ]
    return {
        "title": part.provenance.title,
        "label": " / ".join(sorted(means[means.metric == "feature_distance_teacher"].label.unique())),
        "main": table.style.heading,
        "headings": [_HEADINGS[metric] for metric in metrics],
        "groups": [[one for one in lines if one["steps"] == n] for n in sorted({*own.steps}, reverse=True)],
        "sentence": sentence_of(beside, metrics),
        "settings": own.iloc[0].protocol.get("settings", {}),
    }


def beside_control(own: pd.DataFrame) -> pd.DataFrame:
    """Return each figure with its control's, whose columns end with ``_other``.

    ``nearer``: the figure is on the better side of the control, and their intervals do not overlap.
    """
    control = own[own.metric.str.endswith(CONTROL)].copy()
    control["metric"] = control.metric.str.removesuffix(CONTROL)
    beside = own.merge(control, on=["method", "steps", "metric"], suffixes=("", "_other"))
    higher = beside.metric.map(lambda metric: style_of(metric).better == "higher")
    nearer = ((beside.high_other < beside.low) & higher) | ((beside.high < beside.low_other) & ~higher)
    return beside.assign(nearer=nearer)


def sentence_of(beside: pd.DataFrame, metrics: Sequence[str]) -> str:
    """Say in how many rows the same noise brings images nearer to the teacher's than other noise does.

    Args:
        beside: figures with their controls.
        metrics: in the order of the sentence.
    """
    found = [(metric, beside[beside.metric == metric].nearer) for metric in metrics]
    counts = [f"{some.sum()} of {len(some)} by {_HEADINGS[metric][2]}" for metric, some in found if len(some)]
    if not counts:
        return "The control of other noise was not measured."
    listed = " and ".join([", ".join(counts[:-1]), counts[-1]] if counts[1:] else counts)
    return f"Same noise gives images nearer to the teacher’s, outside the intervals, in {listed}."
