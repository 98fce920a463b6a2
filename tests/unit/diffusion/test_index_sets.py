"""Index sets by angle, and the search for the cheapest path, against all paths there are."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfddm.diffusion.index_sets import cheapest_path, check_index_set, dense_indices, make_index_set
from sfddm.diffusion.schedule import ScheduleKind, make_schedule
from sfddm.runtime.errors import SfddmError

# --- by angle -----------------------------------------------------------------------------------------------------


@given(st.sampled_from(get_args(ScheduleKind)), st.integers(2, 512), st.data())
def test_angles_are_as_even_as_the_schedule_allows(kind: ScheduleKind, timesteps: int, data: st.DataObject) -> None:
    alphas_bar = make_schedule(kind, timesteps).alphas_bar
    steps = data.draw(st.integers(1, timesteps))
    index_set = make_index_set("angle", timesteps, steps, alphas_bar=alphas_bar)
    check_index_set(index_set, timesteps)
    assert len(index_set) == steps
    assert index_set[-1] == timesteps - 1
    angles = np.arccos(np.sqrt(alphas_bar))
    wanted = angles[-1] * np.arange(1, steps + 1) / steps
    gaps = np.diff(np.concatenate([[0.0], angles]))
    if gaps.max() * steps < angles[-1] / 2:  # where no two wanted angles share a nearest index
        assert np.abs(angles[list(index_set)] - wanted).max() <= gaps.max() / 2 + 1e-9


def test_a_cosine_schedule_is_even_in_angle_already() -> None:
    """Nichol & Dhariwal's sqrt(alphas_bar) is a cosine of time, but for its small offset and the capped last beta."""
    by_angle = make_index_set("angle", 1024, 8, alphas_bar=make_schedule("cosine", 1024).alphas_bar)
    assert np.abs(np.subtract(by_angle, make_index_set("linspace", 1024, 8))).max() <= 8
    sigmoid = make_schedule("sigmoid", 1024, sigmoid_start=-6.0).alphas_bar
    assert np.abs(np.subtract(make_index_set("angle", 1024, 8, alphas_bar=sigmoid), by_angle)).max() > 100


# --- the cheapest path --------------------------------------------------------------------------------------------


def cost_of(path: tuple[int, ...], costs: np.ndarray, coefficient: float) -> float:
    return sum(coefficient**i * costs[j] for i, j in enumerate(pairwise(path)))


@given(st.integers(2, 9), st.floats(0.5, 1.5), st.integers(0, 10_000), st.data())
def test_no_path_is_cheaper_than_the_one_found(nodes: int, coefficient: float, seed: int, data: st.DataObject) -> None:
    """Over every path of that many jumps; costs may be negative, as deviations can be."""
    jumps = data.draw(st.integers(1, nodes - 1))
    costs = np.random.default_rng(seed).normal(1.0, 1.0, (nodes, nodes))
    found = cheapest_path(costs, jumps, coefficient)
    assert (found[0], found[-1], len(found)) == (0, nodes - 1, jumps + 1)
    every = [(0, *middle, nodes - 1) for middle in combinations(range(1, nodes - 1), jumps - 1)]
    assert found in every
    least = min(cost_of(path, costs, coefficient) for path in every)
    assert cost_of(found, costs, coefficient) == pytest.approx(least, abs=1e-12)


def test_convex_costs_give_even_jumps() -> None:
    nodes = np.arange(13)
    squared = np.square(nodes[:, None] - nodes[None, :]).astype(float)
    assert cheapest_path(squared, 4, 1.0) == (0, 3, 6, 9, 12)
    later_cheaper = cheapest_path(squared, 4, 1.15)
    assert np.all(np.diff(np.diff(later_cheaper)) <= 0), "what lies further on weighs more, so jumps there are shorter"
    assert later_cheaper != (0, 3, 6, 9, 12)


@given(st.integers(2, 2048), st.data())
def test_the_dense_path_holds_the_last_step_and_enough(timesteps: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, min(60, timesteps)))
    dense = dense_indices(timesteps, steps)
    check_index_set(dense, timesteps)
    assert len(dense) == min(60, timesteps)
    assert dense[-1] == timesteps - 1
    with pytest.raises(SfddmError, match=r"^steps: index_set gits chooses among \d+ steps of the teacher, got "):
        dense_indices(timesteps, len(dense) + 1)
