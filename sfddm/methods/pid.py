"""Physics-informed distillation (PID, Tee et al. 2024, arXiv 2411.08378): a network solves the teacher's path.

In variance-exploding coordinates, X = x_t / signal over tau = sigma / signal, the teacher's path obeys
dX / dtau = (X - D(x_t, t)) / tau. The trajectory that starts at z = tau_T n is written with a network F,

    X(z, tau) = (tau / tau_T) z + (1 - tau / tau_T) F(n, tau),

which is exact at tau_T, and F minimises the residual of the equation, with a first-order difference for the derivative:

    L = E d( X_i - tau_i (X_i - X_j) / (tau_i - tau_j),  sg[ D(signal_i X_i, t_i) ] )

where j is the next cleaner point of the path, or the next noisier one for the cleanest. The gradient goes through both
evaluations of the student and not through the teacher. An image is X(z, tau_min).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sfddm.diffusion.process import mean_absolute_error, mean_squared_error, q_sample, signal_of_trajectory
from sfddm.methods.base import Training
from sfddm.methods.from_noise import FromNoiseMethod
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks

if TYPE_CHECKING:
    from sfddm.diffusion.draws import Draws


class PID(FromNoiseMethod):
    """One training, of one student of one step, without data."""

    name = "pid"
    title = "PID"
    reference = "Tee et al. 2024, arXiv 2411.08378"
    from_noise = "trajectory"

    def evaluations(self, training: Training) -> Evaluations:
        """Ask the student at both ends of the difference, and the teacher once."""
        return Evaluations(student=2)

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the residual's distance; X_t = y_t + tau_t n, and n drops out of X - tau dX / dtau."""
        student, n, k = networks.student, batch.noise, batch.k
        other = (k - 1).masked_fill(k == 0, 1)  # (B,)
        i, j = student.index_set[k], student.index_set[other]  # (B,)
        here, there, last = student.level(i), student.level(j), student.last_level
        tau_i, tau_j = here.sigma / here.signal, there.sigma / there.signal  # (B, 1, 1, 1)
        y_i = signal_of_trajectory(student.image_of(n, i), here, last)  # (B, C, H, W)
        y_j = signal_of_trajectory(student.image_of(n, j), there, last)
        x0 = y_i - tau_i / (tau_i - tau_j) * (y_i - y_j)
        target = networks.teacher.predict(q_sample(y_i, n, here).detach(), i).x0
        distance = mean_absolute_error if self.options.distance == "l1" else mean_squared_error
        total = distance(x0, target).mean()
        return Loss(total, {"residual": total.detach()})
