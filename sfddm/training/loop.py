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

from sfddm.diffusion.randomness import dropped, training_noise
from sfddm.methods.base import Loss, TrainingOptions
from sfddm.networks.denoiser import Denoiser
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.progress import Progress
from sfddm.training.checkpoint import Averages, load_checkpoint, save_checkpoint
from sfddm.training.ema import MovingAverage
from sfddm.training.feed import Feed


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        x0: (B, C, H, W) float32 images in [-1, 1].
        noise: (B, C, H, W) float32, standard normal.
        k: (B,) int64 positions in the student's index set.
        labels: (B,) int64 classes; None where the student's network takes none.
        step: from 0.
        share: the slice of the whole batch that this process sees.
    """

    x0: Tensor
    noise: Tensor
    k: Tensor
    labels: Tensor | None
    step: int
    share: slice


#: Batch -> Loss, as in Method.loss with student and teacher bound.
BatchLoss = Callable[[Batch], Loss]


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
    labels: NDArray[np.int64],
    options: TrainingOptions,
    *,
    seed: int,
    checkpoint: Path,
    device: torch.device,
    title: str,
    target: Denoiser | None = None,
    target_decay: float = 0.0,
    companions: torch.nn.ModuleDict | None = None,
    companion_rate: float = 1.0,
    stop_after: int | None = None,
) -> TrainingResult:
    """Train ``student`` in place; its averaged weights are put into it at the end where ``options.ema`` is set.

    Interrupted at any point and called again, it gives the same bits as without a stop, on one kind of device.

    Args:
        student: the network in training.
        batch_loss: the loss of a batch.
        images: (N, H, W, C) uint8.
        labels: (N,) int64 classes, -1 where there is none.
        options: length, optimiser, precision.
        seed: of order, noise and steps.
        checkpoint: file of the running state, removed by the caller once the result is stored.
        device: where to compute.
        title: names the training in the log.
        target: a copy of the student that follows it as a moving average, for losses that need one.
        target_decay: decay of that average.
        companions: networks trained alongside by the same loss; they are left as they end.
        companion_rate: their learning rate, as a factor on the student's.
        stop_after: stop after this many steps and leave the checkpoint, as an interruption would.

    Raises:
        SfddmError: the loss became NaN or infinite; nothing of that step is kept.
    """
    accelerator = Accelerator(mixed_precision=options.mixed_precision, cpu=device.type == "cpu")
    state = _make_state(student.to(device).train(), options, target, target_decay, companions, companion_rate)
    first, seconds_before = load_checkpoint(checkpoint, state.trained, state.optimizer, state.averages)
    total = step_count(options, len(images))
    if first > total:
        raise SfddmError(
            f"{checkpoint}: not a checkpoint of this training (step {first} of {total}); delete it to start over"
        )
    if options.compile:
        student.network = torch.compile(state.network)  # type: ignore[assignment]
    known = None if student.classes is None else _known_labels(labels, student.classes)
    feed = Feed(images, known, options.batch_size, seed, options.shuffle, device)
    started = saved = time.monotonic()
    with Progress(title, total, options.batch_size, first) as progress:
        for step in range(first, total):
            share = slice(accelerator.process_index, None, accelerator.num_processes)
            batch = _batch(feed, seed, step, student, options, share)
            with accelerator.autocast():
                whole = batch_loss(batch)
            loss = whole.total
            accelerator.backward(loss)
            state.average_gradients(accelerator)
            norm = state.clip(options.gradient_clip or math.inf)
            now, stop = time.monotonic(), step + 1 == stop_after
            save = (now - saved > options.checkpoint_seconds or stop) and accelerator.is_main_process
            show = progress.due(step + 1) and accelerator.is_main_process
            if device.type == "cpu" or show or save:  # elsewhere a look at the loss makes the host wait
                _check_finite(loss, norm, title, step)
            state.update(step, learning_rate(options, step, total), whole.trains_student)
            if show:
                progress.show(step + 1, loss=loss.item())
            if save:
                spent = seconds_before + now - started
                save_checkpoint(
                    checkpoint, state.trained, state.optimizer, state.averages, step=step + 1, seconds=spent
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
    """What a training changes: the bare network and its companions, the optimiser's moments, the moving averages."""

    network: torch.nn.Module
    companions: torch.nn.ModuleDict
    optimizer: torch.optim.Optimizer
    averages: Averages

    @property
    def trained(self) -> torch.nn.Module:
        """All that is trained, as one module."""
        if not self.companions:
            return self.network
        return torch.nn.ModuleDict({"student": self.network, "companions": self.companions})

    def average_gradients(self, accelerator: Accelerator) -> None:
        """Take the mean of the gradients of all processes, each of which saw its share of the batch.

        Not left to a parallel wrapper around the student: companions have gradients too, and a loss may ask a network
        twice or leave it out of a step.
        """
        if accelerator.num_processes > 1:
            for parameter in self.trained.parameters():
                if parameter.grad is not None:
                    parameter.grad = accelerator.reduce(parameter.grad, "mean")

    def clip(self, most: float) -> Tensor:
        """Clip the norm of the student's gradient, and that of the companions', and return the larger one."""
        norms = [
            torch.nn.utils.clip_grad_norm_(module.parameters(), most)
            for module in (self.network, self.companions)
            if any(parameter.grad is not None for parameter in module.parameters())
        ]
        return torch.stack(norms).max()

    def update(self, step: int, rate: float, trains_student: bool) -> None:
        """Take one step along the gradients at hand."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if trains_student:
            for average in self.averages.values():
                average.update(step)


def _make_state(
    student: Denoiser,
    options: TrainingOptions,
    target: Denoiser | None,
    target_decay: float,
    companions: torch.nn.ModuleDict | None,
    companion_rate: float,
) -> _State:
    network = student.network
    companions = torch.nn.ModuleDict() if companions is None else companions.to(student.index_set.device).train()
    groups = [{"params": list(network.parameters()), "factor": 1.0}]
    if companions:
        groups.append({"params": list(companions.parameters()), "factor": companion_rate})
    optimizer = torch.optim.AdamW(
        groups,
        lr=options.learning_rate,
        betas=options.adam_betas,
        weight_decay=options.weight_decay,
        fused=True,  # one kernel for all weights: 5 to 8 % more images a second with a small U-Net on a CPU
    )
    averages = {"average": MovingAverage(network, options.ema)} if options.ema else {}
    if target is not None:
        copy = target.to(student.index_set.device).network
        averages["target"] = MovingAverage(network, target_decay, into=copy, ramp=False)
    return _State(network, companions, optimizer, averages)


def _known_labels(labels: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return the labels with "no class", n, where there is none.

    Raises:
        SfddmError: a label is n or more.
    """
    if len(labels) and labels.max() >= classes:
        raise SfddmError(f"network.classes: {classes} classes, but the data has the label {labels.max()}")
    return np.where(labels < 0, classes, labels)


def _batch(feed: Feed, seed: int, step: int, student: Denoiser, options: TrainingOptions, share: slice) -> Batch:
    """Return this process's part of the batch of a step."""
    x0, labels = feed.batch(step)
    noise, k, flips = training_noise(seed, step, tuple(x0.shape), len(student.index_set), feed.device)
    if options.horizontal_flip:
        x0 = torch.where(flips.view(-1, 1, 1, 1), x0.flip(-1), x0)
    if labels is not None and student.classes is not None and options.label_dropout:
        without = torch.from_numpy(dropped(seed, step, len(labels), options.label_dropout)).to(feed.device)
        labels = labels.masked_fill(without, student.classes)
    return Batch(x0[share], noise[share], k[share], None if labels is None else labels[share], step, share)


def _check_finite(loss: Tensor, norm: Tensor, title: str, step: int) -> None:
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise SfddmError(
            f"{title}: the loss or its gradient is not finite at step {step + 1} (loss {loss.item()}, gradient norm "
            f"{norm.item()}); lower training.learning_rate or set training.gradient_clip"
        )


def _check_weights(network: torch.nn.Module, title: str) -> None:
    if not all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters()):
        raise SfddmError(f"{title}: the weights are not finite at the end; lower training.learning_rate")
