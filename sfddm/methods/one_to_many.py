"""One-to-many distillation (O2MKD, Zhang & Ma 2024, arXiv 2410.04191): one student for each range of timesteps.

N students share the teacher's steps; each learns to say, on its own range, what the teacher says:

    L_i = E_{t in range i} || eps_{S_i}(x_t, t) - eps_T(x_t, t) ||^2

They cost less a step than the teacher where they are smaller; how many steps are taken is another matter, so that any
sampler runs over them and they can be students of a student in few steps (``student_of``). The abstract says this much;
the number of students, the budgets and the feature term are not known, and are options here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from sfddm.diffusion.partition import Parts, equal_log_snr_parts, equal_parts, parts_at
from sfddm.diffusion.process import mean_squared_error, q_sample, training_target
from sfddm.methods.base import Method, Plan, Training
from sfddm.methods.options import MethodOptions, TrainingOptions
from sfddm.objectives.terms import Batch, Loss, Networks
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.diffusion.process import Prediction
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective


class OneToManyOptions(MethodOptions):
    """How the steps are shared and the students trained.

    Attributes:
        students: N.
        partition: ranges of equally many steps, of equal shares of the log-SNR, or cut before the listed indices.
        shared_training: a first phase, plain distillation over all steps, whose weights every student starts from; None
            leaves it out. ``training`` is each range's own.
        feature_weight: weight of the mean squared difference between the teacher's features before the last layers and
            a learned linear map of the student's.
        initialisation: of the first phase; from the "teacher" only with the teacher's own architecture.
    """

    students: Annotated[int, Field(ge=1, le=1000)] = 4
    partition: Literal["steps", "log-snr"] | tuple[Annotated[int, Field(ge=1)], ...] = "steps"
    shared_training: TrainingOptions | None = None
    feature_weight: Annotated[float, Field(ge=0)] = 0.0
    initialisation: Literal["random", "teacher"] = "random"


class OneToMany(Method):
    """A first phase shared by all students, then one training for each range of steps."""

    name = "one-to-many"
    title = "O2MKD"
    reference = "Zhang & Ma 2024, arXiv 2410.04191"
    Options = OneToManyOptions
    options: OneToManyOptions

    def ranges(self, steps: int) -> Parts:
        """Return each student's steps, as teacher indices: of all T steps, or of the T' that ``student_of`` has.

        Raises:
            SfddmError: the partition leaves a student without a step, or does not give ``students`` parts.
        """
        index_set = self.index_set(steps) if self.options.student_of else tuple(range(self.timesteps))
        partition, count = self.options.partition, self.options.students
        if partition == "steps":
            return equal_parts(index_set, count)
        if partition == "log-snr":
            return equal_log_snr_parts(index_set, self.schedule, count)
        if len(partition) != count - 1:
            raise SfddmError(f"partition: {count} students need {count - 1} boundaries, {len(partition)} are listed")
        return parts_at(index_set, list(partition))

    def plan(self, steps: int) -> Plan:
        """The shared phase, if there is one, then the ranges; they depend on ``steps`` only under ``student_of``."""
        ranges, start = self.ranges(steps), self.options.initialisation
        place = f"{steps}." if self.options.student_of else ""
        trainings, shared = [], None
        if self.options.shared_training:
            shared, every = f"{place}shared", tuple(t for part in ranges for t in part)
            length = self.options.shared_training
            trainings.append(self.training(shared, every, initialisation=start, options=length))
        names = tuple(f"{place}range-{i}" for i in range(len(ranges)))
        for name, part in zip(names, ranges, strict=True):
            trainings.append(self.training(name, part, start=shared, initialisation=start))
        return self.plan_of(steps, *trainings, sampled=names)

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Learn a linear map from the student's features to the teacher's, where features are compared."""
        if not self.options.feature_weight:
            return super().objective(training, student, teacher)
        from torch.nn import ModuleDict

        from sfddm.objectives.objective import Objective

        ours, theirs = student.network, teacher.denoiser.network
        projection = ours.linear_map(ours.feature_width, theirs.feature_width)
        return Objective(student, teacher, self.loss, auxiliary=ModuleDict({"projection": projection}))

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the equation above, in the quantity that the student predicts, plus the weighted feature term.

        For a network that predicts the noise it is the equation itself; in v it keeps a gradient at the steps that hold
        almost no signal.
        """
        student, teacher = networks.student, networks.teacher
        t = student.index_set[batch.k]  # (B,)
        level = student.level(t)
        x_t = q_sample(batch.x0, batch.noise, level)  # (B, C, H, W)

        def quantity(prediction: Prediction) -> Tensor:
            return training_target(student.prediction, prediction.x0, prediction.eps, level)

        if not self.options.feature_weight:
            output = mean_squared_error(quantity(student.predict(x_t, t)), quantity(teacher.predict(x_t, t))).mean()
            return Loss(output, {"output": output.detach()})
        target, target_features = teacher.with_features(x_t, t)
        prediction, features = student.with_features(x_t, t)
        output = mean_squared_error(quantity(prediction), quantity(target)).mean()
        feature_error = mean_squared_error(networks.auxiliary["projection"](features), target_features).mean()
        total = output + self.options.feature_weight * feature_error
        return Loss(total, {"output": output.detach(), "features": feature_error.detach()})
