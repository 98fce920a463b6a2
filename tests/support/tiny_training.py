"""A training of a few steps: losses that ask for everything that an objective can have, and the loop around them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from support.exact_networks import random_images, tiny_denoiser

from sfddm.diffusion.draws import Draws
from sfddm.methods.options import TrainingOptions
from sfddm.methods.teacher import denoising_loss
from sfddm.networks.denoiser import Denoiser
from sfddm.objectives.objective import LossFunction, Objective
from sfddm.objectives.terms import Batch, Loss, Networks
from sfddm.training.loop import Seeds, TrainingResult, train

CPU = torch.device("cpu")
IMAGES = random_images(10, size=4)
LABELS = np.full(10, -1)
#: 12 steps of 4 of 10 images: batches straddle the ends of epochs. Everything that has a state is switched on.
OPTIONS = TrainingOptions(
    images=48,
    batch_size=4,
    learning_rate=1e-3,
    learning_rate_schedule="cosine",
    warmup_steps=3,
    weight_decay=0.01,
    ema=0.9,
    horizontal_flip=True,
)


def own_loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
    return denoising_loss(networks.student, batch)


def loss_with_average(networks: Networks, batch: Batch, draws: Draws) -> Loss:
    """Train towards a moving average of the student, as consistency distillation does."""
    assert networks.average is not None
    said = networks.student.predict(batch.noise, batch.k).eps - networks.average.predict(batch.noise, batch.k).eps
    return Loss(denoising_loss(networks.student, batch).total + said.square().mean())


def loss_with_auxiliary(networks: Networks, batch: Batch, draws: Draws) -> Loss:
    """Train the auxiliary network in every step, the student in every third, from the auxiliary network's answer."""
    other: Any = networks.auxiliary["other"]
    apart = denoising_loss(other, batch).total
    if batch.step % 3:
        return Loss(apart, trains_student=False)
    pull = networks.student.predict(batch.noise, batch.k).eps - other.predict(batch.noise, batch.k).eps.detach()
    return Loss(denoising_loss(networks.student, batch).total + apart + pull.square().mean())


def loss_with_everything(networks: Networks, batch: Batch, draws: Draws) -> Loss:
    """Add what a loss draws itself to the two above."""
    found = loss_with_auxiliary(networks, batch, draws)
    if not found.trains_student:
        return found
    k = (64 * draws.uniform("a")).long()
    drawn = networks.student.predict(draws.normal("b"), k).eps.square().mean()
    return Loss(found.total + loss_with_average(networks, batch, draws).total + drawn)


def run(
    checkpoint: Path,
    options: TrainingOptions = OPTIONS,
    *,
    loss: LossFunction = own_loss,
    weights: int = 0,
    **more: Any,
) -> tuple[Denoiser, TrainingResult]:
    """Train a fresh tiny network."""
    objective, result = run_objective(checkpoint, options, loss=loss, weights=weights, **more)
    return objective.student, result


def run_objective(
    checkpoint: Path,
    options: TrainingOptions = OPTIONS,
    *,
    loss: LossFunction,
    weights: int = 0,
    seed: int = 5,
    stop_after: int | None = None,
    auxiliary: bool = False,
    average_decay: float | None = None,
) -> tuple[Objective, TrainingResult]:
    objective = Objective(
        tiny_denoiser(size=4, seed=weights),
        None,
        loss,
        auxiliary=torch.nn.ModuleDict({"other": tiny_denoiser(size=4, seed=weights + 7)}) if auxiliary else None,
        auxiliary_rate=0.5,
        average_decay=average_decay,
        draws=("a", "b"),
    )
    result = train(
        objective,
        IMAGES,
        LABELS,
        options,
        seeds=Seeds(seed, draws=seed + 1),
        checkpoint=checkpoint,
        device=CPU,
        title="tiny",
        stop_after=stop_after,
    )
    return objective, result
