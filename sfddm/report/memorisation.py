"""Memorisation: how near each row's images come to training images, beside held-out ones; means over seeds."""

from __future__ import annotations

from typing import Any

from sfddm.report.content import Content
from sfddm.report.frame import in_reading_order, lines_of
from sfddm.results.rows import Collected
from sfddm.results.styles import style_of

#: How each metric's column is headed.
_HEADINGS = {
    "nearest_training": "Generated",
    "nearest_training_held_out": "Held-out",
    "nearest_training_ratio": "Ratio",
    "nearer_than_held_out": "Unusually near",
}


def memorisation_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return an experiment's distances to training images, a line for each row; None where none were measured.

    A line has a cell for each of ``headings``, None where one was not measured.
    """
    means = content.means_of(part)
    own = in_reading_order(means[means.metric.map(lambda name: style_of(name).section == "memorisation")])
    if own.empty:
        return None
    cells = {(cell.method, cell.steps, cell.metric): cell for cell in lines_of(own)}
    lines = [
        {
            "title": row.title,
            "steps": row.steps,
            "cells": [cells.get((row.method, row.steps, one)) for one in _HEADINGS],
        }
        for row in own.drop_duplicates(["method", "steps"]).itertuples()
    ]
    ratios = own[own.metric == "nearest_training_ratio"]
    nearer, protocol = int((ratios.high < 1).sum()), own.iloc[0].protocol
    return {
        "title": part.provenance.title,
        "headings": list(_HEADINGS.values()),
        "lines": lines,
        "sentence": f"In {nearer} of {len(ratios)} rows, generated images are nearer to training images than "
        "held-out ones are, in the median and outside the interval.",
        "control": protocol.get("control", "not stated"),
        "settings": protocol.get("settings", {}),
    }
