"""Randomness as functions: equal questions, equal numbers; different questions, unrelated numbers."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sfddm.diffusion.randomness import (
    derived_seed,
    epoch_order,
    initial_noise,
    initialisation_generator,
    step_noise,
    training_noise,
)

seeds = st.integers(0, 2**63 - 1)
SHAPE = (1, 4, 4)
CPU = torch.device("cpu")


@given(seeds, st.integers(0, 10_000), st.integers(1, 12), st.data())
def test_the_noise_of_a_sample_does_not_depend_on_its_batch(
    seed: int, first: int, count: int, data: st.DataObject
) -> None:
    whole = initial_noise(seed, first, count, SHAPE)
    split = data.draw(st.integers(0, count))
    parts = [initial_noise(seed, first, split, SHAPE)] if split else []
    parts += [initial_noise(seed, first + split, count - split, SHAPE)] if split < count else []
    assert whole.dtype == np.float32
    assert whole.shape == (count, *SHAPE)
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    k = data.draw(st.integers(0, count - 1))
    for step in (0, 3):
        noise = step_noise(seed, step, first, count, SHAPE)
        assert np.array_equal(noise[k], step_noise(seed, step, first + k, 1, SHAPE)[0])


def test_the_numbers_stay_the_same_from_version_to_version() -> None:
    """Published runs name their seed: these values may not change."""
    counter = np.array([0, 0, 0, 5], dtype=np.uint64)
    philox = np.random.Generator(np.random.Philox(key=np.array([3, 0], dtype=np.uint64), counter=counter))
    assert np.array_equal(initial_noise(3, 5, 1, (4,))[0], philox.standard_normal(4, dtype=np.float32))


@given(seeds, st.integers(0, 2**31), st.integers(0, 2**31))
def test_different_questions_share_no_numbers(seed: int, k: int, step: int) -> None:
    shape = (64,)
    answers = [
        initial_noise(seed, k, 1, shape),
        initial_noise(seed, k + 1, 1, shape),
        initial_noise(seed ^ 1, k, 1, shape),
        step_noise(seed, step, k, 1, shape),
        step_noise(seed, step + 1, k, 1, shape),
        step_noise(seed, step, k + 1, 1, shape),
        training_noise(seed, step, (1, 64), 8, CPU)[0].numpy(),
        training_noise(seed, step + 1, (1, 64), 8, CPU)[0].numpy(),
    ]
    values = np.concatenate([answer.ravel() for answer in answers])
    # 512 float32 normals agree by chance in a pair or two at most
    assert len(np.unique(values)) > len(values) - 4
    correlation = np.corrcoef(np.stack([answer.ravel() for answer in answers])) - np.eye(len(answers))
    assert np.abs(correlation).max() < 0.65  # 5 standard errors of 64 pairs


@pytest.mark.parametrize("noise", [initial_noise(11, 0, 4096, SHAPE), step_noise(11, 2, 0, 4096, SHAPE)])
def test_noise_is_standard_normal(noise: np.ndarray) -> None:
    """Of N = 65,536 numbers: mean within 4 / sqrt(N), variance within 4 sqrt(2 / N), fourth moment 4 sqrt(96 / N)."""
    count = noise.size
    assert abs(noise.mean()) < 4 / sqrt(count)
    assert abs(noise.var() - 1) < 4 * sqrt(2 / count)
    assert abs((noise**4).mean() - 3) < 4 * sqrt(96 / count)
    # neighbouring samples and neighbouring pixels are unrelated
    flat = noise.reshape(4096, -1)
    assert abs((flat[1:] * flat[:-1]).mean()) < 4 / sqrt(flat[1:].size)
    assert abs((flat[:, 1:] * flat[:, :-1]).mean()) < 4 / sqrt(flat[:, 1:].size)


@given(seeds, st.integers(0, 100_000), st.integers(1, 16), st.integers(1, 1024))
def test_training_noise_is_a_function_of_seed_and_step(seed: int, step: int, count: int, positions: int) -> None:
    shape = (count, 1, 2, 2)
    training_noise(seed, step + 1, shape, positions, CPU)  # whatever was asked before
    first = training_noise(seed, step, shape, positions, CPU)
    torch.rand(3)  # whatever else draws numbers
    again = training_noise(seed, step, shape, positions, CPU)
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one, other)
    noise, k, flips = first
    assert (noise.shape, noise.dtype) == (shape, torch.float32)
    assert (k.shape, k.dtype) == ((count,), torch.int64)
    assert (flips.shape, flips.dtype) == ((count,), torch.bool)
    assert 0 <= int(k.min()) <= int(k.max()) < positions


def test_training_steps_and_flips_are_uniform() -> None:
    _, k, flips = training_noise(0, 0, (16_000, 1), 8, CPU)
    counts = torch.bincount(k, minlength=8)
    # binomial: 2,000 +- 4 sqrt(16,000 / 8 * 7 / 8)
    assert int((counts - 2000).abs().max()) < 4 * sqrt(16_000 * 7 / 64)
    assert abs(int(flips.sum()) - 8000) < 4 * sqrt(4000)


@given(seeds, st.integers(0, 1000), st.integers(1, 500))
def test_an_epochs_order_is_a_permutation_of_its_own(seed: int, epoch: int, count: int) -> None:
    order = epoch_order(seed, epoch, count)
    assert np.array_equal(np.sort(order), np.arange(count))
    assert np.array_equal(order, epoch_order(seed, epoch, count))
    if count > 20:
        assert not np.array_equal(order, epoch_order(seed, epoch + 1, count))
        assert not np.array_equal(order, epoch_order(seed ^ 1, epoch, count))


@settings(max_examples=20)
@given(seeds)
def test_first_weights_come_from_the_seed_alone(seed: int) -> None:
    one, same, other = (torch.rand(8, generator=initialisation_generator(s)) for s in (seed, seed, seed ^ 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


@given(st.lists(st.one_of(st.integers(0, 99), st.sampled_from(["teacher", "sfddm", "16"])), min_size=1, max_size=4))
def test_a_derived_seed_fits_63_bits_and_depends_on_every_part(parts: list[object]) -> None:
    seed = derived_seed(*parts)
    assert 0 <= seed < 2**63
    assert seed == derived_seed(*parts)
    assert seed != derived_seed(*parts, 0)
    assert seed != derived_seed(*parts[:-1], "other")
