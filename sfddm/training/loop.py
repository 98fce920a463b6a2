"""The training loop. It knows objectives and images; of methods it knows the objective alone."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from numpy.typing import NDArray
from torch import Tensor

from sfddm.diffusion.draws import Draws
from sfddm.diffusion.randomness import dropped, training_noise
from sfddm.methods.options import TrainingOptions, step_count
from sfddm.objectives.objective import Objective
from sfddm.objectives.terms import Batch
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import LEDGER
from sfddm.runtime.progress import Progress
from sfddm.training.checkpoint import load_checkpoint, save_checkpoint
from sfddm.training.ema import MovingAverage
from sfddm.training.feed import DataFreeFeed, Feed, NoImages
from sfddm.training.loss_curve import LossCurve
from sfddm.training.pairs import PairsFeed
from sfddm.training.snapshots import Snapshots


@dataclass(frozen=True)
class Seeds:
    """Where the random numbers of a training come from.

    Attributes:
        batches: of order, noise and steps.
        draws: of what a loss draws besides.
    """

    batches: int
    draws: int = 0


@dataclass(frozen=True)
class TrainingResult:
    """What a training cost.

    Attributes:
        losses: means over equal parts of it, in order.
        snapshots: files by name, which the caller removes with the checkpoint.
    """

    steps: int
    images_seen: int
    seconds: float
    losses: tuple[float, ...] = ()
    snapshots: dict[str, Path] = field(default_factory=dict)


def remove_state(checkpoint: Path, result: TrainingResult) -> None:
    """Remove what a finished training leaves behind, once its result is stored."""
    for file in (checkpoint, *result.snapshots.values(), checkpoint.with_name(LEDGER)):
        file.unlink(missing_ok=True)


def learning_rate(options: TrainingOptions, step: int, total: int) -> float:
    """Return the learning rate of step ``step`` in [0, total): linear warm-up, then constant, or falling to 0."""
    warmup = min(1.0, (step + 1) / options.warmup_steps) if options.warmup_steps else 1.0
    left = 1.0 - step / total
    shape = {"constant": 1.0, "linear": left, "cosine": 0.5 * (1 - math.cos(math.pi * left))}
    return options.learning_rate * warmup * shape[options.learning_rate_schedule]


def train(
    objective: Objective,
    images: NDArray[np.uint8] | NoImages,
    labels: NDArray[np.int64] | None,
    options: TrainingOptions,
    *,
    seeds: Seeds,
    checkpoint: Path,
    device: torch.device,
    title: str,
    pairs: PairsFeed | None = None,
    stop_after: int | None = None,
) -> TrainingResult:
    """Train the objective's student in place; it gets its averaged weights at the end where ``options.ema`` is set.

    Interrupted at any point and called again, it gives the same bits as without a stop, on one kind of device.

    Args:
        objective: the student and what it minimises.
        images: (N, H, W, C) uint8; of a data-free training none.
        labels: (N,) int64 classes, -1 where there is none; None in a data-free training, which draws them.
        options: length, optimiser, precision.
        seeds, device: of the random numbers; where to compute.
        checkpoint: file of the running state, removed by the caller once the result is stored.
        title: names the training in the log.
        pairs: of the teacher, where the objective asks for them.
        stop_after: stop after this many steps and leave the checkpoint, as an interruption would.

    Raises:
        SfddmError: the loss became NaN or infinite; nothing of that step is kept.
    """
    accelerator = Accelerator(mixed_precision=options.mixed_precision, cpu=device.type == "cpu")
    total = step_count(options, len(images))
    state = _make_state(objective.to(device).train(), options, LossCurve(total, device))
    first, seconds_before = state.load(checkpoint, total)
    if options.compile:
        objective.student.compile_network()
    feed = _make_feed(images, labels, objective.student.classes, options, seeds.batches, device)
    share = slice(accelerator.process_index, None, accelerator.num_processes)
    source = _Batches(feed, pairs, seeds, objective, options, share)
    snapshots = Snapshots(checkpoint, options.snapshots, total, state.average is not None)
    run = _Run(accelerator, state, source, options, total, title, snapshots)
    started = (saved := time.monotonic()) - seconds_before
    with Progress(title, total, options.batch_size, first) as progress:
        for step in range(first, total):
            now, stop = time.monotonic(), step + 1 == stop_after
            save = (now - saved > options.checkpoint_seconds or stop) and accelerator.is_main_process
            show = progress.due(step + 1) and accelerator.is_main_process
            loss = run.step(step, look=device.type == "cpu" or show or save)
            if show:
                progress.show(step + 1, loss=loss.item())
            if save:
                spent = time.monotonic() - started
                state.save(checkpoint, step + 1, spent)
                saved = now
            if stop:
                break
    kept = run.finish(whole=not stop_after)
    seconds = time.monotonic() - started
    return TrainingResult(total, total * options.batch_size, seconds, state.losses.means(), kept)


@dataclass(frozen=True)
class _Run:
    """A training under way."""

    accelerator: Accelerator
    state: _State
    source: _Batches
    options: TrainingOptions
    total: int
    title: str
    snapshots: Snapshots

    def step(self, step: int, *, look: bool) -> Tensor:
        """Take one step and return its loss; ``look``, for which the host waits, checks that it is finite."""
        batch, draws = self.source.batch(step)
        with self.accelerator.autocast():
            loss = self.state.objective(batch, draws)
        self.accelerator.backward(loss.total)
        self.state.average_gradients(self.accelerator)
        norm = self.state.clip(self.options.gradient_clip or math.inf)
        if look:
            _check_finite(loss.total, norm, self.title, step)
        self.state.update(step, learning_rate(self.options, step, self.total), loss.trains_student)
        if self.accelerator.is_main_process:
            name = self.snapshots.names.get(step + 1)
            self.snapshots.keep(name, self.state.objective.student.network, self.state.average)
        total: Tensor = loss.total
        self.state.losses.add(step, total)
        return total

    def finish(self, *, whole: bool) -> dict[str, Path]:
        """Give the student its averaged weights; return the files of the snapshots of a ``whole`` training, by name.

        Raises:
            SfddmError: a weight is not finite, or a snapshot is missing.
        """
        self.state.check(self.title)
        keeps = whole and self.accelerator.is_main_process
        if keeps:
            self.snapshots.keep_raw(self.state.objective.student.network)
        self.state.finish()
        return self.snapshots.files() if keeps else {}


@dataclass(frozen=True)
class _Batches:
    """Makes this process's part of the batch of a step, a function of the seeds and the step."""

    feed: Feed | DataFreeFeed
    pairs: PairsFeed | None
    seeds: Seeds
    objective: Objective
    options: TrainingOptions
    share: slice

    def batch(self, step: int) -> tuple[Batch, Draws]:
        """Return what one step sees, and what its loss may draw."""
        student, seed, share, device = self.objective.student, self.seeds.batches, self.share, self.feed.device
        x0, labels = self.feed.batch(step)
        shape = tuple(x0.shape)
        noise, k, flips = training_noise(seed, step, shape, len(student.index_set), device)
        if self.options.horizontal_flip and not x0.is_meta:  # a data-free training has nothing to flip
            x0 = torch.where(flips.view(-1, 1, 1, 1), x0.flip(-1), x0)
        if labels is not None and student.classes is not None and self.options.label_dropout:
            without = torch.from_numpy(dropped(seed, step, len(labels), self.options.label_dropout)).to(device)
            labels = labels.masked_fill(without, student.classes)
        pairs = None if self.pairs is None else self.pairs.batch(step, share)
        mine = Batch(x0[share], noise[share], k[share], None if labels is None else labels[share], step, pairs)
        return mine, Draws(self.objective.draws, self.seeds.draws, step, shape, device, share)


@dataclass(frozen=True)
class _State:
    """What a training changes besides the objective: the optimiser's moments, the result's moving average, losses."""

    objective: Objective
    optimizer: torch.optim.Optimizer
    average: MovingAverage | None
    losses: LossCurve

    def load(self, checkpoint: Path, total: int) -> tuple[int, float]:
        """Restore what an interrupted training of ``total`` steps left; return its steps and seconds, 0 without one."""
        return load_checkpoint(checkpoint, self.objective, self.optimizer, self.average, self.losses, total=total)

    def save(self, checkpoint: Path, step: int, seconds: float) -> None:
        """Write the state after ``step`` steps."""
        parts = self.objective, self.optimizer, self.average, self.losses
        save_checkpoint(checkpoint, *parts, step=step, seconds=seconds)

    def average_gradients(self, accelerator: Accelerator) -> None:
        """Take the mean of the gradients of all processes, each of which saw its share of the batch.

        Not left to a parallel wrapper around the student: auxiliary networks have gradients too, and a loss may ask a
        network twice or leave it out of a step.
        """
        if accelerator.num_processes > 1:
            for parameter in self.objective.parameters():
                if parameter.grad is not None:
                    parameter.grad = accelerator.reduce(parameter.grad, "mean")

    def clip(self, most: float) -> Tensor:
        """Clip the norm of the gradient of each group of parameters, and return the largest one."""
        norms = [
            torch.nn.utils.clip_grad_norm_(group["params"], most)
            for group in self.optimizer.param_groups
            if any(parameter.grad is not None for parameter in group["params"])
        ]
        return torch.stack(norms).max()

    def update(self, step: int, rate: float, trains_student: bool) -> None:
        """Take one step along the gradients at hand."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if trains_student:
            if self.average is not None:
                self.average.update(step)
            self.objective.after_step()

    def check(self, title: str) -> None:
        """Raise an SfddmError where a weight of the student is not finite."""
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.objective.student.parameters()):
            raise SfddmError(f"{title}: the weights are not finite at the end; lower training.learning_rate")

    def finish(self) -> None:
        """Put the average of the student's weights in their place, where there is one."""
        if self.average is not None:
            self.average.copy_to_network()


def _make_state(objective: Objective, options: TrainingOptions, losses: LossCurve) -> _State:
    optimizer = torch.optim.AdamW(
        objective.parameter_groups(),
        lr=options.learning_rate,
        betas=options.adam_betas,
        weight_decay=options.weight_decay,
        fused=True,  # one kernel for all weights: 5 to 8 % more images a second with a small U-Net on a CPU
    )
    average = MovingAverage(objective.student.network, options.ema) if options.ema else None
    return _State(objective, optimizer, average, losses)


def _make_feed(
    images: NDArray[np.uint8] | NoImages,
    labels: NDArray[np.int64] | None,
    classes: int | None,
    options: TrainingOptions,
    seed: int,
    device: torch.device,
) -> Feed | DataFreeFeed:
    if isinstance(images, NoImages):
        drawn = None if classes is None else images.classes or tuple(range(classes))
        return DataFreeFeed(images.shape, drawn, options.batch_size, seed, device)
    known = None if labels is None else _known_labels(labels, classes)
    return Feed(images, known, options.batch_size, seed, options.shuffle, device)


def _known_labels(labels: NDArray[np.int64], classes: int | None) -> NDArray[np.int64] | None:
    """Return the labels with "no class", n, where there is none; None for a network without classes.

    Raises:
        SfddmError: a label is n or more.
    """
    if classes is None:
        return None
    if len(labels) and labels.max() >= classes:
        raise SfddmError(f"network.classes: {classes} classes, but the data has the label {labels.max()}")
    return np.where(labels < 0, classes, labels)


def _check_finite(loss: Tensor, norm: Tensor, title: str, step: int) -> None:
    if not (torch.isfinite(loss) and torch.isfinite(norm)):
        raise SfddmError(
            f"{title}: the loss or its gradient is not finite at step {step + 1} (loss {loss.item()}, gradient norm "
            f"{norm.item()}); lower training.learning_rate or set training.gradient_clip"
        )
