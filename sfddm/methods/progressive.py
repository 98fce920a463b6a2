"""Progressive distillation (Salimans & Ho 2022, arXiv 2202.00512), as published.

Each fold halves the number of steps: the student learns to do in one DDIM step what its teacher does in two. It starts
from its teacher's weights and becomes the teacher of the next fold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sfddm.diffusion.process import (
    ddim_move,
    mean_squared_error,
    signal_to_noise,
    x0_of_move,
)
from sfddm.methods.base import Plan, Training
from sfddm.methods.on_policy import OnPolicy, OnPolicyOptions
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import FrozenDenoiser


class ProgressiveOptions(OnPolicyOptions):
    """``start`` is the number of steps of the first teacher: T, or fewer to save folds (the teacher is then read on
    that many of its steps). Every grid is ``uniform``: halving is defined on no other.
    """

    index_set: Literal["uniform"] = "uniform"
    start: Annotated[int, Field(ge=2)] | None = None


class Progressive(OnPolicy):
    """log2(start / T') folds, each from the one before."""

    name = "progressive"
    title = "Progressive distillation"
    reference = "Salimans & Ho 2022, arXiv 2202.00512"
    Options = ProgressiveOptions
    options: ProgressiveOptions

    def plan(self, steps: int) -> Plan:
        """start/2, start/4, ... down to ``steps``.

        Raises:
            SfddmError: halving from ``start`` does not arrive at ``steps``.
        """
        start = self.options.start or self.timesteps
        if self.timesteps % start:
            raise SfddmError(f"start: {start} does not divide the teacher's {self.timesteps} timesteps")
        counts = []
        count = start
        while count > steps and count % 2 == 0:
            count //= 2
            counts.append(count)
        if not counts or count != steps:
            raise SfddmError(f"steps: halving from {start} does not reach {steps}; allowed are {start} / 2^n")
        names: list[str | None] = [None, *map(str, counts)]
        folds = (
            self.training(str(count), self.index_set(count), teacher=before)
            for count, before in zip(counts, names[:-1], strict=True)
        )
        return self.plan_of(steps, *folds)

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the teacher for two steps, and for what lies on the way to z_t."""
        return self.asked(training, Evaluations(teacher=2), substeps=2)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return max(1, SNR) || x_target - x_student(z_t) ||^2 (Algorithm 2, with the truncated-SNR weight).

        The weight makes it the larger of the errors in x0 and in noise.
        """
        said, target = self.predicted_and_target(networks, batch, draws)
        student = networks.student
        weight = signal_to_noise(student.level(student.index_set[batch.k])).clamp(min=1)
        total = (weight * mean_squared_error(said, target)).mean()
        return Loss(total, {"x0": total.detach()})

    def predicted_and_target(self, networks: Networks, batch: Batch, draws: Draws) -> tuple[Tensor, Tensor]:
        """Return the x0 that the student says of noised images, and the one that it should say, each (B, C, H, W)."""
        student, teacher = networks.student, networks.teacher
        t = student.index_set[batch.k]  # (B,)
        z_t = self.state(networks, batch, draws, 2)  # (B, C, H, W)
        target = distillation_target(teacher, z_t, t, stride=teacher.steps.timesteps // len(student.index_set))
        return student.predict(z_t, t).x0, self.expert(target)


def distillation_target(teacher: FrozenDenoiser, z_t: Tensor, t: Tensor, stride: int) -> Tensor:
    """Return the x0 with which one DDIM step from z_t arrives where two steps of the teacher arrive.

    Salimans & Ho 2022, Algorithm 2: the teacher goes t -> t - stride/2 -> t - stride; a step below index 0 arrives at
    the clean image.

    Args:
        teacher: the model of the fold before.
        z_t: (B, C, H, W) noised images at t.
        t: (B,) the student's step, as teacher indices.
        stride: distance of the student's steps in teacher indices, even.
    """
    middle, there = teacher.level(t - stride // 2), teacher.level_or_clean(t - stride)
    z_middle = ddim_move(teacher.predict(z_t, t), middle)
    z_there = ddim_move(teacher.predict(z_middle, t - stride // 2), there)
    return x0_of_move(z_t, z_there, teacher.level(t), there)
