"""Who is responsible for what: every step and every class exactly once, in parts as even as can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfddm.diffusion.partition import clustered_parts, equal_log_snr_parts, equal_parts, parts_at, random_parts
from sfddm.diffusion.schedule import make_schedule
from sfddm.runtime.errors import SfddmError

counts = st.tuples(st.integers(1, 60), st.integers(1, 60)).filter(lambda pair: pair[1] <= pair[0])


@given(counts)
def test_equal_parts_hold_everything_once_in_order(pair: tuple[int, int]) -> None:
    items, parts = pair
    cut = equal_parts(tuple(range(items)), parts)
    assert [i for part in cut for i in part] == list(range(items))
    assert len(cut) == parts
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


@given(counts, st.integers(0, 5))
def test_random_parts_hold_everything_once(pair: tuple[int, int], seed: int) -> None:
    items, parts = pair
    cut = random_parts(tuple(range(items)), parts, seed)
    assert sorted(i for part in cut for i in part) == list(range(items))
    assert max(map(len, cut)) - min(map(len, cut)) <= 1
    assert cut == random_parts(tuple(range(items)), parts, seed)


@given(counts.filter(lambda pair: pair[0] <= 20), st.integers(0, 3))
def test_clustered_parts_hold_every_class_once(pair: tuple[int, int], seed: int) -> None:
    classes, parts = pair
    features = np.random.default_rng(seed).standard_normal((classes, 3))
    cut = clustered_parts(features, parts, seed)
    assert sorted(i for part in cut for i in part) == list(range(classes))
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


def test_clusters_that_lie_apart_are_found_whatever_the_order_of_the_classes() -> None:
    centres = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    order = np.array([2, 0, 1, 1, 2, 0, 0, 1, 2])
    features = centres[order] + 0.1 * np.random.default_rng(0).standard_normal((9, 2))
    cut = clustered_parts(features, 3, seed=1)
    assert {frozenset(part) for part in cut} == {frozenset(np.flatnonzero(order == c).tolist()) for c in range(3)}


@pytest.mark.parametrize("parts", [1, 2, 4, 8])
def test_equal_shares_of_the_log_snr_are_equal(parts: int) -> None:
    schedule = make_schedule("linear", 1024)
    cut = equal_log_snr_parts(tuple(range(1024)), schedule, parts)
    assert [t for part in cut for t in part] == list(range(1024))
    log_snr = np.log(schedule.alphas_bar / (1 - schedule.alphas_bar))
    shares = np.diff(log_snr[[part[0] for part in cut] + [1023]])
    assert np.allclose(shares, shares.mean(), rtol=0.1), "one step of rounding at each edge"


def test_listed_boundaries_begin_a_part() -> None:
    assert parts_at((1, 3, 5, 7), [3, 7]) == ((1,), (3, 5), (7,))


@pytest.mark.parametrize("boundaries", [[1], [8], [5, 3], [4, 5]])
def test_a_student_without_a_step_is_refused(boundaries: list[int]) -> None:
    with pytest.raises(SfddmError, match="leave a student without a step"):
        parts_at((1, 3, 5, 7), boundaries)


def test_more_parts_than_items_are_refused() -> None:
    with pytest.raises(SfddmError, match=r"students: 3 cannot be shared by 4"):
        equal_parts((0, 1, 2), 4)
