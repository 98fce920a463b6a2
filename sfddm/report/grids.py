"""Samples from the same noise: one strip of images for each row of the table."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfddm.report.plots import strip_address, strip_layout, tiles_that_fit
from sfddm.report.points import are_points, panel
from sfddm.results.rows import Collected, Row

Images = NDArray[np.uint8]


def grid_of(part: Collected, images: Mapping[str, Images], variants: Set[str]) -> dict[str, Any] | None:
    """Return an experiment's strips of the first training seed, those of the variants apart; None where there are none.

    An experiment on points has scatter plots, ``panels``, in their place.

    Args:
        part: the experiment.
        images: "{row}/{steps}/{seed}" and "real" -> (N, H, W, C) images.
        variants: names of the rows that are variants.
    """
    seed = part.seeds[0]
    rows = {
        (row.method, row.steps): row
        for row in part.rows
        if row.seed == seed and f"{row.method}/{row.steps}/{seed}" in images
    }
    grid = {"title": part.provenance.title, "seed": seed, "strips": [], "panels": [], "variants": []}
    if any(are_points(some) for some in images.values()):
        return grid | {"panels": _panels(list(rows.values()), images, seed)}
    strips: list[dict[str, Any]] = []
    apart: list[dict[str, Any]] = []
    for row in sorted(rows.values(), key=lambda row: (row.role != "teacher", -(row.steps or 0))):
        own = images[f"{row.method}/{row.steps}/{seed}"]
        group = "Teacher" if row.role == "teacher" else f"{row.steps} step{'' if row.steps == 1 else 's'}"
        strip = _strip(own, group, row.title, f"{row.title}, {row.steps} steps: samples from noise")
        (apart if row.method in variants else strips).append(strip)
    if "real" in images:
        strips.append(_strip(images["real"], "Real images", "Not from noise", "Real images, numbers"))
    if not strips:
        return None
    return grid | {"strips": strips, "variants": apart}


def _panels(rows: list[Row], images: Mapping[str, Images], seed: int | None) -> list[dict[str, Any]]:
    """Return the scatter plots of an experiment on points: the real ones, the teacher's, then row by row."""
    real = images.get("real")
    panels = [] if real is None else [panel(real, None, "Real points", None)]
    for row in sorted(rows, key=lambda row: row.role != "teacher"):
        panels.append(panel(images[f"{row.method}/{row.steps}/{seed}"], real, row.title, row.steps))
    return panels


def _strip(images: Images, group: str, title: str, described: str) -> dict[str, Any]:
    shown = images[: tiles_that_fit(max(images.shape[1:3]))]
    return {
        "group": group,
        "title": title,
        "address": strip_address(shown),
        "alt": f"{described} 0 to {len(shown) - 1}, left to right",
        **strip_layout(shown),
    }
