"""BOOT (Gu et al. 2023, arXiv 2306.05544): data-free one-step distillation by bootstrapping from one step to the next.

The student y(n, t) says the signal of the teacher's path from the noise n: x_t = signal_t y_t + sigma_t n. One DDIM
step of the teacher from t to the next cleaner s, started at the student's own point, moves y by a part Delta of the way
to what the teacher says there, with tau = sigma / signal:

    Delta = 1 - tau_s / tau_t
    L_BS = E Delta^-2 || y(n, s) - sg[ y(n, t) + Delta (D(x_t, t) - y(n, t)) ] ||^2
    L_BC = E || y(n, T) - D(n, T) ||^2
    L = L_BS + beta L_BC

Only y(n, s) and y(n, T) have a gradient. An image is y(n, t_min). The form is that of a third party's implementation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sfddm.diffusion.process import mean_absolute_error, mean_squared_error, q_sample
from sfddm.methods.base import Training
from sfddm.methods.from_noise import FromNoiseMethod, FromNoiseOptions
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import FrozenDenoiser


class BootOptions(FromNoiseOptions):
    """What nobody found stated in the paper is our choice: the steps, their weight and beta.

    Attributes:
        points: N, which sets the step from t to s.
        boundary_weight: beta; our choice.
        weight_exponent: p of the weight Delta^-p of L_BS; 2 as in the implementation above.
        clip_target: whether the teacher's x0 is clipped to [-1, 1], where images lie; our choice.
    """

    boundary_weight: Annotated[float, Field(ge=0)] = 1.0
    weight_exponent: Annotated[float, Field(ge=0)] = 2.0
    clip_target: bool = True


class BOOT(FromNoiseMethod):
    """One training, of one student of one step, without data."""

    name = "boot"
    title = "BOOT"
    reference = "Gu et al. 2023, arXiv 2306.05544"
    Options = BootOptions
    options: BootOptions
    from_noise = "signal"

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the student at t, s and T, and the teacher at t and T."""
        return Evaluations(student=3, teacher=2)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return L_BS + beta L_BC; the cleanest step has none to lead to and is replaced by the one before it."""
        from torch import no_grad

        student, n, k = networks.student, batch.noise, batch.k.clamp(min=1)
        t, s, last = student.index_set[k], student.index_set[k - 1], student.index_set[-1].expand(len(k))  # (B,)
        here, there = student.level(t), student.level(s)
        tau_t, tau_s = here.sigma / here.signal, there.sigma / there.signal
        delta: Tensor = 1 - tau_s / tau_t  # type: ignore[assignment]  # (B, 1, 1, 1)
        with no_grad():
            y_t = student.predict(n, t).x0  # (B, C, H, W)
        target = y_t + delta * (self._teacher_x0(networks.teacher, q_sample(y_t, n, here), t) - y_t)
        distance = mean_absolute_error if self.options.distance == "l1" else mean_squared_error
        weight = delta.view(-1) ** -self.options.weight_exponent  # (B,)
        steps = (weight * distance(student.predict(n, s).x0, target)).mean()
        boundary = distance(student.predict(n, last).x0, self._teacher_x0(networks.teacher, n, last)).mean()
        total = steps + self.options.boundary_weight * boundary
        return Loss(total, {"steps": steps.detach(), "boundary": boundary.detach()})

    def _teacher_x0(self, teacher: FrozenDenoiser, x: Tensor, t: Tensor) -> Tensor:
        x0 = teacher.predict(x, t).x0
        return x0.clamp(-1, 1) if self.options.clip_target else x0
