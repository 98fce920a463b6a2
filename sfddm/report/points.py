"""Scatter plots: what an experiment on points shows in the place of sample images."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from sfddm.report.pictures import Images

#: Points in a panel: enough to see where they lie, few enough for a page of many panels.
SHOWN_POINTS = 500


def are_points(images: Images) -> bool:
    """Tell whether (N, H, W, C) are points in the plane, (N, 1, 1, 2), rather than images."""
    return images.shape[1:] == (1, 1, 2)


def panel(points: Images, real: Images | None, title: str, steps: int | None, name: str) -> dict[str, Any]:
    """Return one panel for the template: ``title``, ``steps`` and ``svg``, the plot with its description.

    Args:
        points: (N, 1, 1, 2) uint8; the first ``SHOWN_POINTS`` are shown.
        real: (N, 1, 1, 2) uint8, real points to show faintly behind them; None: these are they.
        title: what the points are.
        steps: of their sampling; None for real points.
        name: the identifier of the drawing of the real points, which is on the page once, in their own panel.
    """
    count = min(len(points), SHOWN_POINTS)
    at = "" if steps is None else f", {steps} step{'' if steps == 1 else 's'}"
    text = f"{title}{at}: {count} points in the square from -1 to 1"
    if real is not None:
        near = 100 * share_near(points[:SHOWN_POINTS], real)
        text += f", {near:.0f} % of them within 0.03 of one of {len(real)} real points, which lie faintly behind"
    if real is None:
        drawn = f'<g style="stroke: var(--series-0)"><g id="{name}">{_path(points)}</g></g>'
    else:
        behind = f'<use href="#{name}" style="stroke: var(--soft); opacity: 0.35"/>'
        drawn = f'{behind}<g style="stroke: var(--series-0)">{_path(points)}</g>'
    svg = (
        f'<svg class="points" viewBox="-3 -3 262 262" role="img" aria-label="{escape(text)}.">'
        f'<g fill="none" stroke-linecap="round" stroke-width="3">{drawn}</g></svg>'
    )
    return {"title": title, "steps": steps, "svg": svg, "count": count}


def share_near(points: Images, real: Images, distance: float = 0.03) -> float:
    """Return the share of (N, 1, 1, 2) points within ``distance`` of a real one, in units of [-1, 1]."""
    x, y = (some.reshape(-1, 2).astype(np.float64) / 127.5 for some in (points, real))
    nearest = np.linalg.norm(x[:, None] - y, axis=2).min(axis=1)
    return float((nearest <= distance).mean())


def _path(points: Images) -> str:
    """Draw each point as a line without length, whose round cap is a dot: a few bytes a point."""
    dots = "".join(f"M{x} {255 - y}h0" for x, y in points[:SHOWN_POINTS].reshape(-1, 2).astype(int))
    return f'<path d="{dots}"/>'
