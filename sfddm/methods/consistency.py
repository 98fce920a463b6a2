"""Consistency distillation (Song et al. 2023, arXiv 2303.01469, Algorithm 2), on a variance-preserving teacher.

A consistency function f(x_t, t) gives the same image for every point of one path of the teacher, and returns its
input at the smallest noise. In Song et al.'s variance-exploding coordinates a point is x_t / signal, with noise
tau = sigma / signal; f = c_skip x_t / signal + c_out F, where F is minus the network's v. With tau_min = 0 these are
exactly the coefficients of a v-prediction, so a teacher that predicts v is a good place to start from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sfddm.diffusion.index_sets import make_index_set
from sfddm.diffusion.process import ddim_move, mean_squared_error, q_sample
from sfddm.methods.base import Plan, Training
from sfddm.methods.on_policy import STATE, OnPolicy, OnPolicyOptions
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective


class ConsistencyOptions(OnPolicyOptions):
    """How the path is cut and how the target follows.

    Attributes:
        discretisation: N, the points of the path: the teacher's first step and N - 1 evenly spaced ones. Sampling
            visits some of them.
        target_decay: mu, the decay of the moving average that gives the target.
        sampler: "consistency" alternates f and fresh noise (Song et al., Algorithm 1).
    """

    discretisation: Annotated[int, Field(ge=3, le=100_000)] = 18
    target_decay: Annotated[float, Field(ge=0, lt=1)] = 0.95
    index_set: Literal["linspace"] = "linspace"
    sampler: Literal["consistency", "ddim"] = "consistency"
    prediction: Literal["consistency"] = "consistency"


class Consistency(OnPolicy):
    """One training serves every step count."""

    name = "consistency"
    title = "Consistency distillation"
    reference = "Song, Dhariwal, Chen & Sutskever 2023, arXiv 2303.01469"
    Options = ConsistencyOptions
    options: ConsistencyOptions

    def path(self) -> tuple[int, ...]:
        """Return the N teacher indices on which f is trained; the first is where f returns its input."""
        return (0, *make_index_set("linspace", self.timesteps, self.options.discretisation - 1))

    def index_set(self, steps: int) -> tuple[int, ...]:
        """Return ``steps`` points of the path, evenly chosen, the noisiest always among them.

        Raises:
            SfddmError: the path has fewer points that hold noise.
        """
        path = self.path()
        if steps > len(path) - 1:
            raise SfddmError(
                f"steps: a path of {len(path)} points (discretisation) gives at most {len(path) - 1} steps"
            )
        return tuple(path[1 + k] for k in make_index_set("linspace", len(path) - 1, steps))

    def plan(self, steps: int) -> Plan:
        """One training for all step counts, of a consistency function whatever the teacher predicts."""
        return self.plan_of(steps, self.training("all", self.path(), prediction="consistency"))

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Keep a moving average of the student, which gives the target."""
        from sfddm.objectives.objective import Objective

        asked, decay = self.evaluations(training), self.options.target_decay
        return Objective(student, teacher, self.loss, evaluations=asked, average_decay=decay, draws=self.drawn)

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the teacher for its step, and the moving average for the target; and for what lies on the way to x."""
        return self.asked(training, Evaluations(teacher=2))

    def student_evaluations(self, walked: float) -> float:
        """One: the image at the noisiest point."""
        return 1.0

    def student_path(self, networks: Networks, batch: Batch, draws: Draws, rows: Tensor) -> Tensor:
        """Return what two-step sampling visits: f of pure noise under fresh noise, and at the last point the noise."""
        import torch

        k, noise, labels = batch.k[rows], batch.noise[rows], batch.labels
        student = networks.student.given(None if labels is None else labels[rows])
        last = student.index_set[-1].expand(len(rows))
        with torch.no_grad():
            image = student.predict(noise, last).x0
        noised = q_sample(image, draws.normal(STATE)[rows], student.level(student.index_set[k]))
        return torch.where((k == len(student.index_set) - 1).view(-1, 1, 1, 1), noise, noised)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return || f(x_{n+1}, t_{n+1}) - f_target(x_n, t_n) ||^2, where the teacher's DDIM step led from n + 1 to n.

        At the first point f returns its input and the loss is 0. The squared distance is one of the three of the paper;
        its best one, LPIPS, needs weights that are not at hand offline.
        """
        student, teacher, k = networks.student, networks.teacher, batch.k
        assert networks.average is not None
        t, t_before = student.index_set[k], student.index_set[(k - 1).clamp(min=0)]  # (B,)
        x = self.state(networks, batch, draws)
        x_before = ddim_move(teacher.predict(x, t), teacher.level(t_before))
        target = self.expert(networks.average.predict(x_before, t_before).x0)
        total = mean_squared_error(student.predict(x, t).x0, target).mean()
        return Loss(total, {"x0": total.detach()})
