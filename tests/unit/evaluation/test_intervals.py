"""The interval: exact where there is a formula, and of the stated coverage where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from sfddm.evaluation.intervals import Blocks, Replicated, interval, standard_error
from sfddm.evaluation.metrics.base import Compared, find_metric
from sfddm.evaluation.reference import reference_statistics
from sfddm.runtime.errors import SfddmError


def mean_of(values: np.ndarray, blocks: Blocks) -> Replicated:
    left = [np.delete(values, np.r_[place]).mean() for place in blocks.slices()]
    return Replicated(float(values.mean()), np.array(left))


def test_blocks_are_disjoint_and_of_one_size_and_the_remainder_is_never_left_out():
    blocks = Blocks(1797, 10)
    sizes = np.bincount(blocks.labels())
    assert sizes.tolist() == [179] * 10 + [7]
    for block, place in enumerate(blocks.slices()):
        assert (blocks.labels()[place] == block).all()
        assert place.stop - place.start == 179
    assert blocks.kept == 1797 - 179


def test_a_block_needs_two_images():
    with pytest.raises(SfddmError, match=r"evaluation\.blocks: 10 blocks need at least 20 images, there are 19"):
        Blocks(19, 10)


def test_standard_error_of_a_mean_is_that_of_the_block_means():
    values = np.random.default_rng(0).standard_normal(200)
    blocks = Blocks(200, 10)
    expected = values.reshape(10, 20).mean(axis=1).std(ddof=1) / np.sqrt(10)
    assert standard_error(mean_of(values, blocks), blocks) == pytest.approx(expected)


def test_the_square_of_the_standard_error_of_a_mean_is_unbiased_with_a_remainder():
    random = np.random.default_rng(1)
    blocks = Blocks(29, 5)
    squares = [standard_error(mean_of(random.standard_normal(29), blocks), blocks) ** 2 for _ in range(4000)]
    assert np.mean(squares) == pytest.approx(1 / 29, rel=0.04)


def test_interval_uses_students_t_and_is_cut_off_at_the_figures_range():
    figure, blocks = Replicated(0.5, np.array([0.4, 0.6])), Blocks(20, 2)
    error = standard_error(figure, blocks)
    low, high = interval(figure, blocks, 0.95)
    assert high - 0.5 == pytest.approx(12.7062 * error, rel=1e-5)
    assert low == pytest.approx(1 - high)
    assert interval(figure, blocks, 0.95, 0, 1) == (0, 1)


def test_intervals_of_all_metrics_cover_the_expected_figure_of_a_new_sample():
    """The truth is the figure's mean over samples of this size: bias from the size is out of its scope."""
    random = np.random.default_rng(5)
    width, count, runs = 4, 260, 60
    reference = reference_statistics(random.standard_normal((300, width)).astype(np.float32), 3)
    blocks = Blocks(count, 10)
    found: list[list[tuple[float, float, float]]] = []
    for _ in range(runs):
        generated = (0.4 + 0.8 * random.standard_normal((count, width))).astype(np.float32)
        compared = Compared(generated, reference, blocks)
        names = ("frechet_distance", "kid", "precision", "recall")
        figures = [find_metric(name).by_block(compared) for name in names]
        found.append([(figure.value, *interval(figure, blocks, 0.95)) for figure in figures])
    value, low, high = np.array(found).transpose(2, 1, 0)
    truth = value.mean(axis=1, keepdims=True)
    coverage = ((low <= truth) & (truth <= high)).mean(axis=1)
    assert (coverage > 0.89).all(), coverage
    assert (coverage < 1).all(), coverage
