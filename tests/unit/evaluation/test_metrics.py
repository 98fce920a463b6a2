"""The metrics against torch-fidelity's own functions, closed forms and replicates computed the long way."""

from __future__ import annotations

import numpy as np
import pytest

from sfddm.evaluation import pairwise
from sfddm.evaluation.intervals import Blocks
from sfddm.evaluation.metrics.base import Compared, Metric, find_metric
from sfddm.evaluation.metrics.frechet_distance import FrechetDistance
from sfddm.evaluation.metrics.kid import kernel_distance, kernel_mean
from sfddm.evaluation.metrics.precision import neighbours
from sfddm.evaluation.reference import reference_statistics
from sfddm.runtime.errors import SfddmError

REAL, GENERATED, WIDTH = 190, 123, 24
BLOCKS = Blocks(GENERATED, 10)


@pytest.fixture
def features():
    """Correlated features of two overlapping clouds, far from the origin as activations are."""
    random = np.random.default_rng(1)
    mix = random.standard_normal((WIDTH, WIDTH)) / 4
    real = 2 + random.standard_normal((REAL, WIDTH)) @ mix
    generated = 2.1 + 0.9 * random.standard_normal((GENERATED, WIDTH)) @ mix
    return generated.astype(np.float32), real.astype(np.float32)


def without(features, place):
    return np.delete(features, np.r_[place], axis=0)


def theirs(name):
    from sfddm.runtime.torchvision_operators import declare_missing_operators

    declare_missing_operators()
    import torch_fidelity.metric_fid as fid
    import torch_fidelity.metric_kid as kid
    import torch_fidelity.metric_prc as prc

    return {"fid": fid, "kid": kid, "prc": prc}[name]


def fidelity_frechet(generated, real):
    import torch

    fid = theirs("fid")
    ours, reference = (
        fid.fid_features_to_statistics(torch.from_numpy(x.astype(np.float64))) for x in (generated, real)
    )
    return fid.fid_statistics_to_metric(ours, reference, False)[fid.KEY_METRIC_FID]


def by_block(metric, generated, real, blocks=BLOCKS, k=3):
    return find_metric(metric).by_block(Compared(generated, reference_statistics(real, k), blocks))


def test_frechet_distance_and_its_replicates_are_torch_fidelitys(features):
    generated, real = features
    found = by_block("frechet_distance", generated, real)
    value = FrechetDistance().value(generated, reference_statistics(real, 3))
    assert value == pytest.approx(fidelity_frechet(generated, real), rel=1e-12)
    assert found.value == pytest.approx(fidelity_frechet(generated, real), rel=1e-9)
    long_way = [fidelity_frechet(without(generated, place), real) for place in BLOCKS.slices()]
    np.testing.assert_allclose(found.replicates, long_way, rtol=1e-8)


def test_frechet_distance_with_fewer_images_than_features(features):
    generated, real = (x[:20] for x in features)
    blocks = Blocks(20, 4)
    found = by_block("frechet_distance", generated, real, blocks)
    long_way = [fidelity_frechet(without(generated, place), real) for place in blocks.slices()]
    np.testing.assert_allclose(found.replicates, long_way, rtol=1e-5)


def test_frechet_distance_of_gaussians_has_the_closed_form():
    random = np.random.default_rng(2)
    scales, others, shift = (
        np.array([1.0, 2.0, 0.5, 1.5]),
        np.array([1.5, 1.0, 0.5, 3.0]),
        np.array([1, 0, -2, 0.5]),
    )
    basis = np.linalg.qr(random.standard_normal((4, 4)))[0]
    noise = random.standard_normal((2, 5_000, 4))
    noise -= noise.mean(axis=1, keepdims=True)
    white = [x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False)).T) for x in noise]
    real, generated = white[0] * scales @ basis, (white[1] * others + shift) @ basis
    both = generated.astype(np.float32), real.astype(np.float32)
    found = by_block("frechet_distance", *both, Blocks(len(real), 2))
    expected = float(shift @ shift + ((scales - others) ** 2).sum())
    assert found.value == pytest.approx(expected, rel=1e-5)


def test_kid_is_torch_fidelitys_on_one_subset_of_everything(features):
    generated, real = (x[:120] for x in features)
    kid = theirs("kid")
    kernels = [
        kid.kernel_poly(x.astype(np.float64), y.astype(np.float64))
        for x, y in ((generated, generated), (generated, real), (real, real))
    ]
    expected = kid.mmd2(*kernels)
    blocks = Blocks(120, 10)
    assert kernel_distance(generated, real, kernel_mean(real), blocks).value == pytest.approx(expected, rel=1e-9)


def kid_the_long_way(generated, real):
    def kernel(x, y):
        return (x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1) ** 3

    within = [
        (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in (kernel(generated, generated), kernel(real, real))
    ]
    return sum(within) - 2 * kernel(generated, real).mean()


def test_kid_replicates_leave_out_one_block(features):
    generated, real = features
    found = kernel_distance(generated, real, kernel_mean(real), BLOCKS)
    assert found.value == pytest.approx(kid_the_long_way(generated, real), rel=1e-9)
    long_way = [kid_the_long_way(without(generated, place), real) for place in BLOCKS.slices()]
    np.testing.assert_allclose(found.replicates, long_way, rtol=1e-9)


def test_kid_is_unbiased_whatever_the_number_of_images():
    random = np.random.default_rng(3)
    found = []
    for _ in range(200):
        generated, real = (random.standard_normal((n, 5)).astype(np.float32) for n in (12, 9))
        found.append(kernel_distance(generated, real, kernel_mean(real), Blocks(12, 4)).value)
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))


def fidelity_precision_recall(generated, real, k):
    import torch

    prc = theirs("prc")
    found = prc.prc_features_to_metric(
        torch.from_numpy(generated).double(),
        torch.from_numpy(real).double(),
        prc_neighborhood=k,
        verbose=False,
    )
    return found["precision"], found["recall"]


@pytest.mark.parametrize("k", [1, 3])
def test_precision_and_recall_and_their_replicates_are_torch_fidelitys(features, k):
    generated, real = features
    precision, recall = (by_block(metric, generated, real, k=k) for metric in ("precision", "recall"))
    expected = fidelity_precision_recall(generated, real, k)
    assert (precision.value, recall.value) == pytest.approx(expected, abs=1e-6)
    assert 0.1 < recall.value < 0.99
    long_way = [fidelity_precision_recall(without(generated, place), real, k) for place in BLOCKS.slices()]
    np.testing.assert_allclose(np.stack([precision.replicates, recall.replicates], axis=1), long_way, atol=1e-6)


def test_replicates_from_sums_are_those_of_the_figure_computed_again(features):
    generated, real = features
    compared = Compared(generated, reference_statistics(real, 3), BLOCKS)
    fast, plain = FrechetDistance().by_block(compared), Metric.by_block(FrechetDistance(), compared)
    np.testing.assert_allclose([fast.value, *fast.replicates], [plain.value, *plain.replicates], rtol=1e-7)


def test_what_two_metrics_share_is_computed_once(features):
    generated, real = features
    compared, calls = Compared(generated, reference_statistics(real, 3), BLOCKS), []
    assert [compared.once(lambda given, calls=calls: calls.append(given)) for _ in range(2)] == [None, None]
    shared = compared.once(neighbours)
    assert find_metric("precision").by_block(compared) is shared.precision
    assert find_metric("recall").by_block(compared) is shared.recall


def test_memory_is_bounded_without_changing_a_figure(features, monkeypatch):
    generated, real = features
    reference = reference_statistics(real, 3)
    whole = (
        kernel_distance(generated, reference.features, reference.kernel_mean, BLOCKS),
        *vars(neighbours(Compared(generated, reference, BLOCKS))).values(),
        find_metric("mind").by_block(Compared(generated, reference, BLOCKS)),
    )
    monkeypatch.setattr(pairwise, "_PAIRS", 1000)
    monkeypatch.setattr(pairwise, "_ROWS", 17)
    reference = reference_statistics(real, 3)
    parts = (
        kernel_distance(generated, reference.features, reference.kernel_mean, BLOCKS),
        *vars(neighbours(Compared(generated, reference, BLOCKS))).values(),
        find_metric("mind").by_block(Compared(generated, reference, BLOCKS)),
    )
    for one, other in zip(whole, parts, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-9)
        np.testing.assert_allclose(one.replicates, other.replicates, rtol=1e-9)
    frechet = [FrechetDistance().value(generated, reference), fidelity_frechet(generated, real)]
    assert frechet[0] == pytest.approx(frechet[1], rel=1e-9)


def test_too_few_images_for_the_nearest_neighbours(features):
    generated, real = features
    with pytest.raises(SfddmError, match=r"evaluation\.nearest_neighbours: 190 needs more than 190 reference images"):
        reference_statistics(real, 190)
    with pytest.raises(SfddmError, match=r"evaluation\.nearest_neighbours: 3 needs more than 3 generated images"):
        by_block("precision", generated[:4], real, Blocks(4, 2))
