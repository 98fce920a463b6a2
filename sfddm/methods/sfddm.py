"""SFDDM: single-fold distillation (Hong et al. 2024, arXiv 2405.14961).

The student's forward process is the teacher's at T' of its steps, x'_k = x_{phi_k}, so any T' needs one training. It
learns to say of a noised real image what the teacher says of that same image (section 3.5):

    L(Theta) = sum_k gamma'_k E || eps_theta(x_{phi_k}, phi_k) - eps_Theta(x_{phi_k}, k) ||^2

What the paper leaves open, or its released code does otherwise, is an option here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sfddm.diffusion.process import mean_absolute_error, mean_squared_error, q_sample, signal_to_noise
from sfddm.methods.base import Method, Plan
from sfddm.methods.options import MethodOptions
from sfddm.objectives.terms import Batch, Loss, Networks

if TYPE_CHECKING:
    from sfddm.diffusion.draws import Draws


class SFDDMOptions(MethodOptions):
    """Where the paper, its code and a reader's choice may differ.

    Attributes:
        norm: "l2", squared, is the paper's; the released code has "l1".
        gamma: weight of each step. "one" is the released code's; "truncated-snr" is max(1, 1/SNR) of the squared error
            and its root of the absolute one: the weight that makes the error in noise an error in x0 where little
            signal is left (Salimans & Ho 2022, section 4).
        initialisation: "random" is the released code's. From the "teacher", under the paper's loss, on the teacher's
            own steps, the loss is 0 before training: the student then is DDIM on the same index set.
        conditioning: what the student's time embedding sees: the "teacher-index" phi_k, or the "student-index" k.
        feature_weight: weight of the mean absolute difference of the features before the last layers; the released
            code has 1, the paper's text none.
    """

    norm: Literal["l2", "l1"] = "l2"
    gamma: Literal["one", "truncated-snr"] = "one"
    initialisation: Literal["random", "teacher"] = "random"
    conditioning: Literal["teacher-index", "student-index"] = "teacher-index"
    feature_weight: Annotated[float, Field(ge=0)] = 0.0


class SFDDM(Method):
    """One fold for any number of steps and any index set."""

    name = "sfddm"
    title = "SFDDM"
    reference = "Hong et al. 2024, arXiv 2405.14961"
    Options = SFDDMOptions
    options: SFDDMOptions

    def plan(self, steps: int) -> Plan:
        """One training, straight from the teacher."""
        index_set, start = self.index_set(steps), self.options.initialisation
        seen = index_set if self.options.conditioning == "teacher-index" else tuple(range(len(index_set)))
        return self.plan_of(steps, self.training(str(steps), index_set, conditioning=seen, initialisation=start))

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the equation above as a mean over steps, images and pixels, plus the weighted feature term.

        Section 3.5 of the paper.
        """
        student, teacher = networks.student, networks.teacher
        t = student.index_set[batch.k]  # (B,)
        level = student.level(t)
        x_t = q_sample(batch.x0, batch.noise, level)  # (B, C, H, W)
        error = mean_squared_error if self.options.norm == "l2" else mean_absolute_error
        if self.options.feature_weight:
            target, target_features = teacher.with_features(x_t, t)
            prediction, features = student.with_features(x_t, t)
            feature_error = mean_absolute_error(features, target_features).mean()
        else:
            target, prediction = teacher.predict(x_t, t), student.predict(x_t, t)
        eps_error = error(prediction.eps, target.eps)  # (B,)
        if self.options.gamma == "truncated-snr":
            ratio = 1 / signal_to_noise(level)
            # An absolute error grows with the root of what a squared one grows with.
            eps_error = eps_error * (ratio if self.options.norm == "l2" else ratio.sqrt()).clamp(min=1)
        total = eps_error.mean()
        parts = {"eps": total.detach()}
        if self.options.feature_weight:
            parts["features"] = feature_error.detach()
            total = total + self.options.feature_weight * feature_error
        return Loss(total, parts)
