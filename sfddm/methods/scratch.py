"""The control without a teacher: a T'-step model trained on the images alone, on the student's own forward process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfddm.methods.base import Method, Plan, Training
from sfddm.methods.teacher import denoising_loss
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks

if TYPE_CHECKING:
    from sfddm.diffusion.draws import Draws


class Scratch(Method):
    """What distillation has to beat: the same steps, the same budget, no teacher. The SFDDM code calls it "scratch"."""

    name = "scratch"
    title = "From scratch"
    reference = "Ho, Jain & Abbeel 2020, arXiv 2006.11239, on T' steps"

    def plan(self, steps: int) -> Plan:
        """One training; the teacher lends its architecture and its schedule, nothing else."""
        return self.plan_of(steps, self.training(str(steps), self.index_set(steps), initialisation="random"))

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the student alone."""
        return Evaluations(student=1, teacher=0)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the denoising loss at the student's own steps."""
        return denoising_loss(networks.student, batch)
