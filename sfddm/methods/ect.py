"""Easy consistency tuning (ECT, Geng et al. 2024, "Consistency Models Made Easy", github.com/locuslab/ect).

f is a v-prediction, which returns its input at tau = sigma / signal = 0. Two points of one line through a datum, with
the same noise, are tau and r < tau; training brings them together, stage k after stage:

    r = tau (1 - q^-(k+1) (1 + 8 sigmoid(-tau))),    loss = || f(x_tau) - sg f(x_r) || / (tau - r)

At r = 0 the target is the clean image, so that training starts as that of a denoiser but for high noise.
The second point may instead be where one DDIM step of the teacher leads, as in NVlabs/FastGen (``use_cd``); then it is
a distillation, and otherwise the teacher gives its weights alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sfddm.diffusion.index_sets import IndexSetKind
from sfddm.diffusion.lognormal import lognormal_indices, nearest
from sfddm.diffusion.process import Prediction, ddim_move, q_sample
from sfddm.methods.base import Method, Plan, Training
from sfddm.methods.options import MethodOptions
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws


class ECTOptions(MethodOptions):
    """Which pairs of points are compared.

    Attributes:
        noise_mean, noise_deviation: of ln tau, moved to the teacher's nearest index (our choice for T discrete steps).
        ratio: q.
        stage_steps: training steps of a stage; the default is 3.2 million images in batches of 128.
        second_point: "data" noises the same datum with the same noise, "teacher" takes one DDIM step of the teacher.
    """

    noise_mean: float = -1.1
    noise_deviation: Annotated[float, Field(gt=0)] = 2.0
    ratio: Annotated[float, Field(gt=1)] = 2.0
    stage_steps: Annotated[int, Field(ge=1)] = 25_000
    second_point: Literal["data", "teacher"] = "data"
    index_set: IndexSetKind | tuple[int, ...] = "linspace"
    sampler: str = "consistency"
    prediction: Literal["v"] = "v"


class ECT(Method):
    """One training, at all of the teacher's steps, serves every step count."""

    name = "ect"
    title = "ECT"
    reference = "Geng et al. 2024, github.com/locuslab/ect"
    Options = ECTOptions
    options: ECTOptions

    def plan(self, steps: int) -> Plan:
        """One training for all step counts, of v whatever the teacher predicts; one that predicts v starts best.

        Raises:
            SfddmError: the teacher shall be guided, but it is not asked.
        """
        chosen = self.options
        if chosen.second_point == "data" and chosen.guidance_scale != 1.0:
            raise SfddmError(
                f"guidance_scale: {chosen.guidance_scale:g} needs second_point: teacher; "
                "with data no teacher is asked, and 1 is allowed"
            )
        return self.plan_of(steps, self.training("all", tuple(range(self.timesteps))))

    @property
    def drawn(self) -> tuple[str, ...]:
        """The first point's level."""
        return ("level",)

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the student at both points, and the teacher where the second is its own."""
        return Evaluations(student=2, teacher=int(self.options.second_point == "teacher"))

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return || f(x_tau) - sg f(x_r) || / (tau - r), the norm a root mean square over pixels."""
        from torch import cat

        from sfddm.networks.dropout import same_dropout

        student, teacher, chosen = networks.student, networks.teacher, self.options
        taus = student.sigma / student.signal  # (T,)
        t = lognormal_indices(draws.uniform("level"), taus, chosen.noise_mean, chosen.noise_deviation)  # (B,)
        second = second_index(taus, t, batch.step // chosen.stage_steps, chosen.ratio)  # (B,)
        x = q_sample(batch.x0, batch.noise, student.level(t))
        same = Prediction(batch.x0, batch.noise) if chosen.second_point == "data" else teacher.predict(x, t)
        x_second = ddim_move(same, teacher.level_or_clean(second))
        with same_dropout(x.device):
            target = student.predict(x_second, second.clamp(min=0)).x0
        target = target.where((second >= 0).view(-1, 1, 1, 1), x_second)
        apart = student.predict(x, t).x0 - target  # (B, C, H, W)
        distance = apart.flatten(1).norm(dim=1) / apart[0].numel() ** 0.5  # (B,), its gradient 0 at 0
        between = taus[t] - cat([taus.new_zeros(1), taus])[second + 1]  # (B,)
        total = (distance / between).mean()
        return Loss(total, {"x0": distance.mean().detach()})


def second_index(taus: Tensor, t: Tensor, stage: int, ratio: float) -> Tensor:
    """Return (B,) the teacher's index nearest to r, below ``t``; -1 is the clean image (r = 0).

    Args:
        taus: (T,) sigma / signal, increasing.
        t: (B,) indices of the first point.
        stage: k, from 0.
        ratio: q, above 1.
    """
    from torch import cat, minimum

    tau = taus[t]
    r = (tau * (1 - ratio ** -(stage + 1) * (1 + 8 * (-tau).sigmoid()))).clamp(min=0)
    levels = cat([taus.new_zeros(1), taus])  # the clean image, then the teacher's
    return minimum(nearest(r, levels), t) - 1
