"""Index sets: which of a teacher's T steps a student, or a shorter walk, visits."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sfddm.diffusion.schedule import Float64
from sfddm.runtime.errors import SfddmError

IndexSetKind = Literal["uniform", "uniform-released", "linspace", "quadratic", "concentrated", "angle", "gits"]
#: Steps of the dense path of the teacher among which "gits" chooses.
DENSE_STEPS = 60
#: How many of the teacher's paths GITS looks at.
GITS_PATHS = 256


def check_index_set(index_set: tuple[int, ...], timesteps: int) -> None:
    """Raise SfddmError unless the indices are non-empty, strictly increasing and within [0, timesteps)."""
    if not index_set:
        raise SfddmError("index_set: an index set needs at least one index")
    if any(after <= before for before, after in pairwise(index_set)):
        raise SfddmError(f"index_set: indices must increase strictly, got {_shorten(index_set)}")
    if index_set[0] < 0 or index_set[-1] >= timesteps:
        raise SfddmError(f"index_set: indices must lie in 0..{timesteps - 1}, got {_shorten(index_set)}")


def _shorten(index_set: tuple[int, ...]) -> str:
    text = ", ".join(map(str, index_set))
    return f"[{text}]" if len(text) < 80 else f"[{text[:77]}...]"


def make_index_set(
    kind: IndexSetKind,
    timesteps: int,
    steps: int,
    *,
    share: float = 0.4,
    spacing: int = 4,
    alphas_bar: Float64 | None = None,
) -> tuple[int, ...]:
    """Return ``steps`` strictly increasing teacher indices in [0, timesteps).

    With c = T / T':
    ``uniform``           c (k + 1) - 1: the paper's x'_t = x_{ct}, ends at the teacher's last step; c must be whole.
    ``uniform-released``  floor(c) k: the released code; starts at step 0 and never reaches the last step.
    ``linspace``          round(c (k + 1)) - 1: equals ``uniform`` where that exists, and exists for every T'.
    ``quadratic``         squares of evenly spaced roots, dense near the data (DDIM 2020, appendix D.2).
    ``concentrated``      a ``share`` of the indices packed ``spacing`` apart around T/2, the others spread evenly.
    ``angle``             evenly spaced in arccos sqrt(alphas_bar) from the clean image to the last step, T - 1.

    Raises:
        SfddmError: 1 <= steps <= timesteps does not hold, or the kind cannot give that many distinct indices, as
            ``gits`` never can: its indices depend on the teacher (see :func:`dense_indices`).
    """
    if not 1 <= steps <= timesteps:
        raise SfddmError(f"steps: must lie in 1..{timesteps} (the teacher's timesteps), got {steps}")
    stride = timesteps // steps
    position = np.arange(1, steps + 1)
    if kind == "uniform":
        if timesteps % steps:
            raise SfddmError(f"index_set uniform: {steps} steps do not divide {timesteps}; use index_set: linspace")
        indices = stride * position - 1
    elif kind == "uniform-released":
        indices = stride * (position - 1)
    elif kind == "linspace":
        # Whole-number rounding, half up: exact for every T, and the last index is always T - 1.
        indices = (2 * timesteps * position + steps) // (2 * steps) - 1
    elif kind == "quadratic":
        # Where squares would fall on one index, each index is at least one above the one before.
        squares = np.ceil(timesteps * (position / steps) ** 2).astype(int) - 1
        indices = np.maximum.accumulate(squares - position) + position
    elif kind == "angle":
        assert alphas_bar is not None
        indices = _by_angle(alphas_bar, steps)
    elif kind == "gits":
        raise SfddmError("index_set gits: is for rows that train nothing, for it is found on the teacher's own path")
    else:
        indices = _concentrated(timesteps, steps, share, spacing)
    index_set = tuple(int(index) for index in indices)
    check_index_set(index_set, timesteps)
    return index_set


def karras_indices(alphas_bar: Float64, points: int, rho: float = 7.0) -> tuple[int, ...]:
    """Return the teacher indices nearest to ``points`` levels that are even in tau^(1 / rho), tau = sigma / signal.

    Karras et al. 2022 (arXiv 2206.00364), eq. 5, between the teacher's first step and its last, both among them. Where
    several levels fall on one index, it is there once, so that there may be fewer.

    Args:
        alphas_bar: (T,) cumulative alphas of the teacher.
        points: at least 2.
        rho: how much more densely small noise is covered; positive.
    """
    root = np.sqrt((1 - alphas_bar) / alphas_bar) ** (1 / rho)  # (T,), increasing
    wanted = np.linspace(root[0], root[-1], points)
    return tuple(int(index) for index in np.unique(np.abs(root - wanted[:, None]).argmin(axis=1)))


def dense_indices(timesteps: int, steps: int) -> tuple[int, ...]:
    """Return the indices of the teacher's dense path, among which GITS chooses ``steps``: 60, evenly spread, or all.

    Raises:
        SfddmError: there are fewer than ``steps``.
    """
    count = min(DENSE_STEPS, timesteps)
    if not 1 <= steps <= count:
        raise SfddmError(f"steps: index_set gits chooses among {count} steps of the teacher, got {steps}")
    return make_index_set("linspace", timesteps, count)


def cheapest_path(costs: Float64, jumps: int, coefficient: float) -> tuple[int, ...]:
    """Return the nodes of the cheapest path from the first node to the last in a number of jumps.

    A path's cost is that of its first jump plus ``coefficient`` times that of the rest: V[j][k] = min_i costs[j][i] +
    coefficient V[i][k - 1] (GITS, Chen et al. 2024, arXiv 2405.11326, Algorithm 1, and the released code).

    Args:
        costs: (N, N) of the jump from node i to a later node j, at [i, j]; the others are not looked at.
        jumps: 1 to N - 1.
        coefficient: weight of the rest of a path, positive.

    Returns:
        (jumps + 1,) increasing nodes, 0 and N - 1 among them.
    """
    last = len(costs) - 1
    forward = np.where(np.triu(np.ones_like(costs), 1) > 0, costs, np.inf)
    rest, choices = forward[:, last], list[NDArray[np.int64]]()
    for _ in range(jumps - 1):
        totals = forward + coefficient * rest
        choices.append(totals.argmin(axis=1))
        rest = totals.min(axis=1)
    nodes = [0]
    for choice in reversed(choices):
        nodes.append(int(choice[nodes[-1]]))
    return (*nodes, last)


def _by_angle(alphas_bar: Float64, steps: int) -> NDArray[np.int64]:
    """Return the indices nearest to even angles, moved apart where two fall on one."""
    angles = np.arctan2(np.sqrt(1 - alphas_bar), np.sqrt(alphas_bar))  # (T,), increasing
    position = np.arange(steps)
    wanted = angles[-1] * (position + 1) / steps
    nearest = np.abs(angles - wanted[:, None]).argmin(axis=1)
    apart = np.maximum.accumulate(nearest - position) + position
    return np.minimum(apart, len(angles) - steps + position)


def _concentrated(timesteps: int, steps: int, share: float, spacing: int) -> NDArray[np.int64]:
    packed = round(share * steps)
    first = timesteps // 2 - spacing * (packed // 2)
    dense = first + spacing * np.arange(packed)
    free = np.setdiff1d(np.arange(timesteps), np.arange(first, first + spacing * packed))
    others = steps - packed
    if len(free) < others or (packed and (first < 0 or dense[-1] >= timesteps)):
        raise SfddmError(
            f"index_set concentrated: {packed} indices {spacing} apart do not fit into {timesteps} timesteps"
        )
    even = free[(len(free) * np.arange(1, others + 1)) // others - 1] if others else free[:0]
    return np.sort(np.concatenate([dense, even]))
