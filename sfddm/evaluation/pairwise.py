"""Squared distances between features, as many at a time as memory allows; in float64, whatever the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfddm.extractors.base import Features

if TYPE_CHECKING:
    from torch import Tensor

_PAIRS = 1 << 24  # entries of a distance matrix held at once (128 MiB in float64)
_ROWS = 4096  # features held in float64 at once


def chunks(features: Features, device: str, rows: int | None = None) -> Iterator[tuple[slice, Tensor]]:
    """Yield (rows, these features as float64), so many rows at a time."""
    import torch

    size = rows or _ROWS
    for first in range(0, len(features), size):
        place = slice(first, min(first + size, len(features)))
        yield place, torch.from_numpy(np.asarray(features[place])).to(device, torch.float64)


def squared_distances(x: Features, y: Features, device: str) -> Iterator[tuple[slice, Tensor]]:
    """Yield (rows of x, their squared distances to all of y)."""
    import torch

    squares = torch.cat([chunk.square().sum(dim=1) for _, chunk in chunks(y, device)])
    for rows, part in chunks(x, device, max(1, _PAIRS // len(y))):
        distances = squares + part.square().sum(dim=1, keepdim=True)
        for columns, others in chunks(y, device):
            distances[:, columns].addmm_(part, others.T, alpha=-2)
        yield rows, distances.clamp_(min=0)


def nearest(features: Features, others: Features, device: str = "cpu") -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return (N,) the distance from each of (N, D) features to the nearest of (M, D) others, and (N,) its row."""
    found = [distances.min(dim=1) for _, distances in squared_distances(features, others, device)]
    squared = np.concatenate([part.values.cpu().numpy() for part in found])
    return np.sqrt(squared), np.concatenate([part.indices.cpu().numpy() for part in found])


def nearest_by_group(features: Features, labels: Tensor, groups: int, k: int, device: str) -> Tensor:
    """Return (N, groups, k) squared distances of each image to its k nearest others in each group, ascending.

    Where a group has fewer than k other images, the rest is infinite.
    """
    import torch

    members = [torch.nonzero(labels == group).flatten() for group in range(groups)]
    found = torch.full((len(features), groups, k), torch.inf, dtype=torch.float64, device=device)
    for rows, distances in squared_distances(features, features, device):
        places = torch.arange(rows.start, rows.stop, device=device)
        distances[places - rows.start, places] = torch.inf
        for group, member in enumerate(members):
            count = min(k, len(member))
            if count:
                part = distances if groups == 1 else distances[:, member]
                found[rows, group, :count] = part.topk(count, dim=1, largest=False, sorted=True).values
    return found
