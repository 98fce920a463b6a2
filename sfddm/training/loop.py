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
from sfddm.training.checkpoint import load_checkpoint, save_checkpoint
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
    student.to(device).train()
    bare = student.network
    optimizer = torch.optim.AdamW(
        bare.parameters(),
        lr=options.learning_rate,
        betas=options.adam_betas,
        weight_decay=options.weight_decay,
    )
    averages = {"average": MovingAverage(bare, options.ema)} if options.ema else {}
    if target is not None:
        copy = target.to(device).network
        averages["target"] = MovingAverage(bare, target_decay, into=copy, ramp=False)
    first, seconds_before = load_checkpoint(checkpoint, bare, optimizer, averages)
    wrapped = torch.compile(bare) if options.compile else bare
    student.network = accelerator.prepare_model(wrapped)

    total = step_count(options, len(images))
    if first > total:
        raise SfddmError(
            f"{checkpoint}: not a checkpoint of this training (step {first} of {total}); delete it to start over"
        )
    feed = Feed(images, options.batch_size, seed, options.shuffle, device)
    share = slice(accelerator.process_index, None, accelerator.num_processes)
    started = saved = time.monotonic()
    with ProgressLog(title, total, options.batch_size, first) as progress:
        for step in range(first, total):
            x0 = feed.batch(step)  # (B, C, H, W)
            noise, k, flips = training_noise(seed, step, tuple(x0.shape), len(student.index_set), device)
            if options.horizontal_flip:
                x0 = torch.where(flips.view(-1, 1, 1, 1), x0.flip(-1), x0)
            optimizer.param_groups[0]["lr"] = learning_rate(options, step, total)
            with accelerator.autocast():
                loss = batch_loss(x0[share], noise[share], k[share])
            accelerator.backward(loss.total)
            norm = torch.nn.utils.clip_grad_norm_(bare.parameters(), options.gradient_clip or math.inf)
            if device.type == "cpu" or progress.due(step + 1):
                _check_finite(loss.total, norm, title, step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            for average in averages.values():
                average.update(step)

            now = time.monotonic()
            if progress.due(step + 1):
                progress.show(step + 1, loss=loss.total.item())
            stop = step + 1 == stop_after
            if (now - saved > options.checkpoint_seconds or stop) and accelerator.is_main_process:
                _check_finite(loss.total, norm, title, step)
                spent = seconds_before + now - started
                save_checkpoint(checkpoint, bare, optimizer, averages, step=step + 1, seconds=spent)
                saved = time.monotonic()
            if stop:
                break
    _check_weights(bare, title)
    student.network = bare
    if "average" in averages:
        averages["average"].copy_to_network()
    seconds = seconds_before + time.monotonic() - started
    return TrainingResult(total, total * options.batch_size, seconds)


def _check_finite(loss: Tensor, norm: Tensor, title: str, step: int) -> None:
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise SfddmError(
            f"{title}: the loss or its gradient is not finite at step {step + 1} (loss {loss.item()}, gradient norm "
            f"{norm.item()}); lower training.learning_rate or set training.gradient_clip"
        )


def _check_weights(network: torch.nn.Module, title: str) -> None:
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        raise SfddmError(f"{title}: the weights are not finite at the end; lower training.learning_rate")
