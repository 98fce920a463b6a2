"""What one training minimises, with everything that only its loss needs; checkpointed as a whole."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from sfddm.diffusion.draws import Draws
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks

if TYPE_CHECKING:
    from sfddm.extractors.classifier import FrozenClassifier

LossFunction = Callable[[Networks, Batch, Draws], Loss]


class Objective(nn.Module):
    """A loss bound to its networks. A method with a need of its own derives from it; most only give a loss.

    The student, the auxiliary networks and the moving average are parts of the module, so that ``state_dict`` is the
    whole state of the loss; the teacher and the classifier, which nothing changes, are not.

    Args:
        student: the network in training.
        teacher: what it learns from; None where the loss asks the student alone.
        loss: (networks, batch, draws) -> Loss.
        evaluations: of the networks, for one image in one step.
        auxiliary: networks that are trained beside the student by the same loss.
        auxiliary_rate: their learning rate, as a factor on the student's.
        average_decay: decay of a moving average of the student that the loss asks; None: it asks for none.
        draws: names of the random numbers that the loss draws besides those of the batch.

    Attributes:
        classifier: set by the stage where the training asks for it.
    """

    classifier: FrozenClassifier | None = None

    def __init__(
        self,
        student: Denoiser,
        teacher: FrozenDenoiser | None,
        loss: LossFunction,
        *,
        evaluations: Evaluations = Evaluations(),  # noqa: B008 (frozen)
        auxiliary: nn.ModuleDict | None = None,
        auxiliary_rate: float = 1.0,
        average_decay: float | None = None,
        draws: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.student = student
        self.auxiliary = nn.ModuleDict() if auxiliary is None else auxiliary
        self.average = None if average_decay is None else copy.deepcopy(student)
        self.evaluations, self.draws = evaluations, draws
        self._loss, self._auxiliary_rate, self._average_decay = loss, auxiliary_rate, average_decay
        self._teacher = teacher
        self._frozen_average = None if self.average is None else FrozenDenoiser(self.average)

    def forward(self, batch: Batch, draws: Draws) -> Loss:
        """Return the loss of a batch."""
        average = None if self._frozen_average is None else self._frozen_average.given(batch.labels)
        teacher = None if self._teacher is None else self._teacher.given(batch.labels)
        student = self.student.given(batch.labels)
        networks = Networks(student, teacher, self.auxiliary, average, self.classifier)  # type: ignore[arg-type]
        return self._loss(networks, batch, draws)

    def train(self, mode: bool = True) -> Self:
        """Set the mode of all but the moving average, which is only asked."""
        super().train(mode)
        if self.average is not None:
            self.average.eval()
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Return what the optimiser trains: the student, and the auxiliary networks at their own rate.

        ``factor`` is a factor on the learning rate. Gradients are clipped group by group.
        """
        groups: list[dict[str, Any]] = [{"params": list(self.student.parameters()), "factor": 1.0}]
        if self.auxiliary:
            groups.append({"params": list(self.auxiliary.parameters()), "factor": self._auxiliary_rate})
        return groups

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the moving average follow, after a step that trained the student."""
        if self.average is not None and self._average_decay is not None:
            mine = [parameter.data for parameter in self.average.parameters()]
            torch._foreach_lerp_(mine, list(self.student.parameters()), 1 - self._average_decay)
