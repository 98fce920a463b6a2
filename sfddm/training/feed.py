"""Batches as a function of (seed, step): the order of the images needs no state in a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sfddm.diffusion.randomness import drawn_classes, epoch_order

#: Images up to this many bytes are copied to the device once; larger sets stay memory-mapped.
RESIDENT_BYTES = 4 * 2**30


class Feed:
    """Gives the images of a step and their classes.

    Args:
        images: (N, H, W, C) uint8, possibly memory-mapped; or (N, C, H, W) float32, given out as they are.
        labels: (N,) int64 classes; None where nobody asks.
        batch_size: images a step, over all processes.
        seed: seed of the order.
        shuffle: a fresh permutation every epoch; otherwise as stored.
        device: where batches go.
    """

    def __init__(
        self,
        images: NDArray[np.uint8] | NDArray[np.float32],
        labels: NDArray[np.int64] | None,
        batch_size: int,
        seed: int,
        shuffle: bool,
        device: torch.device,
    ) -> None:
        self.count = len(images)
        self.labels = None if labels is None else torch.from_numpy(np.array(labels)).to(device)
        self.batch_size = batch_size
        self.device = device
        self.images = images
        self.resident = torch.from_numpy(np.array(images)).to(device) if images.nbytes <= RESIDENT_BYTES else None
        self._order = lru_cache(maxsize=2)(
            lambda epoch: epoch_order(seed, epoch, self.count) if shuffle else np.arange(self.count)
        )

    def indices(self, step: int) -> NDArray[np.int64]:
        """Return (B,) the images of a step: a window on the epochs' permutations, laid end to end."""
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size)
        epochs, offsets = np.divmod(positions, self.count)
        return np.concatenate([self._order(int(e))[offsets[epochs == e]] for e in np.unique(epochs)])

    def batch(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Return (B, C, H, W) float32 in [-1, 1] and (B,) their classes."""
        indices = self.indices(step)
        places = torch.from_numpy(indices).to(self.device, non_blocking=True)
        if self.resident is not None:
            chosen = self.resident[places]
        else:
            chosen = torch.from_numpy(self.images[indices]).to(self.device, non_blocking=True)
        images = to_float(chosen) if chosen.dtype == torch.uint8 else chosen
        return images, None if self.labels is None else self.labels[places]


@dataclass(frozen=True)
class NoImages:
    """What a data-free training gets in place of images.

    Attributes:
        count: how many an epoch counts.
        shape: (C, H, W) of an image.
        classes: those to draw; None: all that the network takes.
    """

    count: int
    shape: tuple[int, int, int]
    classes: tuple[int, ...] | None = None

    def __len__(self) -> int:
        return self.count


class DataFreeFeed:
    """Gives the classes of a step, drawn uniformly, and tensors without content in place of images.

    Args:
        shape: (C, H, W) of an image.
        classes: those to draw; None where nobody asks.
        batch_size: images a step, over all processes.
        seed: of the classes.
        device: where batches go.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        classes: tuple[int, ...] | None,
        batch_size: int,
        seed: int,
        device: torch.device,
    ) -> None:
        self.shape, self.classes, self.batch_size, self.seed, self.device = shape, classes, batch_size, seed, device

    def batch(self, step: int) -> tuple[Tensor, Tensor | None]:
        """Return (B, C, H, W) on torch's device ``meta``, which has a shape and no numbers, and (B,) classes.

        Whoever computes with such images beside noise, or reads a number of them, gets an error.
        """
        images = torch.empty(self.batch_size, *self.shape, device="meta")
        if self.classes is None:
            return images, None
        labels = torch.from_numpy(drawn_classes(self.seed, step, self.batch_size, self.classes))
        return images, labels.to(self.device)


def to_float(images: Tensor) -> Tensor:
    """Turn uint8 (B, H, W, C) into float32 (B, C, H, W) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float().div(127.5).sub(1.0).contiguous()


def to_uint8(images: Tensor) -> Tensor:
    """Turn float (B, C, H, W), clipped to [-1, 1], into uint8 (B, H, W, C), rounded to the nearest."""
    return images.clamp(-1, 1).add(1.0).mul(127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
