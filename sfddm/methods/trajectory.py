"""Trajectory distillation in a single fold: for any number of steps, the student learns where the teacher's path leads.

SFDDM's loss asks the student to repeat what the teacher says at its own steps, which the teacher says already. Here one
step of the student, x_{phi_k} -> x_{phi_{k-1}}, has to arrive where a few DDIM sub-steps of the teacher arrive: the
target of progressive distillation without its halving, so T' and the index set are free and one fold is enough.
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

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import FrozenDenoiser


class TrajectoryOptions(OnPolicyOptions):
    """``substeps`` of the teacher make one step of the student; ``initialisation`` of the student's weights."""

    substeps: Annotated[int, Field(ge=1, le=100_000)] = 4
    initialisation: Literal["random", "teacher"] = "teacher"


class Trajectory(OnPolicy):
    """One fold for any number of steps and any index set, with a target that differs from the teacher's own answer."""

    name = "trajectory"
    title = "Trajectory distillation, single fold"
    reference = "this project; target after Salimans & Ho 2022, arXiv 2202.00512"
    Options = TrajectoryOptions
    options: TrajectoryOptions

    def plan(self, steps: int) -> Plan:
        """One training, straight from the teacher."""
        index_set, start = self.index_set(steps), self.options.initialisation
        return self.plan_of(steps, self.training(str(steps), index_set, initialisation=start))

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the teacher once for each sub-step, and for what lies on the way to x."""
        substeps = self.options.substeps
        return self.asked(training, Evaluations(teacher=substeps), substeps)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return max(1, SNR) || x_target - x_student(x_t) ||^2, the larger of the errors in x0 and in noise."""
        student, teacher, k = networks.student, networks.teacher, batch.k
        t = student.index_set[k]  # (B,)
        arrival = student.index_set[(k - 1).clamp(min=0)].masked_fill(k == 0, -1)  # (B,), -1 is the clean image
        x_t = self.state(networks, batch, draws, self.options.substeps)
        x_arrived = follow(teacher, x_t, t, arrival, self.options.substeps)
        target = x0_of_move(x_t, x_arrived, student.level(t), teacher.level_or_clean(arrival))
        weight = signal_to_noise(student.level(t)).clamp(min=1)
        total = (weight * mean_squared_error(student.predict(x_t, t).x0, self.expert(target))).mean()
        return Loss(total, {"x0": total.detach()})


def follow(teacher: FrozenDenoiser, x: Tensor, start: Tensor, arrival: Tensor, substeps: int) -> Tensor:
    """Follow the teacher's deterministic DDIM path in evenly spaced sub-steps, rounded to the teacher's indices.

    Args:
        teacher: a model at every index between ``start`` and ``arrival``.
        x: (B, C, H, W) noised images at ``start``.
        start: (B,) teacher indices.
        arrival: (B,) smaller indices; -1 is the clean image.
        substeps: how many; where fewer indices lie between, some sub-steps stand still.
    """
    here = start
    for done in range(1, substeps + 1):
        there = start - ((start - arrival) * done).div(substeps, rounding_mode="floor")
        x = ddim_move(teacher.predict(x, here), teacher.level_or_clean(there))
        here = there.clamp(min=0)
    return x
