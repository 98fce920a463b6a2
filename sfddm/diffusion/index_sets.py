"""Index sets: which of a teacher's T steps a student, or a shorter walk, visits."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sfddm.runtime.errors import SfddmError

IndexSetKind = Literal["uniform", "uniform-released", "linspace", "quadratic", "concentrated"]


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
    kind: IndexSetKind, timesteps: int, steps: int, *, share: float = 0.4, spacing: int = 4
) -> tuple[int, ...]:
    """Return ``steps`` strictly increasing teacher indices in [0, timesteps).

    With c = T / T':
    ``uniform``           c (k + 1) - 1: the paper's x'_t = x_{ct}, ends at the teacher's last step; c must be whole.
    ``uniform-released``  floor(c) k: the released code; starts at step 0 and never reaches the last step.
    ``linspace``          round(c (k + 1)) - 1: equals ``uniform`` where that exists, and exists for every T'.
    ``quadratic``         squares of evenly spaced roots, dense near the data (DDIM 2020, appendix D.2).
    ``concentrated``      a ``share`` of the indices packed ``spacing`` apart around T/2, the others spread evenly.

    Raises:
        SfddmError: 1 <= steps <= timesteps does not hold, or the kind cannot give that many distinct indices.
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
    else:
        indices = _concentrated(timesteps, steps, share, spacing)
    index_set = tuple(int(index) for index in indices)
    check_index_set(index_set, timesteps)
    return index_set


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
