"""Pairs as a training sees them: images that the teacher made, with the noise they came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sfddm.diffusion.randomness import initial_noise
from sfddm.objectives.terms import Pairs
from sfddm.runtime.arrays import open_array
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import read_json
from sfddm.training.feed import Feed


class PairsFeed:
    """Gives the pairs of a step.

    Args:
        folder: what the stage ``pairs`` wrote.
        batch_size: pairs a step, over all processes.
        seed: of their order.
        device: where batches go.

    Raises:
        SfddmError: the folder does not hold pairs, or they were changed.
    """

    def __init__(self, folder: Path, batch_size: int, seed: int, device: torch.device) -> None:
        self._batch_size, self._seed, self._device = batch_size, seed, device
        try:
            self._images = open_array(folder / "images.npy").astype(np.float32)
            self._labels = np.array(open_array(folder / "labels.npy"))
            noise_seed = read_json(folder / "pairs.json")["seed"]
            if not isinstance(noise_seed, int) or not 0 <= noise_seed < 1 << 64:
                raise ValueError(f"the seed is {noise_seed!r}")
            if self._images.ndim != 4 or self._labels.shape != (len(self._images),):
                raise ValueError(f"images {self._images.shape} and labels {self._labels.shape} do not fit")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SfddmError(f"{folder}: not pairs written by `sfddm pairs` ({error})") from None
        self._noise = initial_noise(noise_seed, 0, len(self._images), self._images.shape[1:])
        self._feeds = self._make_feeds(np.arange(len(self._images)))

    def keep(self, classes: tuple[int, ...]) -> None:
        """Give pairs of these classes only.

        Raises:
            SfddmError: there is none.
        """
        rows = np.flatnonzero(np.isin(self._labels, classes))
        if not len(rows):
            raise SfddmError("pairs: none belongs to the classes of this student; make more")
        self._feeds = self._make_feeds(rows)

    def _make_feeds(self, rows: NDArray[np.int64]) -> tuple[Feed, Feed]:
        def feed(values: NDArray[Any]) -> Feed:
            return Feed(values[rows], self._labels[rows], self._batch_size, self._seed, True, self._device)

        return feed(self._noise), feed(self._images)

    def batch(self, step: int, share: slice = slice(None)) -> Pairs:
        """Return this process's part of the pairs of a step."""
        (noise, labels), (images, _) = (feed.batch(step) for feed in self._feeds)
        assert labels is not None
        return Pairs(noise[share], images[share], None if (labels < 0).all() else labels[share])
