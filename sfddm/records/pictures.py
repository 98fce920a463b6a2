"""The picture of a record: samples of every row, from the same noise."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sfddm.report.content import Content
from sfddm.report.pictures import Images
from sfddm.report.points import are_points

if TYPE_CHECKING:
    from PIL import Image

_GAP = 2
_PANEL, _CAPTION, _COLUMNS = 256, 18, 4


def sample_grid(content: Content, limit: int) -> bytes | None:
    """Return one PNG of fewer than ``limit`` bytes: a labelled line of samples for each row of the first seed.

    A column is from one noise. Of points it is a scatter plot for each row. None where the run kept no samples.
    """
    part = content.collected[0]
    images = content.samples[part.provenance.experiment]
    seed = min((row.seed for row in part.rows if row.seed is not None), default=0)
    rows = dict.fromkeys((row.method, row.steps, row.title) for row in part.rows if row.seed == seed)
    lines = [(f"{title}, {steps} steps", images.get(f"{method}/{steps}/{seed}")) for method, steps, title in rows]
    lines.append(("Real", images.get("real")))
    shown = [(label, some) for label, some in lines if some is not None]
    if not shown:
        return None
    pictures = (_lines(shown, columns) for columns in (16, 8, 4, 2, 1))
    for picture in [_panels(shown)] if are_points(shown[0][1]) else pictures:
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", optimize=True)
        if buffer.tell() < limit:
            return buffer.getvalue()
    return None


def _lines(lines: Sequence[tuple[str, Images]], columns: int) -> Image.Image:
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default()
    left = math.ceil(max(font.getlength(label) for label, _ in lines)) + 12
    side = max(some.shape[1] for _, some in lines)
    scale = max(1, round(32 / side))
    height = side * scale + _GAP
    picture = Image.new("RGB", (left + columns * height, len(lines) * height), "white")
    draw = ImageDraw.Draw(picture)
    for place, (label, some) in enumerate(lines):
        draw.text((4, place * height + height // 2 - 6), label, fill="black", font=font)
        for column, image in enumerate(some[:columns]):
            pixels = np.repeat(np.repeat(np.broadcast_to(image, (*image.shape[:2], 3)), scale, 0), scale, 1)
            tile = Image.fromarray(np.ascontiguousarray(pixels))
            picture.paste(tile, (left + column * height, place * height))
    return picture


def _panels(lines: Sequence[tuple[str, Images]]) -> Image.Image:
    """Draw labelled scatter plots side by side, four in a row, as one picture; each (label, points (N, 1, 1, 2))."""
    from PIL import Image, ImageDraw

    rows = -(-len(lines) // _COLUMNS)
    width, height = _PANEL + 8, _PANEL + _CAPTION + 8
    picture = Image.new("RGB", (_COLUMNS * width, rows * height), "white")
    draw = ImageDraw.Draw(picture)
    for place, (label, points) in enumerate(lines):
        left, top = (place % _COLUMNS) * width + 4, (place // _COLUMNS) * height + 4
        draw.text((left, top), label[:42], fill="black")
        top += _CAPTION
        draw.rectangle((left, top, left + _PANEL - 1, top + _PANEL - 1), outline="lightgrey")
        for x, y in points.reshape(-1, 2).astype(int):
            draw.point((left + x, top + 255 - y), fill="black")
    return picture
