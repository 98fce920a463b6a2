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
    level_or_clean,
    mean_squared_error,
    q_sample,
    signal_to_noise,
    x0_of_move,
)
from sfddm.methods.base import Beside, Fold, Loss, Method, MethodOptions

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser


class TrajectoryOptions(MethodOptions):
    """``substeps`` of the teacher make one step of the student; ``initialisation`` of the student's weights."""

    substeps: Annotated[int, Field(ge=1)] = 4
    initialisation: Literal["random", "teacher"] = "teacher"


class Trajectory(Method):
    """One fold for any number of steps and any index set, with a target that differs from the teacher's own answer."""

    name = "trajectory"
    title = "Trajectory distillation, single fold"
    reference = "this project; target after Salimans & Ho 2022, arXiv 2202.00512"
    Options = TrajectoryOptions
    options: TrajectoryOptions

    @property
    def teacher_evaluations(self) -> int:  # type: ignore[override]
        """One for each sub-step."""
        return self.options.substeps

    @property
    def initialisation(self) -> Literal["teacher", "random"]:
        """As the option says."""
        return self.options.initialisation

    def folds(self, steps: int) -> tuple[Fold, ...]:
        """One, straight from the teacher."""
        return (Fold(str(steps), self.index_set(steps)),)

    def loss(
        self,
        student: Denoiser,
        teacher: FrozenDenoiser,
        x0: Tensor,
        noise: Tensor,
        k: Tensor,
        beside: Beside | None = None,
    ) -> Loss:
        """Return max(1, SNR) || x_target - x_student(x_t) ||^2, the larger of the errors in x0 and in noise.

        Shapes as in :meth:`Method.loss`.
        """
        t = student.index_set[k]  # (B,)
        arrival = student.index_set[(k - 1).clamp(min=0)].masked_fill(k == 0, -1)  # (B,), -1 is the clean image
        x_t = q_sample(x0, noise, student.level(t))
        x_arrived = follow(teacher, x_t, t, arrival, self.options.substeps)
        target = x0_of_move(x_t, x_arrived, student.level(t), level_or_clean(teacher, arrival))
        weight = signal_to_noise(student.level(t)).clamp(min=1)
        total = (weight * mean_squared_error(student.predict(x_t, t).x0, target)).mean()
        return Loss(total, {"x0": total.detach()})


def follow(teacher: FrozenDenoiser, x: Tensor, start: Tensor, arrival: Tensor, substeps: int) -> Tensor:
    """Follow the teacher's deterministic DDIM path in evenly spaced sub-steps, rounded to the teacher's indices.

    Args:
        teacher: stands for every index between ``start`` and ``arrival``.
        x: (B, C, H, W) noised images at ``start``.
        start: (B,) teacher indices.
        arrival: (B,) smaller indices; -1 is the clean image.
        substeps: how many; where fewer indices lie between, some sub-steps stand still.
    """
    here = start
    for done in range(1, substeps + 1):
        there = start - ((start - arrival) * done).div(substeps, rounding_mode="floor")
        x = ddim_move(teacher.predict(x, here), level_or_clean(teacher, there))
        here = there.clamp(min=0)
    return x
