"""The sliced Wasserstein distance against closed forms for Gaussians, scipy in one dimension, and the long way."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sfddm.evaluation.intervals import Blocks, Replicated
from sfddm.evaluation.metrics import mind
from sfddm.evaluation.metrics.base import Compared, find_metric
from sfddm.evaluation.reference import reference_statistics


def by_block(generated: np.ndarray, real: np.ndarray, blocks: Blocks | None = None) -> Replicated:
    given = generated.astype(np.float32), reference_statistics(real.astype(np.float32), 1)
    return find_metric("mind").by_block(Compared(*given, blocks or Blocks(len(generated), 2)))


def test_a_shift_of_the_same_points_costs_three_times_its_square() -> None:
    points = np.random.default_rng(0).standard_normal((300, 40))
    shift = np.linspace(-1, 1, 40)
    # Over the directions alone the squares of the products scatter by sqrt(2) of their mean |m|^2 / D.
    assert by_block(points + shift, points).value == pytest.approx(3 * shift @ shift, rel=4 * np.sqrt(2 / 1000))
    assert by_block(points, points).value == 0.0


def test_gaussians_of_different_scale_have_the_closed_form() -> None:
    random = np.random.default_rng(1)
    width, scale = 6, 1.5
    generated, real = scale * random.standard_normal((20_000, width)), random.standard_normal((20_000, width))
    # Along every direction they are N(0, scale^2) and N(0, 1): the squared distance is (scale - 1)^2.
    assert by_block(generated, real).value == pytest.approx(3 * width * (scale - 1) ** 2, rel=0.02)


@pytest.mark.parametrize(("count", "others"), [(40, 40), (40, 57), (57, 40), (30, 60), (7, 1)])
def test_one_dimension_is_scipys_quantiles(count: int, others: int) -> None:
    random = np.random.default_rng(2)
    x, y = np.sort(random.standard_normal(count)), np.sort(2 + 3 * random.standard_normal(others))
    middles = (np.arange(count * others) + 0.5) / (count * others)  # one in each piece of both step functions
    quantiles = [some[np.floor(middles * len(some)).astype(int)] for some in (x, y)]
    expected = np.mean((quantiles[0] - quantiles[1]) ** 2)
    rows = torch.from_numpy(x)[None], torch.from_numpy(y)[None]
    found = mind.squared_wasserstein(rows[0], mind.Quantiles.of(rows[1], count))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_replicates_leave_out_one_block_whatever_the_numbers_of_images() -> None:
    random = np.random.default_rng(3)
    generated, real = random.standard_normal((53, 9)), 0.5 + random.standard_normal((71, 9))
    blocks = Blocks(53, 5)
    found = by_block(generated, real, blocks)
    kept = [np.delete(generated, np.r_[place], axis=0) for place in blocks.slices()]
    np.testing.assert_allclose(found.replicates, [by_block(some, real).value for some in kept], rtol=1e-10)
    assert len(set(found.replicates)) == 5


def test_directions_are_the_same_however_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(4)
    generated, real = random.standard_normal((2, 50, 12))
    whole = by_block(generated, real).value
    monkeypatch.setattr(mind, "_VALUES", 50 * 7)
    assert by_block(generated, real).value == pytest.approx(whole, rel=1e-12)


def test_what_mean_and_covariance_do_not_show_is_seen() -> None:
    random = np.random.default_rng(5)
    real = random.standard_normal((4000, 2))
    signs = np.sign(random.standard_normal((4000, 2)))  # the same mean and covariance
    assert by_block(signs, real).value > 20 * by_block(random.standard_normal((4000, 2)), real).value
