"""Who is responsible for what where several students share the work: timesteps, or classes. Pure functions."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from sfddm.diffusion.schedule import Schedule
from sfddm.runtime.errors import SfddmError

Parts = tuple[tuple[int, ...], ...]


def equal_parts(items: tuple[int, ...], parts: int) -> Parts:
    """Cut a sequence into contiguous parts whose sizes differ by one at most; the larger ones come first.

    Raises:
        SfddmError: there are more parts than items.
    """
    if not 1 <= parts <= len(items):
        raise SfddmError(f"students: {len(items)} cannot be shared by {parts}; each needs one at least")
    return tuple(tuple(int(i) for i in part) for part in np.array_split(np.array(items), parts))


def equal_log_snr_parts(index_set: tuple[int, ...], schedule: Schedule, parts: int) -> Parts:
    """Cut a sequence of steps where the logarithm of the signal-to-noise ratio has come down by equal amounts.

    A part that one large step would leave empty (the last of a cosine schedule is such a step) takes its neighbour's.

    Raises:
        SfddmError: there are more parts than steps.
    """
    equal_parts(index_set, parts)
    alphas_bar = schedule.alphas_bar[list(index_set)]
    log_snr = np.log(alphas_bar) - np.log1p(-alphas_bar)
    edges = np.linspace(log_snr[0], log_snr[-1], parts + 1)[1:-1]
    first = np.searchsorted(-log_snr, -edges) - np.arange(parts - 1)  # of each part but the first, less its number
    first = np.clip(np.maximum.accumulate(first), 1, len(index_set) - parts + 1) + np.arange(parts - 1)
    return parts_at(index_set, [index_set[int(k)] for k in first])


def parts_at(index_set: tuple[int, ...], boundaries: list[int]) -> Parts:
    """Cut a sequence of steps before each of the boundaries, which are teacher indices.

    Raises:
        SfddmError: the boundaries do not increase, or a part would hold no step.
    """
    edges = [-1, *boundaries, index_set[-1] + 1]
    cut = tuple(tuple(t for t in index_set if low <= t < high) for low, high in pairwise(edges))
    if sorted(edges) != edges or not all(cut):
        raise SfddmError(f"partition: boundaries {boundaries} leave a student without a step of {len(index_set)}")
    return cut


def random_parts(items: tuple[int, ...], parts: int, seed: int) -> Parts:
    """Cut a random order of the items into parts of equal size (one more or less); each part is sorted.

    Raises:
        SfddmError: there are more parts than items.
    """
    order = np.random.default_rng(seed).permutation(np.array(items))
    return tuple(tuple(sorted(part)) for part in equal_parts(tuple(int(i) for i in order), parts))


def clustered_parts(features: NDArray[np.float64], parts: int, seed: int, rounds: int = 20) -> Parts:
    """Cut n classes into parts of equal size (one more or less) whose mean features lie close together.

    k-means with equal cluster sizes: each round gives every class to a centre at the least total squared distance
    (an assignment problem over as many seats a centre as a part has), then moves the centres.

    Args:
        features: (n, D) one mean feature vector a class.
        parts: K.
        seed: of the first centres.
        rounds: at most so many rounds.

    Raises:
        SfddmError: there are more parts than classes.
    """
    from scipy.optimize import linear_sum_assignment

    classes = tuple(range(len(features)))
    seats = np.repeat(np.arange(parts), [len(part) for part in equal_parts(classes, parts)])
    centres = features[np.random.default_rng(seed).choice(len(features), parts, replace=False)]
    owner = np.full(len(features), -1)
    for _ in range(rounds):
        distances = ((features[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)  # (n, K)
        rows, columns = linear_sum_assignment(distances[:, seats])
        before, owner = owner, seats[columns[np.argsort(rows)]]
        if np.array_equal(before, owner):
            break
        centres = np.stack([features[owner == part].mean(axis=0) for part in range(parts)])
    return tuple(sorted(tuple(int(i) for i in np.flatnonzero(owner == part)) for part in range(parts)))
