"""The training loop. It knows networks, losses and images; of methods it knows the loss alone."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from sfddm.denoiser import Denoiser
from sfddm.errors import SfddmError
from sfddm.methods.base import Loss, TrainingOptions
from sfddm.randomness import training_noise
from sfddm.training.checkpoint import Averages, load_checkpoint, save_checkpoint
from sfddm.training.ema import MovingAverage
from sfddm.training.feed import Feed
from sfddm.training.progress import ProgressLog

#: (x0, noise, k) -> Loss, as in Method.loss with student and teacher bound.
BatchLoss = Callable[[Tensor, Tensor, Tensor], Loss]


@dataclass(frozen=True)
class TrainingResult:
    """What a training cost."""

    steps: int
    images_seen: int
    seconds: float


def step_count(options: TrainingOptions, images: int) -> int:
    """Return the number of steps that see at least ``options.images``, or ``options.epochs`` times all ``images``."""
    wanted = options.images or math.ceil((options.epochs or 0) * images)
    return math.ceil(wanted / options.batch_size)


def learning_rate(options: TrainingOptions, step: int, total: int) -> float:
    """Return the learning rate of step ``step`` in [0, total): linear warm-up, then constant, or falling to 0."""
    warmup = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
    left = 1.0 - step / total
    shape = {"constant": 1.0, "linear": left, "cosine": 0.5 * (1 - math.cos(math.pi * left))}
    return options.learning_rate * warmup * shape[options.learning_rate_schedule]


def train(
    student: Denoiser,
    batch_loss: BatchLoss,
    images: NDArray[np.uint8],
    options: TrainingOptions,
    *,
    seed: int,
    checkpoint: Path,
    device: torch.device,
    title: str,
    target: Denoiser | None = None,
    target_decay: float = 0.0,
    stop_after: int | None = None,
) -> TrainingResult:
    """Train ``student`` in place; its averaged weights are put into it at the end where ``options.ema`` is set.

    Interrupted at any point and called again, it gives the same bits as without a stop, on one kind of device.

    Args:
        student: the network in training.
        batch_loss: the loss of a batch.
        images: (N, H, W, C) uint8.
        options: length, optimiser, precision.
        seed: of order, noise and steps.
        checkpoint: file of the running state, removed by the caller once the result is stored.
        device: where to compute.
        title: names the training in the log.
        target: a copy of the student that follows it as a moving average, for losses that need one.
        target_decay: decay of that average.
        stop_after: stop after this many steps and leave the checkpoint, as an interruption would.

    Raises:
        SfddmError: the loss became NaN or infinite; nothing of that step is kept.
    """
    accelerator = Accelerator(mixed_precision=options.mixed_precision, cpu=device.type == "cpu")
    state = _make_state(student.to(device).train(), options, target, target_decay)
    first, seconds_before = load_checkpoint(checkpoint, state.network, state.optimizer, state.averages)
    total = step_count(options, len(images))
    if first > total:
        raise SfddmError(
            f"{checkpoint}: not a checkpoint of this training (step {first} of {total}); delete it to start over"
        )
    student.network = accelerator.prepare_model(torch.compile(state.network) if options.compile else state.network)
    feed = Feed(images, options.batch_size, seed, options.shuffle, device)
    started = saved = time.monotonic()
    with ProgressLog(title, total, options.batch_size, first) as progress:
        for step in range(first, total):
            x0, noise, k = _batch(feed, seed, step, len(student.index_set), options.horizontal_flip)
            share = slice(accelerator.process_index, None, accelerator.num_processes)
            with accelerator.autocast():
                loss = batch_loss(x0[share], noise[share], k[share]).total
            accelerator.backward(loss)
            norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), options.gradient_clip or math.inf)
            now, stop = time.monotonic(), step + 1 == stop_after
            save = (now - saved > options.checkpoint_seconds or stop) and accelerator.is_main_process
            show = progress.due(step + 1)
            if device.type == "cpu" or show or save:  # elsewhere a look at the loss makes the host wait
                _check_finite(loss, norm, title, step)
            state.update(step, learning_rate(options, step, total))
            if show:
                progress.show(step + 1, loss=loss.item())
            if save:
                spent = seconds_before + now - started
                save_checkpoint(
                    checkpoint, state.network, state.optimizer, state.averages, step=step + 1, seconds=spent
                )
                saved = now
            if stop:
                break
    _check_weights(state.network, title)
    student.network = state.network
    if "average" in state.averages:
        state.averages["average"].copy_to_network()
    seconds = seconds_before + time.monotonic() - started
    return TrainingResult(total, total * options.batch_size, seconds)


@dataclass(frozen=True)
class _State:
    """What a training changes: the bare network, the optimiser's moments, the moving averages."""

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    averages: Averages

    def update(self, step: int, rate: float) -> None:
        """Take one step along the gradients at hand."""
        self.optimizer.param_groups[0]["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        for average in self.averages.values():
            average.update(step)


def _make_state(student: Denoiser, options: TrainingOptions, target: Denoiser | None, target_decay: float) -> _State:
    network = student.network
    optimizer = torch.optim.AdamW(
        network.parameters(),
        lr=options.learning_rate,
        betas=options.adam_betas,
        weight_decay=options.weight_decay,
        fused=True,  # one kernel for all weights: 5 to 8 % more images a second with a small U-Net on a CPU
    )
    averages = {"average": MovingAverage(network, options.ema)} if options.ema else {}
    if target is not None:
        copy = target.to(student.index_set.device).network
        averages["target"] = MovingAverage(network, target_decay, into=copy, ramp=False)
    return _State(network, optimizer, averages)


def _batch(feed: Feed, seed: int, step: int, positions: int, flip: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return x0 (B, C, H, W), noise (B, C, H, W) and k (B,) of a step."""
    x0 = feed.batch(step)
    noise, k, flips = training_noise(seed, step, tuple(x0.shape), positions, feed.device)
    return (torch.where(flips.view(-1, 1, 1, 1), x0.flip(-1), x0) if flip else x0), noise, k


def _check_finite(loss: Tensor, norm: Tensor, title: str, step: int) -> None:
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise SfddmError(
            f"{title}: the loss or its gradient is not finite at step {step + 1} (loss {loss.item()}, gradient norm "
            f"{norm.item()}); lower training.learning_rate or set training.gradient_clip"
        )


def _check_weights(network: torch.nn.Module, title: str) -> None:
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        raise SfddmError(f"{title}: the weights are not finite at the end; lower training.learning_rate")
