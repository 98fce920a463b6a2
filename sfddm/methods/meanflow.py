"""MeanFlow (Geng et al. 2025, arXiv 2505.13447), distilled from a teacher.

The student says the average velocity u(z, r, t) between two times of the rectified flow, z_r = z_t - (t - r) u. The
derivative of (t - r) u along the path is the velocity v at t, which gives the identity that the student learns:

    u(z_t, r, t) = sg[ v - (t - r) du/dt ]        v is the teacher's u(z_t, t, t)

du/dt is the total derivative along the teacher's path, here a finite difference: over the teacher's DDIM step to the
grid's point before. At the grid's first point, from which only the clean image is left to go to, it is taken as 0: one
step goes there as the teacher's does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sfddm.diffusion.flow import flow_time, flow_velocity
from sfddm.diffusion.process import ddim_move, q_sample
from sfddm.methods.base import Training
from sfddm.methods.two_times import TwoTimesMethod, TwoTimesOptions, index_at
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective


class MeanFlowOptions(TwoTimesOptions):
    """Which times are compared, and how errors count; the values are those of the released code.

    Attributes:
        unequal_share: of the images whose r is not t. There r is uniform below t, and t itself uniform, in points of
            the grid: our choice, for the released code draws both from logistic normals in the flow's time.
        weight_power: p of the weight 1 / (e + c)^p of an image's squared error e, summed over pixels; 0: none.
        weight_floor: c.
    """

    unequal_share: Annotated[float, Field(ge=0, le=1)] = 0.75
    weight_power: Annotated[float, Field(ge=0)] = 0.75
    weight_floor: Annotated[float, Field(gt=0)] = 1e-3


class MeanFlow(TwoTimesMethod):
    """The average velocity between any two points of the grid, from one training."""

    name = "meanflow"
    title = "MeanFlow, distilled"
    reference = "Geng, Deng, Bai, Kolter & He 2025, arXiv 2505.13447"
    Options = MeanFlowOptions
    options: MeanFlowOptions

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Draw r, and for which images it is t."""
        from sfddm.objectives.objective import Objective

        asked, draws = self.evaluations(training), ("unequal", "arrival")
        return Objective(student, teacher, self.loss, evaluations=asked, draws=draws)

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the student at both ends of the finite difference, the teacher for its step."""
        return Evaluations(student=2)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the weighted squared error of the identity above."""
        student, teacher, k = networks.student, networks.teacher, batch.k
        unequal = draws.uniform("unequal") < self.options.unequal_share
        below = (draws.uniform("arrival") * (k + 1)).long().clamp(max=k) - 1  # uniform in -1 .. k - 1
        t, arrival = student.index_set[k], index_at(student, below.where(unequal, k))  # (B,)
        level = student.level(t)
        z = q_sample(batch.x0, batch.noise, level)
        said = teacher.predict(z, t)
        u = flow_velocity(student.predict(z, t, arrival))  # (B, C, H, W)
        slope = self._slope(student, u.detach(), ddim_move(said, student.level(t_before(student, k))), k, arrival)
        length = flow_time(level) - flow_time(student.level_or_clean(arrival))  # t - r, (B, 1, 1, 1)
        error = (u - (flow_velocity(said) - length * slope)).square().flatten(1).sum(1)  # (B,)
        weight = (error.detach() + self.options.weight_floor) ** -self.options.weight_power
        return Loss((weight * error).mean(), {"u": error.mean().detach()})

    def _slope(self, student: Denoiser, u: Tensor, x_before: Tensor, k: Tensor, arrival: Tensor) -> Tensor:
        """Return du/dt (B, C, H, W) without gradient: 0 at the first point and for steps of no length.

        Args:
            student: asked at the point before.
            u: (B, C, H, W) what it said at k.
            x_before: (B, C, H, W) where the teacher's step from k to k - 1 leads.
            k: (B,) positions on the grid.
            arrival: (B,) teacher indices at which the steps arrive.
        """
        from torch import no_grad

        before = t_before(student, k)
        standing = ((k == 0) | (arrival > before)).view(-1, 1, 1, 1)
        with no_grad():
            u_before = flow_velocity(student.predict(x_before, before, arrival.minimum(before)))
        elapsed = flow_time(student.level(student.index_set[k])) - flow_time(student.level(before))
        return ((u - u_before) / elapsed).masked_fill(standing, 0.0)


def t_before(student: Denoiser, k: Tensor) -> Tensor:
    """Return the teacher indices (B,) of the points before positions k; at the first point, its own."""
    return student.index_set[(k - 1).clamp(min=0)]
