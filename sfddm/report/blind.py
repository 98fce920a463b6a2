"""What the page for blind judgements holds: images of each row from the same noises, without any figure."""

from __future__ import annotations

from typing import Any

from sfddm.report.content import Content
from sfddm.report.pictures import strip_address
from sfddm.report.points import are_points
from sfddm.results.rows import Collected

#: Bytes of pixels that the page may hold, over all rows; PNG in a data address takes up to about 1.4 times as much.
_PIXELS = 450_000
_FEWEST = 8


def blind_parts(content: Content) -> list[dict[str, Any]]:
    """Return each experiment's rows of the first training seed, a strip of images each; none for points.

    Image k of every row is from the same noise. Where all images would make the page too large, the first are kept, at
    least ``_FEWEST``.
    """
    rows = {part.provenance.experiment: _rows(content, part) for part in content.collected}
    size = sum(images[0].size for some in rows.values() for _, _, images in some)
    parts = []
    for part in content.collected:
        some = rows[part.provenance.experiment]
        if len(some) < 2:
            continue
        count = min(max(_FEWEST, _PIXELS // size), *(len(images) for _, _, images in some))
        height, width = some[0][2].shape[1:3]
        facts = {"experiment": part.provenance.experiment, "title": part.provenance.title, "seed": part.seeds[0]}
        strips = [
            {"name": name, "title": title, "strip": strip_address(images[:count])} for name, title, images in some
        ]
        parts.append(
            facts
            | {"commit": part.provenance.commit}
            | {"count": count, "height": height, "width": width, "rows": strips}
        )
    return parts


def _rows(content: Content, part: Collected) -> list[tuple[str, str, Any]]:
    """Return name, title and images of each row that is sampled, those with many steps first."""
    frame, seed = content.frame_of(part), part.seeds[0]
    images = content.samples.get(part.provenance.experiment, {})
    sampled = frame[(frame.role != "real") & (frame.seed == seed)].drop_duplicates(["method", "steps"])
    named = [
        (f"{row.method}/{row.steps}", f"{row.title}, {row.steps} step{'' if row.steps == 1 else 's'}", row.steps)
        for row in sampled.itertuples()
        if f"{row.method}/{row.steps}/{seed}" in images
    ]
    found = [(name, title, images[f"{name}/{seed}"]) for name, title, _ in sorted(named, key=lambda one: -one[2])]
    return [] if any(are_points(some) for _, _, some in found) else found
