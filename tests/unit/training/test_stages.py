"""The training loop: what a step does, batches and draws as functions of (seed, step), and what stops it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import assert_same_weights, first_layer, tiny_denoiser, weights_of
from support.tiny_training import CPU, IMAGES, OPTIONS, loss_with_auxiliary, run, run_objective
from torch import Tensor

from sfddm.diffusion.draws import Draws
from sfddm.diffusion.randomness import dropped, training_noise
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.options import TrainingOptions
from sfddm.methods.teacher import denoising_loss
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.steps import Steps
from sfddm.objectives.objective import LossFunction, Objective
from sfddm.objectives.terms import Batch, Loss, Networks
from sfddm.runtime.errors import SfddmError
from sfddm.training.feed import Feed
from sfddm.training.loop import Seeds, train

# --- what a step does ---------------------------------------------------------------------------------------------


def test_the_loop_is_adamw_on_the_batches_of_seed_and_step(tmp_path: Path) -> None:
    """Three steps by hand: the data in [-1, 1], flips, the rate's shape, clipping, weight decay, the average."""
    options = OPTIONS.model_copy(update={"gradient_clip": 0.05, "images": 12})
    trained, _ = run(tmp_path / "c", options)

    student = tiny_denoiser(size=4).train()
    optimizer = torch.optim.AdamW(student.network.parameters(), lr=1.0, betas=(0.9, 0.999), weight_decay=0.01)
    average: dict[str, Tensor] = {name: value.detach().clone() for name, value in student.network.named_parameters()}
    rates = [1e-3 * (step + 1) / 3 * 0.5 * (1 + math.cos(math.pi * step / 3)) for step in range(3)]
    feed = Feed(IMAGES, None, 4, 5, True, CPU)
    for step, rate in enumerate(rates):
        x0 = torch.from_numpy(IMAGES[feed.indices(step)]).permute(0, 3, 1, 2).float() / 127.5 - 1
        noise, k, flips = training_noise(5, step, (4, 1, 4, 4), 64, CPU)
        x0 = torch.stack([image.flip(-1) if flip else image for image, flip in zip(x0, flips, strict=True)])
        optimizer.zero_grad()
        denoising_loss(student, Batch(x0, noise, k)).total.backward()
        gradients = [parameter.grad for parameter in student.network.parameters() if parameter.grad is not None]
        norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))
        assert norm > 0.05
        for gradient in gradients:
            gradient.mul_(0.05 / (norm + 1e-6))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in student.network.named_parameters():
            average[name] = decay * average[name] + (1 - decay) * value.detach()
    found = weights_of(trained)
    for name, wanted in average.items():
        # Adam divides tiny gradients by their own size, which magnifies float32's rounding where both are near 0
        torch.testing.assert_close(found[name], wanted, rtol=1e-3, atol=1e-5)
    moved = max(float((value - found[name]).abs().max()) for name, value in weights_of(tiny_denoiser(size=4)).items())
    assert moved > 1e-4


def test_a_loss_sees_the_batch_and_the_draws_of_its_step(tmp_path: Path) -> None:
    seen: list[tuple[Batch, Tensor, Tensor]] = []

    def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        seen.append((batch, draws.normal("b"), draws.uniform("a")))
        return denoising_loss(networks.student, batch)

    run(tmp_path / "c", OPTIONS.model_copy(update={"images": 12}), loss=loss)
    assert [batch.step for batch, _, _ in seen] == [0, 1, 2]
    for step, (batch, normal, uniform) in enumerate(seen):
        noise, k, _ = training_noise(5, step, (4, 1, 4, 4), 64, CPU)
        assert torch.equal(batch.noise, noise)
        assert torch.equal(batch.k, k)
        assert (batch.x0.shape, batch.labels, batch.pairs) == (noise.shape, None, None)
        own = Draws(("a", "b"), 6, step, (4, 1, 4, 4), CPU)  # of the seed for draws, not that for batches
        assert torch.equal(normal, own.normal("b"))
        assert torch.equal(uniform, own.uniform("a"))


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_a_loss_sees_the_classes_of_its_images_or_no_class(tmp_path: Path, dropout: float) -> None:
    """No class, 3, where the image has none and where the label is dropped in this step."""
    labels, seen = np.array([0, 1, 2, -1, 0, 1, 2, -1, 0, 1]), []
    network = build_network(PerceptronOptions(kind="mlp", width=4, depth=1, classes=3).config(1, 2), 0)
    student = Denoiser(network, "v", Steps.of_teacher(make_schedule("cosine", 64)))

    def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        assert networks.student.labels is batch.labels is not None
        seen.append(batch.labels.tolist())
        return denoising_loss(networks.student, batch)

    points = np.arange(20, dtype=np.uint8).reshape(10, 1, 1, 2)
    options = TrainingOptions(images=40, batch_size=4, label_dropout=dropout)
    train(
        Objective(student, None, loss), points, labels, options,
        seeds=Seeds(5), checkpoint=tmp_path / "c", device=CPU, title="tiny",
    )  # fmt: skip
    feed = Feed(points, None, 4, 5, True, CPU)
    wanted = []
    for step in range(10):
        own = labels[feed.indices(step)]
        wanted.append(np.where((own < 0) | dropped(5, step, 4, dropout), 3, own).tolist())
    assert seen == wanted


def test_auxiliary_networks_learn_at_their_own_rate(tmp_path: Path) -> None:
    """In its first step Adam moves each weight by the learning rate, whatever the gradient."""
    options = TrainingOptions(images=4, batch_size=4, learning_rate=1e-2, gradient_clip=None)
    objective, _ = run_objective(tmp_path / "c", options, loss=loss_with_auxiliary, auxiliary=True)
    other: Any = objective.auxiliary["other"]
    for trained, first, rate in ((objective.student, 0, 1e-2), (other, 7, 0.5e-2)):
        step = (first_layer(trained) - first_layer(tiny_denoiser(size=4, seed=first))).abs()
        torch.testing.assert_close(step, torch.full_like(step, rate), rtol=1e-2, atol=0)


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    options = TrainingOptions(images=160, batch_size=4, learning_rate=3e-3)
    losses: list[float] = []

    def recorded(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        found = denoising_loss(networks.student, batch)
        losses.append(float(found.total.detach()))
        return found

    trained, _ = run(tmp_path / "c", options, loss=recorded)
    assert len(losses) == 40
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    assert first_layer(trained).requires_grad


def test_another_seed_trains_another_network(tmp_path: Path) -> None:
    one, _ = run(tmp_path / "a", seed=5)
    other, _ = run(tmp_path / "b", seed=6)
    assert not torch.equal(first_layer(one), first_layer(other))


# --- what stops it ------------------------------------------------------------------------------------------------


def failing(at: int, how: str) -> LossFunction:
    """A loss, or only its gradient, that is no number from the step ``at`` on."""

    def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        total = denoising_loss(networks.student, batch).total
        if batch.step < at:
            return Loss(total)
        if how == "gradient":
            return Loss(total + (first_layer(networks.student).sum() * 0).sqrt())
        return Loss(total * {"nan": math.nan, "infinite": math.inf}[how])

    return loss


@pytest.mark.parametrize("how", ["nan", "infinite", "gradient"])
def test_a_loss_that_is_no_number_stops_the_training_and_is_never_kept(tmp_path: Path, how: str) -> None:
    from safetensors.torch import load_file

    checkpoint = tmp_path / "c.safetensors"
    options = OPTIONS.model_copy(update={"checkpoint_seconds": 1e-9, "gradient_clip": None})
    with pytest.raises(SfddmError, match=r"^tiny: the loss or its gradient is not finite at step 5 .*learning_rate"):
        run(checkpoint, options, loss=failing(4, how))
    assert all(bool(torch.isfinite(value).all()) for value in load_file(checkpoint).values())
    # what was kept is the state before the failure, from which a sound loss goes on as if nothing had happened
    resumed, _ = run(checkpoint, OPTIONS.model_copy(update={"gradient_clip": None}), weights=3)
    straight, _ = run(tmp_path / "straight", OPTIONS.model_copy(update={"gradient_clip": None}))
    assert_same_weights(weights_of(resumed), weights_of(straight))


def test_a_failure_in_the_first_step_leaves_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SfddmError, match="not finite at step 1"):
        run(tmp_path / "c", OPTIONS.model_copy(update={"checkpoint_seconds": 1e-9}), loss=failing(0, "nan"))
    assert list(tmp_path.iterdir()) == []
