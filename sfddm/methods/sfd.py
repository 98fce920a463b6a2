"""SFD (arXiv 2409.19681): the student learns on its own path to be where the teacher's path is.

From one noise, the teacher walks a grid that is M + 1 times finer than the student's, and the student its own steps. At
each step the student moves from its own, detached state, and has to arrive at the teacher's state there:

    L = || X_S(X^S_{k}, tau_k -> tau_{k-1}) - X^T_{k-1} ||_1,    X = x / signal

No image is read. The authors walk one path step by step, with an optimiser step after each; here each image of a batch
stands at one step of a path of its own, walked anew, which has the same states and costs more evaluations. Left out are
their first step without an evaluation and the second stage to one step under LPIPS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sfddm.diffusion.process import ddim_move, mean_absolute_error
from sfddm.methods.base import Method, Plan, Training
from sfddm.methods.on_policy import path_state
from sfddm.methods.options import MethodOptions
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks

if TYPE_CHECKING:
    from sfddm.diffusion.draws import Draws


class SFDOptions(MethodOptions):
    """``finer``: M, the teacher's points between two of the student's. It walks by DDIM, theirs by DPM-Solver++."""

    finer: Annotated[int, Field(ge=0)] = 3


class SFD(Method):
    """One fold for any number of steps and any index set, on the student's own states alone."""

    name = "sfd"
    title = "SFD"
    reference = "Zhou et al. 2024, arXiv 2409.19681"
    Options = SFDOptions
    options: SFDOptions

    def plan(self, steps: int) -> Plan:
        """One training, from the teacher's weights."""
        return self.plan_of(steps, self.training(str(steps), self.index_set(steps), data_free=True))

    def evaluations(self, training: Training) -> Evaluations:
        """Walk down to the step on average half the way, the teacher one step further and M + 1 times as fine."""
        steps = len(training.index_set)
        return Evaluations(1 + (steps - 1) / 2, (steps + 1) / 2 * (self.options.finer + 1))

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the equation above as a mean over images and pixels."""
        student, teacher, k, labels = networks.student, networks.teacher, batch.k, batch.labels
        index_set, clip = student.index_set, self.options.clip
        t = index_set[k]  # (B,)
        arrival = index_set[(k - 1).clamp(min=0)].masked_fill(k == 0, -1)  # (B,), -1 is the clean image
        own = path_state(student, batch.noise, index_set, k, labels, clip=clip)  # (B, C, H, W)
        target = path_state(teacher, batch.noise, index_set, k - 1, labels, substeps=self.options.finer + 1, clip=clip)
        level = teacher.level_or_clean(arrival)
        moved = ddim_move(student.predict(own, t), level)
        total = mean_absolute_error(moved / level.signal, target / level.signal).mean()
        return Loss(total, {"x": total.detach()})
