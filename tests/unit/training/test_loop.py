"""Batches as functions of (seed, step); the length of a training, its learning rate and its average of weights."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exact_networks import random_images

from sfddm.methods.options import TrainingOptions
from sfddm.training import feed as feed_module
from sfddm.training.ema import MovingAverage
from sfddm.training.feed import Feed, to_float, to_uint8
from sfddm.training.loop import learning_rate, step_count

CPU = torch.device("cpu")
IMAGES = random_images(10, size=4)
LABELS = np.arange(10) % 3


# --- batches ------------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 2**62), st.integers(0, 5), st.booleans())
def test_an_epoch_visits_each_image_once(count: int, batch_size: int, seed: int, epoch: int, shuffle: bool) -> None:
    """Batches are windows on permutations laid end to end: no image waits, none is dropped at an epoch's end."""
    images = np.zeros((count, 2, 2, 1), dtype=np.uint8)
    feed = Feed(images, None, batch_size, seed, shuffle, CPU)
    steps = -(-(epoch + 1) * count // batch_size)
    seen = np.concatenate([feed.indices(step) for step in range(steps)])
    assert len(seen) == steps * batch_size
    for e in range(epoch + 1):
        assert np.array_equal(np.sort(seen[e * count : (e + 1) * count]), np.arange(count))
    if not shuffle:
        assert np.array_equal(seen, np.arange(len(seen)) % count)
    # a function of (seed, step): asked anew, from the last step to the first
    again = Feed(images, None, batch_size, seed, shuffle, CPU)
    for step in reversed(range(steps)):
        assert np.array_equal(again.indices(step), seen[step * batch_size : (step + 1) * batch_size])


def test_the_order_depends_on_seed_and_epoch() -> None:
    feed, other = (Feed(random_images(50, size=2), None, 50, seed, True, CPU) for seed in (0, 1))
    assert not np.array_equal(feed.indices(0), feed.indices(1))
    assert not np.array_equal(feed.indices(0), other.indices(0))
    assert not np.array_equal(feed.indices(0), np.arange(50))


def test_resident_and_memory_mapped_images_give_the_same_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.save(tmp_path / "images.npy", IMAGES)
    mapped_images = np.load(tmp_path / "images.npy", mmap_mode="r")
    resident = Feed(mapped_images, LABELS, 4, 3, True, CPU)
    monkeypatch.setattr(feed_module, "RESIDENT_BYTES", 0)
    mapped = Feed(mapped_images, LABELS, 4, 3, True, CPU)
    assert resident.resident is not None
    assert mapped.resident is None
    for step in range(8):
        batch, labels = mapped.batch(step)
        assert torch.equal(batch, resident.batch(step)[0])
        assert labels is not None
        assert torch.equal(labels, torch.from_numpy(LABELS[mapped.indices(step)]))
        assert (batch.shape, batch.dtype) == ((4, 1, 4, 4), torch.float32)
        wanted = IMAGES[mapped.indices(step)].astype(np.float64).transpose(0, 3, 1, 2) / 127.5 - 1
        np.testing.assert_allclose(batch.numpy(), wanted, atol=1e-6)


def test_every_grey_level_survives_the_way_to_float_and_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    images = to_float(levels)
    assert (float(images.min()), float(images.max())) == (-1.0, 1.0)
    assert torch.equal(to_uint8(images), levels)
    colours = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 3, 5, 3), dtype=np.uint8))
    assert to_float(colours).shape == (2, 3, 3, 5)
    assert torch.equal(to_uint8(to_float(colours)), colours)


def test_rounding_is_to_the_nearest_level_and_what_lies_outside_is_clipped() -> None:
    images = torch.tensor([-7.0, -1.0, -1 + 0.4 / 127.5, -1 + 0.6 / 127.5, 1.0, 7.0]).view(1, 1, 1, 6)
    assert to_uint8(images).flatten().tolist() == [0, 0, 0, 1, 255, 255]


# --- length and rate ----------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.integers(1, 10_000), st.integers(1, 500), st.integers(1, 5000))
def test_the_steps_see_at_least_the_images_asked_for_and_no_batch_more(
    images: int, batch_size: int, count: int
) -> None:
    steps = step_count(TrainingOptions(images=images, batch_size=batch_size), count)
    assert (steps - 1) * batch_size < images <= steps * batch_size
    assert step_count(TrainingOptions(epochs=2, batch_size=batch_size), count) == math.ceil(2 * count / batch_size)


def test_half_an_epoch_is_half_the_images() -> None:
    assert step_count(TrainingOptions(epochs=0.5, batch_size=10), 200) == 10


@pytest.mark.parametrize(
    ("schedule", "wanted"),
    [
        ("constant", [1.0, 1.0, 1.0, 1.0]),
        ("linear", [1.0, 0.75, 0.5, 0.25]),
        ("cosine", [1.0, (1 + math.sqrt(0.5)) / 2, 0.5, (1 - math.sqrt(0.5)) / 2]),
    ],
)
def test_the_learning_rate_has_the_shape_of_its_name(schedule: Any, wanted: list[float]) -> None:
    options = TrainingOptions(images=1, learning_rate=0.1, learning_rate_schedule=schedule)
    found = [learning_rate(options, step, 400) for step in (0, 100, 200, 300)]
    assert found == pytest.approx([0.1 * value for value in wanted])
    assert learning_rate(options, 399, 400) > 0
    assert all(learning_rate(options, s + 1, 400) <= learning_rate(options, s, 400) for s in range(399))


def test_the_learning_rate_warms_up_in_a_straight_line() -> None:
    options = TrainingOptions(images=1, learning_rate=0.1, warmup_steps=4)
    assert [learning_rate(options, step, 100) for step in range(6)] == pytest.approx(
        [0.025, 0.05, 0.075, 0.1, 0.1, 0.1]
    )


# --- the average --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.5, 0.999])
def test_the_average_is_the_one_written_out(decay: float) -> None:
    """That of the result, whose decay rises; the one that a loss asks is the objective's and has a constant decay."""
    network = torch.nn.Linear(2, 1)
    average = MovingAverage(network, decay)
    wanted = network.weight.detach().double().numpy().copy()
    generator = np.random.default_rng(0)
    for step in range(30):
        value = generator.standard_normal((1, 2)).astype(np.float32)
        with torch.no_grad():
            network.weight.copy_(torch.from_numpy(value))
        average.update(step)
        weight = min(decay, (1 + step) / (10 + step))
        wanted = weight * wanted + (1 - weight) * value
        np.testing.assert_allclose(average.average[0].numpy(), wanted, rtol=1e-4, atol=1e-6)
    average.copy_to_network()
    np.testing.assert_allclose(network.weight.detach().numpy(), wanted, rtol=1e-4, atol=1e-6)
