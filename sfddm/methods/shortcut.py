"""Shortcut models (Frans et al. 2024, arXiv 2410.12557), distilled from a teacher.

The student is also told the length of its step. Some images learn the shortest step, which is the teacher's own DDIM
step, the others that one step of length 2d goes where two of length d go; in the rectified flow's velocity u:

    u(z, t, 2d) = sg[ u(z, t, d) + u(z', t', d) ] / 2        z' is where the first step goes

This is progressive distillation in one fold. Here d counts points of the grid: a step of d = 2^i leads from position k
to k - d, where d divides k + 1, so that all steps of one length tile the path; position -1 is the clean image. On a
variance-preserving grid the two halves are not equally long in t, so that the target is the one step that goes where
the two go, as for progressive distillation; where they are equally long it is the mean above.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sfddm.diffusion.flow import flow_velocity
from sfddm.diffusion.process import Prediction, eps_from_x0, mean_squared_error, q_sample, x0_of_move
from sfddm.methods.base import Training
from sfddm.methods.two_times import TwoTimesMethod, TwoTimesOptions, index_at, jump
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective


class ShortcutOptions(TwoTimesOptions):
    """How the batch is divided and how the target follows. ``grid`` must be a power of two.

    Attributes:
        bootstrap_share: of the images that learn from two shorter steps; the released code has 1/8.
        target_decay: of the moving average that takes these; 0: the student itself. The value is our choice.
    """

    bootstrap_share: Annotated[float, Field(gt=0, lt=1)] = 0.125
    target_decay: Annotated[float, Field(ge=0, lt=1)] = 0.999


class Shortcut(TwoTimesMethod):
    """Steps of 1, 2, 4, ... points of the grid, from one training."""

    name = "shortcut"
    title = "Shortcut model, distilled"
    reference = "Frans, Hafner, Levine & Abbeel 2024, arXiv 2410.12557"
    Options = ShortcutOptions
    options: ShortcutOptions

    def grid(self) -> tuple[int, ...]:
        """Return the grid.

        Raises:
            SfddmError: its number of points is no power of two.
        """
        grid = super().grid()
        if len(grid).bit_count() != 1:
            raise SfddmError(f"grid: must be a power of two, for steps are doubled, got {len(grid)}")
        return grid

    def index_set(self, steps: int) -> tuple[int, ...]:
        """Return ``steps`` points of the grid.

        Raises:
            SfddmError: a step between them has a length or a place that is not trained.
        """
        chosen, grid = super().index_set(steps), self.grid()
        for end, start in pairwise((-1, *(grid.index(t) for t in chosen))):
            length = start - end
            if length.bit_count() != 1 or (start + 1) % length:
                raise SfddmError(
                    f"index_set: steps must be 2^n points of the grid long and start at multiples of their length, but "
                    f"one goes from point {start + 1} of {len(grid)} to point {end + 1}"
                )
        return chosen

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Keep a moving average of the student, and draw which images bootstrap, and d."""
        from sfddm.objectives.objective import Objective

        asked, decay, draws = self.evaluations(training), self.options.target_decay, ("bootstrap", "length")
        return Objective(student, teacher, self.loss, evaluations=asked, average_decay=decay, draws=draws)

    def evaluations(self, training: Training) -> Evaluations:
        """Ask student and teacher once, the moving average twice: both targets are made for every image."""
        return Evaluations(student=3)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the mean squared error in u, of the shortest step or of one of length 2d, log2 d uniform."""
        student, teacher, average = networks.student, networks.teacher, networks.average
        assert average is not None
        bootstraps = draws.uniform("bootstrap") < self.options.bootstrap_share  # (B,)
        k, half = aligned(batch.k, draws.uniform("length"), len(student.index_set))
        k, length = k.where(bootstraps, batch.k), (2 * half).where(bootstraps, 1)
        # Where an image does not bootstrap, its two steps are not looked at; they stand still.
        middle = k - half.where(bootstraps, 0)
        t, between, arrival = (index_at(student, position) for position in (k, middle, k - length))
        level = student.level(t)
        z = q_sample(batch.x0, batch.noise, level)
        there = jump(average, jump(average, z, t, between), between, arrival)
        of_two = x0_of_move(z, there, level, student.level_or_clean(arrival))
        x0 = of_two.where(bootstraps.view(-1, 1, 1, 1), teacher.predict(z, t).x0)
        wanted = flow_velocity(Prediction(x0, eps_from_x0(z, x0, level)))
        error = mean_squared_error(flow_velocity(student.predict(z, t, arrival)), wanted)  # (B,)
        return Loss(error.mean(), {"u": error.mean().detach()})


def aligned(k: Tensor, uniform: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """Return where steps of length 2d start, and d, for positions k (B,) and uniform numbers (B,).

    d is 1, 2, 4, ..., half the grid; the start is the first position from k on at which 2d divides k + 1.
    """
    lengths = points.bit_length() - 1
    half = 2 ** (uniform * lengths).long().clamp(max=lengths - 1)
    return k.div(2 * half, rounding_mode="floor") * 2 * half + 2 * half - 1, half
