"""Points in the plane, drawn from the mixture of ``sfddm.data.gaussians.petals`` and kept as images of one pixel.

Channel 0 is x, channel 1 is y. The store keeps 256 levels over [-1, 1], 2/255 apart, so that rounding moves a
coordinate by at most 1/255, a tenth of a component's deviation.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from sfddm.data.examples import Example, Examples
from sfddm.data.gaussians import petals, sample_mixture
from sfddm.data.spec import Source, Split
from sfddm.diffusion.randomness import derived_seed


class Gaussians2d(Source):
    """Points in the plane from a mixture of 32 Gaussians in 8 classes; a point is an image of one pixel, (x, y).

    Attributes:
        images: how many points of each split.
        seed: the points are a function of seed and split.
    """

    name = "gaussians-2d"
    points = True

    images: Annotated[int, Field(ge=4, le=10_000_000)] = 20_000
    seed: Annotated[int, Field(ge=0)] = 0
    image_size: Literal[1] = 1
    channels: Literal[2] = 2
    center_crop: None = None

    def read_split(self, split: Split) -> Examples:
        """Return ``images`` points, a function of (seed, split); each one's label is its class, the arm."""
        generator = np.random.Generator(np.random.Philox(derived_seed("gaussians-2d", self.seed, split)))
        mixture = petals()
        points, classes = sample_mixture(mixture, self.images, generator)
        levels = np.round((np.clip(points, -1, 1) + 1) * 127.5).astype(np.uint8)  # (N, 2)
        names = tuple(f"arm {number}" for number in mixture.class_weights())
        return Examples(_rows(levels.reshape(-1, 1, 1, 2), classes, f"gaussians-2d {split}"), self.images, names)


def _rows(images: NDArray[np.uint8], classes: NDArray[np.int64], place: str) -> Iterator[Example]:
    for row, label in enumerate(classes):
        yield Example(partial(images.__getitem__, row), int(label), f"{place} point {row}")
