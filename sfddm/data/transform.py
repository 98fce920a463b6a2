"""From images as a source holds them to images as a store holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from sfddm.data.examples import Example, Image
from sfddm.runtime.errors import SfddmError

Shape = tuple[int, int, int]
"""(H, W, C) of every image of a store."""


def prepare(examples: Iterable[Example], shape: Shape, center_crop: int | None) -> Iterator[tuple[Image, int]]:
    """Crop, convert and resize images one after another; yields (image (H, W, C) uint8, label).

    The rule for sizes: without ``center_crop`` every image must have the size of the first, and its largest
    centred square is used. With ``center_crop`` sizes may differ, and a centred square of that many pixels a
    side is cut out of each, which must be at least as large. The square is then resized to ``shape`` (see
    ``fit``).

    Raises:
        SfddmError: an image breaks the rule; the sentence names its place and both sizes.
    """
    first: tuple[int, int] | None = None
    for load, label, place in examples:
        image = load()
        height, width = image.shape[:2]
        first = first or (height, width)
        if center_crop is None and (height, width) != first:
            raise SfddmError(
                f"{place}: the image is {width}x{height} pixels but the first one is {first[1]}x{first[0]}; "
                "set data.center_crop to cut equal squares out of images of mixed sizes"
            )
        side = center_crop or min(height, width)
        if side > min(height, width):
            raise SfddmError(
                f"{place}: the image is {width}x{height} pixels, too small for data.center_crop {side}; "
                f"for this image at most {min(height, width)} is allowed"
            )
        yield fit(image, side, shape), label


def fit(image: Image, side: int, shape: Shape) -> Image:
    """Cut the centred square of ``side`` pixels out of one image and give it ``shape``.

    Where a margin is odd, the smaller half lies above or to the left. Resizing is Pillow's ``BILINEAR``,
    whose support grows with the reduction (so it is antialiased): the default of the usual PIL-based loaders.
    RGB becomes grey by Pillow's ITU-R 601-2 luma, grey becomes RGB by repetition; both happen before
    resizing.

    Args:
        image: (H, W) or (H, W, 3) uint8, or a point (1, 1, 2); no side shorter than ``side``.
        side: of the square, in pixels.
        shape: (H, W, C) of the result, C = 1 or 3; a point's own.
    """
    from PIL import Image as Pillow

    height, width, channels = shape
    top, left = ((length - side) // 2 for length in image.shape[:2])
    square = image[top : top + side, left : left + side]
    if channels == 1 and square.ndim == 3:
        square = np.asarray(Pillow.fromarray(np.ascontiguousarray(square)).convert("L"))
    if (height, width) != (side, side):
        picture = Pillow.fromarray(np.ascontiguousarray(square))
        square = np.asarray(picture.resize((width, height), Pillow.Resampling.BILINEAR))
    if square.ndim == 2:
        square = np.broadcast_to(square[:, :, None], shape)
    return np.ascontiguousarray(square)
