"""Simplified consistency distillation in continuous time (sCD, Lu & Song 2024, arXiv 2410.11081), on T discrete steps.

With theta = atan2(sigma, signal) a noised image is x = cos(theta) x0 + sin(theta) eps, and a network that predicts v is
a consistency function as it stands: f(x, theta) = cos(theta) x - sin(theta) v(x, theta) returns its input at theta = 0.
Along the teacher's path dx/dtheta is the teacher's v. f must not change along it; cos(theta) df/dtheta is the tangent

    g = -cos^2(theta) (v - dx/dtheta) - r cos(theta) sin(theta) (x + dv/dtheta)

and with r rising from 0 to 1 the student moves by it: || v - sg(v + g / (|g| + c)) ||^2. Coefficients as in NVlabs/
FastGen (|g| a root mean square); dv/dtheta, the total derivative along the path, is a finite difference here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sfddm.diffusion.index_sets import IndexSetKind
from sfddm.diffusion.lognormal import lognormal_indices
from sfddm.diffusion.process import NoiseLevel, Prediction, ddim_move, mean_squared_error, q_sample, velocity
from sfddm.methods.base import Method, Plan, Training
from sfddm.methods.options import MethodOptions
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective


class SCDOptions(MethodOptions):
    """Where the path is looked at, and how the tangent is tamed.

    Attributes:
        noise_mean, noise_deviation: of ln tau, tau = tan(theta), moved to the teacher's nearest index.
        difference: of v for dv/dtheta; "central", or "backward", which is of first order and steadier in
            short trainings (what is known at less noise moves up, and nothing down).
        reach: how many indices above and below its points lie; both are choices of ours.
        tangent_warmup: training steps in which r rises from 0 to 1.
        tangent_constant: c of the normalisation.
        weight_terms: of w(theta), a cosine series in 2 theta that starts at 0; our choice of a small network.
        weight_rate: learning rate of w, as a factor on the student's.
    """

    noise_mean: float = -1.0
    noise_deviation: Annotated[float, Field(gt=0)] = 1.4
    difference: Literal["central", "backward"] = "central"
    reach: Annotated[int, Field(ge=1)] = 1
    tangent_warmup: Annotated[int, Field(ge=0)] = 10_000
    tangent_constant: Annotated[float, Field(gt=0)] = 0.1
    weight_terms: Annotated[int, Field(ge=1, le=1024)] = 8
    weight_rate: Annotated[float, Field(gt=0)] = 1.0
    index_set: IndexSetKind | tuple[int, ...] = "linspace"
    sampler: str = "consistency"
    prediction: Literal["v"] = "v"


class SCD(Method):
    """One training, at all of the teacher's steps, serves every step count."""

    name = "scd"
    title = "sCD"
    reference = "Lu & Song 2024, arXiv 2410.11081"
    Options = SCDOptions
    options: SCDOptions

    def plan(self, steps: int) -> Plan:
        """One training for all step counts, of v whatever the teacher predicts; one that predicts v starts best."""
        return self.plan_of(steps, self.training("all", tuple(range(self.timesteps))))

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Learn w(theta), the logarithm of the loss's size, beside the student."""
        from torch.nn import Linear, ModuleDict
        from torch.nn.init import zeros_

        from sfddm.objectives.objective import Objective

        weight = Linear(self.options.weight_terms, 1, bias=False)
        zeros_(weight.weight)
        return Objective(
            student,
            teacher,
            self.loss,
            evaluations=self.evaluations(training),
            auxiliary=ModuleDict({"weight": weight}),
            auxiliary_rate=self.options.weight_rate,
            draws=("level",),
        )

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the student for v, and on both sides of it; the teacher for the path, once."""
        return Evaluations(student=3)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return e^-w / tau || v - sg(v + g / (|g| + c)) ||^2 + w.

        The path ends below the first index, in the clean image, where f is the identity. The difference of f to it is
        v - dx/dtheta alone: there r is 0, so that what all else has to agree with is the teacher's own step.
        """
        student, teacher, chosen = networks.student, networks.teacher, self.options
        taus = student.sigma / student.signal  # (T,)
        t = lognormal_indices(draws.uniform("level"), taus, chosen.noise_mean, chosen.noise_deviation)  # (B,)
        level = student.level(t)
        x = q_sample(batch.x0, batch.noise, level)
        said = teacher.predict(x, t)
        # Before v: both points see its dropout masks.
        slope = total_derivative(student, said, t, chosen.reach, chosen.difference == "central")
        v = student.raw(x, t)
        ramp = min(1.0, batch.step / chosen.tangent_warmup) if chosen.tangent_warmup else 1.0
        r = (ramp * (t > 0)).view(-1, 1, 1, 1)
        g = tangent(x, v.detach(), velocity(said.x0, said.eps, level), slope, level, r)
        error = mean_squared_error(v, v.detach() + normalised(g, chosen.tangent_constant))  # (B,)
        w = self._log_weight(networks.auxiliary["weight"], level)  # (B,)
        total = (error * (-w).exp() / taus[t] + w).mean()
        return Loss(total, {"tangent": g.square().mean().sqrt(), "weight": w.mean().detach()})

    def _log_weight(self, weight: Any, level: NoiseLevel) -> Tensor:
        import torch

        frequencies = 2 * torch.arange(self.options.weight_terms, device=level.sigma.device)  # type: ignore[union-attr]
        series: Tensor = weight((angle(level).flatten(1) * frequencies).cos())  # (B, 1)
        return series.float().flatten()


def angle(level: NoiseLevel) -> Tensor:
    """Return theta in (0, pi/2) of a level given as tensors, shaped like them."""
    from torch import atan2

    return atan2(level.sigma, level.signal)  # type: ignore[arg-type]


def tangent(x: Tensor, v: Tensor, path: Tensor, slope: Tensor, level: NoiseLevel, r: Tensor | float) -> Tensor:
    """Return g; for r = 1 it is cos(theta) df/dtheta along the path. All (B, C, H, W).

    Args:
        x: noised images.
        v: the student's answer to them.
        path: dx/dtheta, the teacher's v.
        slope: dv/dtheta along the path.
        level: signal cos(theta) and sigma sin(theta).
        r: share of the second term, in [0, 1].
    """
    return -(level.signal**2) * (v - path) - r * level.signal * level.sigma * (x + slope)


def normalised(g: Tensor, constant: float) -> Tensor:
    """Return g / (|g| + constant), image by image, |g| the root of the mean square over pixels. (B, C, H, W)."""
    return g / (g.square().mean((1, 2, 3), keepdim=True).sqrt() + constant)


def total_derivative(student: Denoiser, said: Prediction, t: Tensor, reach: int, central: bool = True) -> Tensor:
    """Return dv/dtheta along the teacher's path: v above t less v below t, over the angle between; (B, C, H, W).

    The two points are those to which the teacher's answer ``said`` at t leads in one DDIM step, up and down. The error
    is of second order in their distance (their own errors of second order cancel), and of first order where one of them
    is t itself. Reckoned without mixed precision, which such a difference does not survive.

    Args:
        student: a model at every index.
        said: x0 and eps of the teacher, (B, C, H, W).
        t: (B,) indices.
        reach: how many indices the points lie above and below, fewer where the ends are nearer.
        central: whether there is one above; else it is t itself.
    """
    from torch import autocast, minimum

    from sfddm.networks.dropout import same_dropout

    last, ends = student.steps.timesteps - 1, []
    width = minimum(t, last - t).clamp(min=1, max=reach)
    for beside in ((t + width).clamp(max=last) if central else t.clamp(min=1), (t - width).clamp(min=0)):
        level = student.level(beside)
        with same_dropout(said.x0.device), autocast(said.x0.device.type, enabled=False):
            ends.append((student.raw(ddim_move(said, level).float(), beside), angle(level)))
    (v_up, above), (v_down, below) = ends
    return (v_up - v_down) / (above - below)
