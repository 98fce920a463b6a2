"""What a source gives: images one after another, each with its label and the place it was found at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""One image: (H, W) grey or (H, W, 3) RGB inside a source, (1, 1, 2) for a point; (H, W, C) in a store."""

NO_LABEL = -1


class Example(NamedTuple):
    """One image as its source holds it, before cropping and resizing.

    Attributes:
        load: returns the image, uint8, (H, W) or (H, W, 3). An image that is left out is never decoded.
        label: class index, or ``NO_LABEL``.
        place: file and row, for errors.
    """

    load: Callable[[], Image]
    label: int
    place: str


@dataclass(frozen=True)
class Examples:
    """One split of a source.

    Attributes:
        items: the examples, in an order that depends on nothing but the source's content.
        count: how many there are.
        class_names: names of labels 0, 1, ...; empty where they are unknown.
    """

    items: Iterator[Example]
    count: int
    class_names: tuple[str, ...] = ()

    def limited(self, limit: int | None) -> Examples:
        """Return at most ``limit`` of the examples, spread evenly; None keeps all.

        Spread, because many data sets are sorted by class: the first ones would all be of one class. Of N
        examples the kept ones are ``floor(i * N / limit)`` for i = 0 .. limit - 1.
        """
        if limit is None or limit >= self.count:
            return self
        wanted = {index * self.count // limit for index in range(limit)}
        kept = (item for index, item in enumerate(self.items) if index in wanted)
        return Examples(kept, limit, self.class_names)
