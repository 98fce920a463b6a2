"""The teacher: a denoising diffusion probabilistic model (Ho et al. 2020), the row every student is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sfddm.diffusion.index_sets import IndexSetKind
from sfddm.diffusion.process import mean_squared_error, q_sample, training_target
from sfddm.methods.base import Method, Plan
from sfddm.methods.options import MethodOptions
from sfddm.objectives.terms import Batch, Loss
from sfddm.samplers.base import find_sampler

if TYPE_CHECKING:
    from sfddm.networks.denoiser import Denoiser


class TeacherOptions(MethodOptions):
    """``reference_steps`` None samples all T steps; a smaller number is shown in the row's label."""

    index_set: IndexSetKind | tuple[int, ...] = "linspace"
    reference_steps: Annotated[int, Field(ge=1)] | None = None


class Teacher(Method):
    """Sampled at full length, or at the reference length that the spec states."""

    name = "teacher"
    title = "Teacher"
    reference = "Ho, Jain & Abbeel 2020, arXiv 2006.11239"
    Options = TeacherOptions
    options: TeacherOptions
    is_reference = True

    def plan(self, steps: int) -> Plan:
        """Nothing but the teacher's own training, which every experiment has."""
        return self.plan_of(steps)

    def sampled_steps(self, steps: tuple[int, ...]) -> tuple[int, ...]:
        """One row: the reference length."""
        return self.options.steps or (self.options.reference_steps or self.timesteps,)

    def row_title(self, steps: int) -> str:
        """Name the sampler, and the length where it is not the full one."""
        length = f"{steps} steps" if steps == self.timesteps else f"{steps} of {self.timesteps} steps"
        return f"{self.options.title or self.title}, {find_sampler(self.options.sampler).title}, {length}"


def denoising_loss(network: Denoiser, batch: Batch) -> Loss:
    """Return the mean of || eps - eps_theta(sqrt(abar_t) x0 + sqrt(1 - abar_t) eps, t) ||^2: Ho et al. 2020, eq. 14.

    A network that predicts v or x0 is compared in that quantity instead (Salimans & Ho 2022, section 4): for v this
    weighs the error of the noise by 1 + 1/SNR, which keeps a gradient at the steps that hold almost no signal.
    """
    t = network.index_set[batch.k]  # (B,)
    level = network.level(t)
    target = training_target(network.prediction, batch.x0, batch.noise, level)
    total = mean_squared_error(network.raw(q_sample(batch.x0, batch.noise, level), t), target).mean()
    return Loss(total, {"mse": total.detach()})
