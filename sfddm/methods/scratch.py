"""The control without a teacher: a T'-step model trained on the images alone, on the student's own forward process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sfddm.methods.base import Beside, Fold, Loss, Method
from sfddm.methods.teacher import denoising_loss

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser


class Scratch(Method):
    """What distillation has to beat: the same steps, the same budget, no teacher. The SFDDM code calls it "scratch"."""

    name = "scratch"
    title = "From scratch"
    reference = "Ho, Jain & Abbeel 2020, arXiv 2006.11239, on T' steps"
    teacher_evaluations = 0

    def folds(self, steps: int) -> tuple[Fold, ...]:
        """One; the teacher lends its architecture and its schedule, nothing else."""
        return (Fold(str(steps), self.index_set(steps)),)

    @property
    def initialisation(self) -> Literal["teacher", "random"]:
        """Random."""
        return "random"

    def loss(
        self,
        student: Denoiser,
        teacher: FrozenDenoiser,
        x0: Tensor,
        noise: Tensor,
        k: Tensor,
        beside: Beside | None = None,
    ) -> Loss:
        """Return the denoising loss at the student's own steps. Shapes as in :meth:`Method.loss`."""
        return denoising_loss(student, x0, noise, k)
