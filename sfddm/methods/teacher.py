"""The teacher: a denoising diffusion probabilistic model (Ho et al. 2020), the row every student is held against."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sfddm.diffusion.index_sets import IndexSetKind
from sfddm.diffusion.process import mean_squared_error, q_sample, training_target
from sfddm.methods.base import Loss, Method, MethodOptions

if TYPE_CHECKING:
    from torch import Tensor

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

    def sampled_steps(self, steps: tuple[int, ...]) -> tuple[int, ...]:
        """One row: the reference length."""
        return self.options.steps or (self.options.reference_steps or self.timesteps,)

    def row_title(self, steps: int) -> str:
        """Name the sampler, and the length where it is not the full one."""
        sampler = {"ddim": "DDIM"}.get(self.options.sampler, self.options.sampler)
        length = f"{steps} steps" if steps == self.timesteps else f"{steps} of {self.timesteps} steps"
        return f"{self.options.title or self.title}, {sampler}, {length}"


def denoising_loss(network: Denoiser, x0: Tensor, noise: Tensor, k: Tensor) -> Loss:
    """Return the mean of || eps - eps_theta(sqrt(abar_t) x0 + sqrt(1 - abar_t) eps, t) ||^2: Ho et al. 2020, eq. 14.

    A network that predicts v or x0 is compared in that quantity instead (Salimans & Ho 2022, section 4): for v this
    weighs the error of the noise by 1 + 1/SNR, which keeps a gradient at the steps that hold almost no signal.

    Args:
        network: the network in training.
        x0: (B, C, H, W) float32 in [-1, 1].
        noise: (B, C, H, W) float32, standard normal.
        k: (B,) int64 positions in the network's index set.
    """
    t = network.index_set[k]  # (B,)
    level = network.level(t)
    target = training_target(network.prediction, x0, noise, level)
    total = mean_squared_error(network.raw(q_sample(x0, noise, level), t), target).mean()
    return Loss(total, {"mse": total.detach()})
