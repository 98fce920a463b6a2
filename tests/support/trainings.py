"""A training of a method without files: its student before training, its loss for networks and a batch."""

from __future__ import annotations

from typing import Any

import torch

from sfddm.diffusion.draws import Draws
from sfddm.extractors.classifier import FrozenClassifier, make_network
from sfddm.methods.base import Method, Training
from sfddm.methods.options import TrainingOptions
from sfddm.networks.build import first_weights_of
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch, Loss, Networks
from sfddm.training.sections import Origin, StudentTraining
from sfddm.training.student import make_student

CPU = torch.device("cpu")
#: For a loss that draws nothing: any name is refused.
NO_DRAWS = Draws((), 0, 0, (1, 1, 1, 1), CPU)


def fresh_student(method: Method, training: Training, teacher: Denoiser, seed: int = 0) -> Denoiser:
    """Return the student as the stage ``distill`` makes it, before its first step."""
    options, learns_from = training.options or TrainingOptions(images=1), ("teacher", "teacher")
    stage = StudentTraining(
        Origin("test", "", "a test"), method.name, seed, method.options, method.schedule, training, options, learns_from
    )
    return make_student(stage, teacher)


def tiny_classifier(shape: tuple[int, int, int] = (1, 4, 4), classes: int = 3, seed: int = 0) -> FrozenClassifier:
    """Return an untrained classifier of (C, H, W) images."""
    with first_weights_of(seed):
        return FrozenClassifier(make_network(shape, classes))


def loss_of(
    method: Method, student: Denoiser, teacher: Denoiser, batch: Batch, draws: Draws = NO_DRAWS, **further: Any
) -> Loss:
    """Return the method's loss; ``further`` are the fields of ``Networks`` that its objective would fill."""
    return method.loss(Networks(student, FrozenDenoiser(teacher), **further), batch, draws)


class GivenDraws(Draws):
    """Numbers that a test chooses: (D, B, C, H, W) normal and (D, B) uniform ones, in the order of the names."""

    def __init__(self, names: tuple[str, ...], normal: torch.Tensor, uniform: torch.Tensor) -> None:
        super().__init__(names, 0, 0, tuple(normal.shape[1:]), CPU)
        self._given = normal, uniform

    def normal(self, name: str) -> torch.Tensor:
        return self._given[0][self._names.index(name)]

    def uniform(self, name: str) -> torch.Tensor:
        return self._given[1][self._names.index(name)]
