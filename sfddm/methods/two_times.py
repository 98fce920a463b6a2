"""What CTM, MeanFlow and shortcut models share: a student that is told where it leaves and where it goes.

Its answer at (x, t, s) is the x0 with which one DDIM step from x at t arrives at s; -1 is the clean image. This is

    G(x, t, s) = signal_s g(x, t, s) + sigma_s (x - signal_t g(x, t, s)) / sigma_t

of CTM with a learned g, and, since such a step is an Euler step of the rectified flow too, its eps - x0 is the average
velocity u(z, r, t) of MeanFlow. So every one of them is walked by DDIM, and one training serves all numbers of steps.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sfddm.diffusion.index_sets import check_index_set, make_index_set
from sfddm.diffusion.process import ddim_move
from sfddm.methods.base import Method, Plan
from sfddm.methods.options import MethodOptions
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser

_GRID = 128


class TwoTimesOptions(MethodOptions):
    """The grid, and where the weights start.

    Attributes:
        grid: N, the teacher's steps between which the student learns to go, evenly spread, the last among them; an
            ``index_set`` is made of these. None: 128, or the largest power of two at most T. Our choice.
        initialisation: from the "teacher"'s weights the student answers at first as the teacher, wherever it goes.
    """

    grid: Annotated[int, Field(ge=2, le=100_000)] | None = None
    initialisation: Literal["random", "teacher"] = "teacher"


class TwoTimesMethod(Method):
    """One training, "all", at the points of the grid, for every number of steps."""

    Options = TwoTimesOptions
    options: TwoTimesOptions

    def grid(self) -> tuple[int, ...]:
        """Return the (N,) teacher indices at which the student is a model.

        Raises:
            SfddmError: the teacher has fewer steps.
        """
        points = self.options.grid or min(_GRID, 2 ** (self.timesteps.bit_length() - 1))
        if points > self.timesteps:
            raise SfddmError(f"grid: must be at most the teacher's {self.timesteps} timesteps, got {points}")
        return make_index_set("linspace", self.timesteps, points)

    def index_set(self, steps: int) -> tuple[int, ...]:
        """Return ``steps`` points of the grid, chosen among them as ``index_set`` says.

        Raises:
            SfddmError: the grid has fewer points, or a listed index is none of them.
        """
        grid, chosen = self.grid(), self.options.index_set
        if isinstance(chosen, tuple):
            check_index_set(chosen, self.timesteps)
            listed = super().index_set(steps)
            if unknown := sorted(set(listed) - set(grid)):
                raise SfddmError(f"index_set: {unknown[0]} is none of the {len(grid)} points of the grid (grid)")
            return listed
        if steps > len(grid):
            raise SfddmError(f"steps: must be at most the {len(grid)} points of the grid (grid), got {steps}")
        share, alphas_bar = self.options.concentrated_share, self.schedule.alphas_bar[list(grid)]
        positions = make_index_set(chosen, len(grid), steps, share=share, alphas_bar=alphas_bar)
        return tuple(grid[k] for k in positions)

    def plan(self, steps: int) -> Plan:
        """One training for all step counts.

        Raises:
            SfddmError: the sampler is not DDIM, or the grid has no such index set.
        """
        start = self.options.initialisation
        training = self.training("all", self.grid(), initialisation=start, second_time=True)
        plan = self.plan_of(steps, training)
        if plan.sampler.name != "ddim":
            raise SfddmError(f"sampler: must be ddim, whose step is what the student learns, got {plan.sampler.name}")
        return plan


def index_at(student: Denoiser, k: Tensor) -> Tensor:
    """Return the teacher indices at positions k (B,) of the student's grid; -1, the clean image, at position -1."""
    return student.index_set[k.clamp(min=0)].masked_fill(k < 0, -1)


def jump(model: Denoiser | FrozenDenoiser, x: Tensor, t: Tensor, arrival: Tensor) -> Tensor:
    """Return G(x, t, arrival), (B, C, H, W): where one step of a model with a second time goes.

    Args:
        model: the student, or a moving average of it.
        x: (B, C, H, W) noised images at t.
        t: (B,) teacher indices; where t is -1, x is clean and stays what it is.
        arrival: (B,) indices up to t, or -1.
    """
    clean = (t < 0).view(-1, 1, 1, 1)
    known = t.where(t >= 0, model.steps.index_set[0])  # an index it knows; replaced where t < 0
    return x.where(clean, ddim_move(model.predict(x, known, arrival), model.level_or_clean(arrival)))
