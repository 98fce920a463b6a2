"""Score identity distillation (SiD, Zhou et al. 2024, arXiv 2404.04057): a one-step generator, from no data.

The generator is the teacher's x0-network at one fixed noise level, tau = sigma / signal, on nothing but noise:
x_g = G(sigma n). Of x_t = alpha_t x_g + sigma_t n', at a random t, the teacher says the clean image f, and a fake
network psi says f_psi; psi learns to denoise what G makes, in every other step. G minimises, with its gradient through
x_g and through what both networks are asked,

    mean over pixels of  (f - f_psi) ((f - x_g) - a (f - f_psi))  /  stop-gradient of the mean of |x_g - f|

f - f_psi is sigma_t^2 / alpha_t times the difference of two scores (Tweedie), and E[x_g | x_t] = f_psi for the best
psi. So without the divisor the expectation is 1 - a times E |f - f_psi|^2, a Fisher divergence. With psi held fixed its
gradient is that of half the divergence for a = 1/2; the authors take 1.2, or 1.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from sfddm.diffusion.process import mean_absolute_error
from sfddm.methods.base import Method, Plan, Training
from sfddm.methods.multi_student import denoising_error, noised
from sfddm.methods.options import MethodOptions, StepCount
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.diffusion.schedule import Float64
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective

#: EDM's range of tau, used as far as the teacher's steps reach, and the root that is uniform in it, tau^(1 / RHO)
#: (Karras et al. 2022, arXiv 2206.00364).
NOISE_RANGE = (0.002, 80.0)
RHO = 7.0
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class SiDOptions(MethodOptions):
    """The defaults are those of the authors' code; each tau is moved to the nearest of the teacher's steps.

    Their Adam has the betas 0 and 0.999, which a row asks for by ``training.adam_betas``: in the plane, with 0.9 and
    the same learning rate, G goes astray. They multiply G's loss by 100, which Adam does not feel.

    Attributes:
        alpha: a, the weight of the squared difference.
        generator_tau: the noise level of G.
        noise_share: the share of EDM's noise range, from its clean end, in which G's loss is taken.
        fake_noise: mean and deviation of log tau where psi learns. Its error is one of what it predicts, which is EDM's
            weight, with a deviation of the data of 1, where it predicts v.
        fake_learning_rate_factor: learning rate of psi, as a factor on G's.
        sampler: "ddim-scaled" gives G noise of the level's sigma, as in training; others give it noise of deviation 1.
    """

    alpha: Annotated[float, Field(ge=0)] = 1.2
    generator_tau: Positive = 2.5
    noise_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    fake_noise: tuple[float, Positive] = (-1.2, 1.2)
    fake_learning_rate_factor: Positive = 1.0
    index_set: Literal["uniform"] = "uniform"
    sampler: str = "ddim-scaled"
    steps: tuple[StepCount, ...] | None = (1,)


class SiD(Method):
    """One training, which reads no image; in its even steps of G, in its odd ones of psi."""

    name = "sid"
    title = "SiD"
    reference = "Zhou et al. 2024, arXiv 2404.04057"
    Options = SiDOptions
    options: SiDOptions

    @cached_property
    def _log_tau(self) -> Float64:
        """(T,) log(sigma / signal) of the teacher's steps, increasing."""
        logarithms: Float64 = np.log(self.schedule.sigma / self.schedule.signal)
        return logarithms

    def index_set(self, steps: int) -> tuple[int, ...]:
        """Return the teacher's index of G.

        Raises:
            SfddmError: more than one step is asked for, or the teacher has no such level.
        """
        if steps != 1:
            raise SfddmError(f"steps: SiD's generator makes an image in 1 step, not in {steps}")
        tau, (first, last) = self.options.generator_tau, np.exp(self._log_tau[[0, -1]])
        if not first <= tau <= last:
            raise SfddmError(f"generator_tau: must lie in the teacher's {first:.3g} to {last:.3g}, got {tau:g}")
        return (int(np.abs(self._log_tau - np.log(tau)).argmin()),)

    def plan(self, steps: int) -> Plan:
        """One training, at G's level alone.

        Raises:
            SfddmError: as ``index_set``.
        """
        return self.plan_of(steps, self.training("1", self.index_set(steps), data_free=True))

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Train psi, a copy of the teacher, beside G."""
        import copy

        from torch.nn import ModuleDict

        from sfddm.objectives.objective import Objective

        auxiliary = ModuleDict({"fake": copy.deepcopy(teacher.denoiser).requires_grad_(True)})
        asked, rate = self.evaluations(training), self.options.fake_learning_rate_factor
        further: dict[str, Any] = {"auxiliary": auxiliary, "auxiliary_rate": rate, "draws": ("level",)}
        return Objective(student, teacher, self.loss, evaluations=asked, **further)

    def evaluations(self, training: Training) -> Evaluations:
        """Ask G and psi in every step, and the teacher in every other."""
        return Evaluations(student=2, teacher=0.5)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return G's loss in even steps and psi's in odd ones; k is 0 throughout, and x0 is not looked at.

        At step 0 psi is the teacher itself, so that nothing moves yet.
        """
        from torch import no_grad

        from sfddm.networks.auxiliary import held_fixed

        student, fake = networks.student, networks.auxiliary["fake"]
        psi: Any = fake.given(batch.labels)  # type: ignore[operator]
        noise, uniform = draws.normal("level"), draws.uniform("level")
        if batch.step % 2:
            with no_grad():
                made = generate(student, batch.noise)
            total = denoising_error(psi, made, noise, self._fake_index(uniform)).mean()
            return Loss(total, {"fake": total.detach()}, trains_student=False)
        made = generate(student, batch.noise)  # (B, C, H, W)
        with held_fixed(fake):
            total = generator_error(networks.teacher, psi, made, noise, self._index(uniform), self.options.alpha).mean()
        return Loss(total, {"generator": total.detach()})

    def _index(self, uniform: Tensor) -> Tensor:
        """Return (B,) teacher indices, uniform in tau^(1/7) up to the share, for (B,) uniform numbers."""
        ends = np.clip(np.log(NOISE_RANGE), *self._log_tau[[0, -1]])
        low, high = np.exp(ends / RHO)
        return self._nearest(RHO * (low + uniform.double() * self.options.noise_share * (high - low)).log())

    def _fake_index(self, uniform: Tensor) -> Tensor:
        """Return (B,) teacher indices whose log tau is normal, for (B,) uniform numbers."""
        from torch.special import ndtri

        mean, deviation = self.options.fake_noise
        return self._nearest(mean + deviation * ndtri(uniform.double()))

    def _nearest(self, log_tau: Tensor) -> Tensor:
        """Return (B,) the teacher indices nearest to (B,) log tau."""
        import torch

        borders = torch.from_numpy((self._log_tau[1:] + self._log_tau[:-1]) / 2).to(log_tau.device)
        return torch.bucketize(log_tau, borders)


def generate(student: Denoiser, noise: Tensor) -> Tensor:
    """Return G(n), (B, C, H, W): the clean image that the student sees in sigma n at its level.

    In variance-exploding coordinates X = x / signal that is pure noise of the level, X = tau n.
    """
    t = student.batch_of(student.steps.index_set[-1], len(noise))
    return student.predict(student.level(t).sigma * noise, t).x0


def generator_error(
    teacher: FrozenDenoiser, psi: Denoiser, images: Tensor, noise: Tensor, t: Tensor, alpha: float
) -> Tensor:
    """Return (B,) G's loss for its images.

    Args:
        teacher, psi: what says f and f_psi; neither's weights should ask for a gradient.
        images: (B, C, H, W) of G, with gradient.
        noise: (B, C, H, W) standard normal.
        t: (B,) teacher indices.
        alpha: weight of the squared difference.
    """
    x_t, _ = noised(psi, images, noise, t)
    f, f_psi = teacher.predict_with_gradient(x_t, t).x0, psi.predict(x_t, t).x0
    scale = mean_absolute_error(images, f).detach().clamp(min=1e-5)
    return identity_error(f, f_psi, images, alpha) / scale


def identity_error(f: Tensor, f_psi: Tensor, images: Tensor, alpha: float) -> Tensor:
    """Return (B,) the mean over pixels of (f - f_psi) ((f - x_g) - alpha (f - f_psi)); all (B, C, H, W)."""
    gap = f - f_psi
    return (gap * ((f - images) - alpha * gap)).flatten(1).mean(1)
