"""Density and coverage against points counted by hand, brute force, and what they are for equal distributions."""

from __future__ import annotations

import numpy as np
import pytest

from sfddm.evaluation.intervals import Blocks, Replicated
from sfddm.evaluation.metrics.base import Compared, find_metric
from sfddm.evaluation.reference import reference_statistics


def by_block(metric: str, generated: np.ndarray, real: np.ndarray, blocks: Blocks, k: int) -> Replicated:
    given = generated.astype(np.float32), reference_statistics(real.astype(np.float32), k)
    return find_metric(metric).by_block(Compared(*given, blocks))


def brute_force(generated: np.ndarray, real: np.ndarray, k: int) -> tuple[float, float]:
    """Naeem et al. 2020, section 3: both from the full matrices of distances."""
    among = np.sort(np.linalg.norm(real[:, None] - real[None], axis=2), axis=1)
    held = np.linalg.norm(real[:, None] - generated[None], axis=2) <= among[:, k][:, None]
    return float(held.sum() / (k * len(generated))), float(held.any(axis=1).mean())


def test_points_on_a_line_counted_by_hand() -> None:
    real = np.array([[0.0], [1.0], [3.0]])  # balls [-1, 1], [0, 2] and [1, 5]
    generated = np.array([[0.5], [3.5], [10.0], [5.0]])  # in 2, 1, 0 and, on the edge, 1 of them
    density, coverage = (by_block(name, generated, real, Blocks(4, 2), 1) for name in ("density", "coverage"))
    assert (density.value, density.replicates.tolist()) == (1.0, [0.5, 1.5])
    assert (coverage.value, coverage.replicates.tolist()) == (1.0, [pytest.approx(1 / 3), 1.0])


@pytest.mark.parametrize("k", [1, 3, 5])
def test_figures_and_replicates_are_those_of_brute_force(k: int) -> None:
    random = np.random.default_rng(k)
    real, generated = random.standard_normal((90, 6)), 0.3 + 0.8 * random.standard_normal((67, 6))
    blocks = Blocks(67, 5)  # two images are in no block
    kept = [np.delete(generated, np.r_[place], axis=0) for place in blocks.slices()]
    expected = np.array([brute_force(some, real, k) for some in (generated, *kept)])
    assert 0.2 < expected[0, 1] < 0.98
    for column, name in enumerate(("density", "coverage")):
        found = by_block(name, generated, real, blocks, k)
        np.testing.assert_allclose([found.value, *found.replicates], expected[:, column], rtol=1e-12)


def test_equal_distributions_have_a_density_of_one_and_the_known_coverage() -> None:
    k, size, random = 3, 100, np.random.default_rng(0)
    found = []
    for _ in range(60):
        generated, real = random.standard_normal((2, size, 4))
        given = generated, real, Blocks(size, 2), k
        found.append([by_block(name, *given).value for name in ("density", "coverage")])
    # A real image is uncovered where its k nearest, among both sets' other images, are all real.
    uncovered = np.prod([(size - 1 - j) / (2 * size - 1 - j) for j in range(k)])
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.mean(found, axis=0) - [1.0, 1 - uncovered]) < 4 * error).all()
    assert 1 - uncovered == pytest.approx(1 - 2.0**-k, abs=0.005)


def test_a_real_outlier_raises_the_precision_and_hardly_the_density() -> None:
    random = np.random.default_rng(1)
    real = np.concatenate([random.standard_normal((100, 2)), [[40.0, 0.0]]])  # its ball reaches the others
    generated = 20 + random.standard_normal((100, 2)) * [1, 0] - [0, 20]  # between the outlier and the rest
    density, precision = (
        by_block(name, generated, real, Blocks(100, 10), 3).value for name in ("density", "precision")
    )
    assert precision == 1.0
    assert density < 0.5


def test_dropped_modes_lower_the_coverage() -> None:
    random = np.random.default_rng(2)
    modes = 100.0 * np.repeat(np.arange(4), 50)[:, None]
    real = modes + random.standard_normal((200, 2))
    generated = 100.0 * np.repeat([0, 1], 100)[:, None] + random.standard_normal((200, 2))
    coverage = by_block("coverage", generated, real, Blocks(200, 10), 3)
    assert 0.4 < coverage.value <= 0.5
