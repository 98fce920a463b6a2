"""The extrapolated Frechet distance against Gaussians whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest

from sfddm.evaluation.intervals import Blocks, standard_error
from sfddm.evaluation.metrics.base import Compared, Reference, find_metric
from sfddm.evaluation.metrics.fd_infinity import drawn_parts, intercept
from sfddm.evaluation.metrics.frechet_distance import FrechetDistance
from sfddm.evaluation.reference import reference_statistics
from sfddm.runtime.errors import SfddmError

WIDTH, IMAGES = 16, 300
SCALES, FACTOR, SHIFT = 0.5 + np.arange(WIDTH) / WIDTH, 1.1, 0.2
#: |m|^2 + sum of (s - s_r)^2 for covariances with one basis.
TRUE = WIDTH * SHIFT**2 + float(((FACTOR - 1) * SCALES) @ ((FACTOR - 1) * SCALES))


@pytest.fixture(scope="module")
def reference() -> Reference:
    """Exactly the mean 0 and the covariance diag(SCALES^2), so that the images' number alone biases."""
    points = np.random.default_rng(0).standard_normal((400, WIDTH))
    points -= points.mean(axis=0)
    white = points @ np.linalg.inv(np.linalg.cholesky(np.cov(points, rowvar=False)).T)
    return reference_statistics((white * SCALES).astype(np.float32), 3)


def drawn(seed: int) -> np.ndarray:
    normal = np.random.default_rng(seed).standard_normal((IMAGES, WIDTH))
    return (SHIFT + FACTOR * SCALES * normal).astype(np.float32)


def test_it_is_nearer_to_the_true_distance_than_the_plain_one(reference: Reference) -> None:
    blocks = Blocks(IMAGES, 5)
    found = []
    for seed in range(1, 31):
        compared = Compared(drawn(seed), reference, blocks)
        found.append([find_metric(name).by_block(compared).value for name in ("frechet_distance", "fd_infinity")])
    (plain, extrapolated), errors = np.mean(found, axis=0), np.std(found, axis=0) / np.sqrt(len(found))
    assert plain - TRUE > 5 * errors[0]
    assert abs(extrapolated - TRUE) < 3 * errors[1]
    assert abs(extrapolated - TRUE) < 0.2 * (plain - TRUE)


def test_its_interval_has_the_spread_over_other_samples(reference: Reference) -> None:
    blocks = Blocks(IMAGES, 10)
    found = [find_metric("fd_infinity").by_block(Compared(drawn(seed), reference, blocks)) for seed in range(1, 31)]
    spread = np.std([one.value for one in found], ddof=1)
    assert np.mean([standard_error(one, blocks) for one in found]) == pytest.approx(spread, rel=0.4)


def test_replicates_are_lines_through_the_same_parts_without_the_block(reference: Reference) -> None:
    features, blocks = drawn(1), Blocks(IMAGES - 1, 4)
    features = features[: blocks.images]
    parts = {1: [np.arange(blocks.images)], 2: list(drawn_parts(blocks, 2)), 3: list(drawn_parts(blocks, 3))}

    def line(left_out: int | None) -> float:
        points = []
        for rows_of_parts in parts.values():
            kept = [rows[blocks.labels()[rows] != left_out] for rows in rows_of_parts]
            distance = np.mean([FrechetDistance().value(features[rows], reference) for rows in kept])
            points.append((1 / len(kept[0]), distance))
        return float(np.polyfit(*np.transpose(points), 1)[1])

    found = find_metric("fd_infinity").by_block(Compared(features, reference, blocks))
    expected = [line(None), *(line(block) for block in range(4))]
    np.testing.assert_allclose([found.value, *found.replicates], expected, rtol=1e-6)


def test_parts_are_disjoint_have_as_many_of_each_block_and_do_not_change() -> None:
    blocks = Blocks(64, 4)
    parts = list(drawn_parts(blocks, 3))
    assert [len(part) for part in parts] == [20, 20, 20]
    assert len(set(np.concatenate(parts))) == 60
    for part in parts:
        assert blocks.labels()[part].tolist() == np.repeat(range(4), 5).tolist()
    assert np.array_equal(np.stack(parts), np.stack(list(drawn_parts(blocks, 3))))
    assert np.sort(np.concatenate(parts)).tolist() != np.concatenate(parts).tolist()


def test_the_intercept_of_points_on_a_line_is_the_lines() -> None:
    numbers = np.array([600, 300, 200])
    lines = 3.0 + np.stack([100 / numbers, -40 / numbers], axis=1)
    np.testing.assert_allclose(intercept(numbers, lines), [3.0, 3.0])


def test_too_few_images_for_parts_are_refused(reference: Reference) -> None:
    compared = Compared(drawn(1)[:39], reference, Blocks(39, 10))
    with pytest.raises(SfddmError, match=r"evaluation\.metrics: fd_infinity needs at least 40 images for 10 blocks"):
        find_metric("fd_infinity").by_block(compared)
