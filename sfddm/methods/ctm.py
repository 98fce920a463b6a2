"""Consistency trajectory models (Kim et al. 2024, arXiv 2310.02279), without their GAN.

The student learns to go from any step t of a path to any earlier one, s. Where the teacher's solver leads from t to u
in [s, t), going on from u must arrive where going straight from t arrives, compared in the clean image:

    d( G_sg(G(x_t, t, s), s, 0), G_sg(G_sg(solver(x_t, t -> u), u, s), s, 0) )  +  weight || x0 - g(x_t, t, t) ||^2

sg is a moving average of the student. At s = 0 this is consistency distillation, at u = s the teacher's own step.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sfddm.diffusion.process import mean_squared_error, q_sample, training_target
from sfddm.methods.base import Training
from sfddm.methods.trajectory import follow
from sfddm.methods.two_times import TwoTimesMethod, TwoTimesOptions, index_at, jump
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective


class CTMOptions(TwoTimesOptions):
    """How target and teacher are asked.

    Attributes:
        substeps: DDIM steps of the teacher between t and u, on its own indices. Our choice; the released code takes
            Heun's.
        target_decay: of the moving average; the paper's.
        denoising_weight: of the error of g(x_t, t, t) in what the network predicts; 0 leaves it out. A fixed weight is
            our choice: the paper's adapts to the gradients.
    """

    substeps: Annotated[int, Field(ge=1, le=100_000)] = 4
    target_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999
    denoising_weight: Annotated[float, Field(ge=0)] = 1.0


class CTM(TwoTimesMethod):
    """From any step to any earlier one; the distance d is squared, our choice for LPIPS, which needs weights."""

    name = "ctm"
    title = "CTM, without GAN"
    reference = "Kim et al. 2024, arXiv 2310.02279"
    Options = CTMOptions
    options: CTMOptions

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Keep a moving average of the student, and draw s and u."""
        from sfddm.objectives.objective import Objective

        asked, decay, draws = self.evaluations(training), self.options.target_decay, ("arrival", "middle")
        return Objective(student, teacher, self.loss, evaluations=asked, average_decay=decay, draws=draws)

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the student for its step and its denoising, its average three times, the teacher for each sub-step."""
        return Evaluations(student=4 + (self.options.denoising_weight > 0), teacher=self.options.substeps)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the equation above; s is uniform below t, u between them, in positions of the grid."""
        student, teacher = networks.student, networks.teacher
        assert networks.average is not None
        average = networks.average.denoiser  # frozen, but a gradient flows through its input
        s, u = positions_below(batch.k, draws.uniform("arrival"), draws.uniform("middle"))
        t, middle, arrival = (index_at(student, k) for k in (batch.k, u, s))  # (B,)
        level = student.level(t)
        x = q_sample(batch.x0, batch.noise, level)
        made = jump(average, jump(student, x, t, arrival), arrival, arrival.clamp(max=-1))
        x_middle = follow(teacher, x, t, middle, self.options.substeps)
        target = clean_target(networks.average, x_middle, middle, arrival)
        total = mean_squared_error(made, target).mean()
        parts = {"trajectory": total.detach()}
        if self.options.denoising_weight:
            wanted = training_target(student.prediction, batch.x0, batch.noise, level)
            denoising = mean_squared_error(student.raw(x, t), wanted).mean()
            parts["denoising"] = denoising.detach()
            total = total + self.options.denoising_weight * denoising
        return Loss(total, parts)


def positions_below(k: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return positions s uniform in -1 .. k - 1 and u uniform in s .. k - 1, for uniform numbers; all (B,)."""
    s = (first * (k + 1)).long().clamp(max=k) - 1
    return s, s + (second * (k - s)).long().clamp(max=k - s - 1)


def clean_target(average: FrozenDenoiser, x: Tensor, middle: Tensor, arrival: Tensor) -> Tensor:
    """Return G_sg(G_sg(x, u, s), s, 0), (B, C, H, W) without gradient: from u to s, from there to the clean image."""
    there = jump(average, x, middle, arrival)
    return jump(average, there, arrival, arrival.clamp(max=-1))
