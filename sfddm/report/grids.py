"""Samples from the same noise: one strip of images for each row of the table."""

from __future__ import annotations

from typing import Any

from sfddm.report.content import Content
from sfddm.report.pictures import Images, strip_of, tiles_that_fit
from sfddm.report.points import are_points, panel
from sfddm.results.rows import Collected


def grid_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return an experiment's strips of the first training seed, those of the variants apart; None where there are none.

    Each column is from one noise. An experiment on points has scatter plots, ``panels``, in their place.
    """
    seed, frame = part.seeds[0], content.frame_of(part)
    images = content.samples.get(part.provenance.experiment, {})
    own = frame[(frame.role != "real") & (frame.seed == seed)]
    rows = [
        (row, images[name])
        for row in own.drop_duplicates(["method", "steps"]).itertuples()
        if (name := f"{row.method}/{row.steps}/{seed}") in images
    ]
    grid: dict[str, Any] = {"title": part.provenance.title, "seed": seed, "strips": [], "panels": [], "variants": []}
    if any(are_points(some) for some in images.values()):
        real = images.get("real")
        name = f"real-points-{part.provenance.experiment}"
        panels = [] if real is None else [panel(real, None, "Real points", None, name)]
        rows.sort(key=lambda one: one[0].role != "teacher")
        return grid | {"panels": panels + [panel(some, real, row.title, row.steps, name) for row, some in rows]}
    rows.sort(key=lambda one: (one[0].role != "teacher", -one[0].steps))
    for row, some in rows:
        steps = f"{row.steps} step{'' if row.steps == 1 else 's'}"
        group = "Teacher" if row.role == "teacher" else steps
        strip = _strip(some, group, row.title, f"{row.title}, {row.steps} steps: samples from noise")
        grid["variants" if row.method in content.variants else "strips"].append(strip)
    if "real" in images:
        grid["strips"].append(_strip(images["real"], "Real images", "Not from noise", "Real images, numbers"))
    return grid if grid["strips"] else None


def _strip(images: Images, group: str, title: str, described: str) -> dict[str, Any]:
    shown = images[: tiles_that_fit(max(images.shape[1:3]))]
    return strip_of(shown, group, title, f"{described} 0 to {len(shown) - 1}, left to right")
