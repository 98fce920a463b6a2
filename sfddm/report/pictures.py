"""Sample images on the page: strips of them, as PNG in data addresses."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]


def strip_of(images: Images, group: str, title: str, described: str) -> dict[str, Any]:
    """Return images side by side for the template: where they belong, the picture, and the size it is shown at.

    Args:
        images: (N, H, W, C) uint8, C 1 or 3, N at least 1.
        group: the heading that the strip stands under.
        title: of the strip.
        described: the strip in words, for readers who do not see it.
    """
    count, height, width, _ = images.shape
    scale = _scale(max(height, width))
    size = {"width": (count * (width + 1) - 1) * scale, "height": height * scale}
    return {"group": group, "title": title, "address": strip_address(images), "alt": described, **size}


def strip_address(images: Images) -> str:
    """Return (N, H, W, C) images side by side as the data address of one PNG, one clear pixel between two."""
    from PIL import Image

    count, height, width, channels = images.shape
    strip = np.zeros((height, count * (width + 1) - 1, channels + 1), np.uint8)
    for k, image in enumerate(images):
        left = k * (width + 1)
        strip[:, left : left + width, :channels] = image
        strip[:, left : left + width, channels] = 255
    buffer = io.BytesIO()
    Image.fromarray(strip, "LA" if channels == 1 else "RGBA").save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def tiles_that_fit(side: int) -> int:
    """Return how many tiles fit side by side beside their label on a wide screen, at least 4 and at most 16."""
    return min(16, max(4, 870 // ((side + 1) * _scale(side))))


def _scale(side: int) -> int:
    """Return the whole factor by which images of ``side`` pixels are enlarged, to about 48 px."""
    return max(1, round(48 / side))
