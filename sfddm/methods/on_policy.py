"""On-policy training: at which noised images a distillation is taught (DDIL, arXiv 2410.11971).

A student that learns at noised real images q(x_t | x0) never sees those on its own way down, where its own errors have
led it. DDIL draws the x of each image and step from three sources: noised data, the teacher's own path from pure noise,
and the student's own path, along which no gradient flows. The target is the teacher's, at that x. Around it stands any
loss whose target the teacher gives at a single x.

The paper's shares, its replay buffer and its rule of mixing were found nowhere: a share for each source, drawn anew for
each image, and paths walked anew in each step, are our choice. Its reflected diffusion thresholds predicted images;
here they are clipped to [-1, 1].
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from sfddm.diffusion.process import NoiseLevel, ddim_move, q_sample
from sfddm.methods.base import Method, Training
from sfddm.methods.options import MethodOptions
from sfddm.objectives.terms import Batch, Evaluations, Networks
from sfddm.runtime.strict import Strict

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser

Share = Annotated[float, Field(ge=0, le=1)]
#: The random number that says which source an image's x comes from.
STATE = "state"


class States(Strict):
    """The shares of the sources of x, which sum to 1.

    Attributes:
        data: noised images.
        teacher: the teacher's DDIM path from noise, on as many sub-steps as the loss asks it for.
        student: the student's own path on its own steps.
        clip: whether the images that are predicted on the way, and in the target, are clipped to [-1, 1].
    """

    data: Share = 1.0
    teacher: Share = 0.0
    student: Share = 0.0
    clip: bool = True

    @model_validator(mode="after")
    def _sum_to_one(self) -> States:
        total = self.data + self.teacher + self.student
        if abs(total - 1) > 1e-6:
            raise ValueError(f"data, teacher and student are shares and must sum to 1; they sum to {total:g}")
        return self

    @property
    def on_policy(self) -> bool:
        """Whether any x comes from a path."""
        return self.data < 1


class OnPolicyOptions(MethodOptions):
    """``states``: where the noised images come from at which the student is taught."""

    states: States = States()

    @model_serializer(mode="wrap")
    def _without_data_alone(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``states`` out where all are noised data, so that digests of older specs and trainings stay theirs."""
        plain: dict[str, Any] = handler(self)
        return {key: value for key, value in plain.items() if key != "states" or self.states.on_policy}


class OnPolicy(Method):
    """A method whose loss is taught at x from any of the sources; ``options.states`` has their shares."""

    options: OnPolicyOptions

    @property
    def drawn(self) -> tuple[str, ...]:
        """The random number that chooses the source, where there are several."""
        return (STATE,) if self.options.states.on_policy else ()

    def asked(self, training: Training, loss: Evaluations, substeps: int = 1) -> Evaluations:
        """Return the evaluations for an image, its path included: (T' - 1) / 2 steps of one on average.

        Args:
            training: at each of whose T' steps x is equally often.
            loss: what the loss asks for at x.
            substeps: of the teacher for each step.
        """
        states, walked = self.options.states, (len(training.index_set) - 1) / 2
        student, teacher = states.student * self.student_evaluations(walked), states.teacher * walked * substeps
        return Evaluations(loss.student + student, loss.teacher + teacher)

    def student_evaluations(self, walked: float) -> float:
        """Return the evaluations of a student's path of so many steps."""
        return walked

    def state(self, networks: Networks, batch: Batch, draws: Draws, substeps: int = 1) -> Tensor:
        """Return x at each image's step, (B, C, H, W): noised data, or a point of a path from the batch's noise."""
        states, student = self.options.states, networks.student
        x = q_sample(batch.x0, batch.noise, student.level(student.index_set[batch.k]))
        if not states.on_policy:
            return x
        source = draws.uniform(STATE)  # (B,)
        by_teacher = (source < states.teacher).nonzero().flatten()
        by_student = ((source >= states.teacher) & (source < states.teacher + states.student)).nonzero().flatten()
        x = x.index_copy(0, by_teacher, self._teacher_path(networks, batch, by_teacher, substeps))
        return x.index_copy(0, by_student, self.student_path(networks, batch, draws, by_student))

    def _teacher_path(self, networks: Networks, batch: Batch, rows: Tensor, substeps: int) -> Tensor:
        labels, index_set = _of(batch.labels, rows), networks.student.index_set
        clip, noise, k = self.options.states.clip, batch.noise[rows], batch.k[rows]
        return path_state(networks.teacher, noise, index_set, k, labels, substeps=substeps, clip=clip)

    def student_path(self, networks: Networks, batch: Batch, draws: Draws, rows: Tensor) -> Tensor:
        """Return where the student's own sampling is at the steps of some images, (B', C, H, W), without a gradient."""
        labels, student = _of(batch.labels, rows), networks.student
        clip, noise, k = self.options.states.clip, batch.noise[rows], batch.k[rows]
        return path_state(student, noise, student.index_set, k, labels, clip=clip)

    def expert(self, target: Tensor) -> Tensor:
        """Return the teacher's x0, clipped where x may come from a path and the states are clipped."""
        states = self.options.states
        return target.clamp(-1, 1) if states.on_policy and states.clip else target


def _of(labels: Tensor | None, rows: Tensor) -> Tensor | None:
    return None if labels is None else labels[rows]


def path_state(
    model: Denoiser | FrozenDenoiser,
    noise: Tensor,
    index_set: Tensor,
    position: Tensor,
    labels: Tensor | None,
    *,
    substeps: int = 1,
    clip: bool = True,
) -> Tensor:
    """Return where a model's DDIM path from pure noise is at a position of an index set; no gradient.

    Args:
        model: at every index of the set, and of its sub-steps.
        noise: (B, C, H, W) x at the last index.
        index_set: (T',) increasing.
        position: (B,) in [-1, T'); -1 is the clean image.
        labels: (B,) classes, None where there are none.
        substeps: of each step, evenly spaced and rounded to indices; where fewer lie between, some stand still.
        clip: whether predicted images are clipped to [-1, 1].
    """
    import torch

    indices, x = [-1, *index_set.tolist()], noise
    with torch.no_grad():
        for place in range(len(index_set) - 1, -1, -1):
            rows = (position < place).nonzero().flatten()
            if not len(rows):
                continue
            start, end = indices[place + 1], indices[place]
            stops = [start - (start - end) * done // substeps for done in range(substeps + 1)]
            given = model.given(None if labels is None else labels[rows])
            x = x.index_copy(0, rows, _walk(given, x[rows], stops, clip=clip))
    return x


def _walk(model: Denoiser | FrozenDenoiser, x: Tensor, stops: list[int], *, clip: bool) -> Tensor:
    """Follow DDIM along teacher indices; the last may be -1, the clean image."""
    for here, there in pairwise(stops):
        if here == there:
            continue
        t = x.new_full((len(x),), here).long()
        prediction = model.predict(x, t)
        if clip:
            prediction = prediction.clipped(x, model.level(t))
        arrival = model.level(t.new_full((len(x),), there)) if there >= 0 else NoiseLevel(1.0, 0.0)
        x = ddim_move(prediction, arrival)
    return x
