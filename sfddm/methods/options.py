"""What a spec may say of a training, and of every row of the table."""

from __future__ import annotations

from itertools import pairwise
from math import ceil
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer

from sfddm.diffusion.index_sets import IndexSetKind
from sfddm.diffusion.process import PredictionKind
from sfddm.networks.spec import NetworkSpec
from sfddm.runtime.strict import Strict

StepCount = Annotated[int, Field(ge=1, le=100_000)]
#: How many times its training a row is trained.
Multiple = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _increasing(multiples: tuple[float, ...]) -> tuple[float, ...]:
    if any(one >= other for one, other in pairwise(multiples)):
        raise ValueError(f"must increase strictly; got {', '.join(f'{one:g}' for one in multiples)}")
    return multiples


#: Multiples of a row's training, strictly increasing; the row is trained once for each.
Budgets = Annotated[tuple[Multiple, ...], Field(min_length=1), AfterValidator(_increasing)]


class TrainingOptions(Strict):
    """How one network is trained. Exactly one of ``images`` and ``epochs`` sets the length.

    Attributes:
        snapshots: N keeps, beside the model, the averaged weights after 1/N, 2/N, ... of the training and the last
            weights that are not averaged; 0 keeps none. It changes no weight.
    """

    images: Annotated[int, Field(gt=0, le=10**12)] | None = None
    epochs: Annotated[float, Field(gt=0, le=10**6)] | None = None
    batch_size: Annotated[int, Field(gt=0, le=2**20)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    learning_rate_schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0, le=10**9)] = 0
    adam_betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    mixed_precision: Literal["no", "bf16"] = "no"
    compile: bool = False
    horizontal_flip: bool = False
    shuffle: bool = True
    #: Share of labels replaced by "no class", so that a class-conditional network also learns to do without one.
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0
    snapshots: Annotated[int, Field(ge=0, le=100)] = 0

    @model_serializer(mode="wrap")
    def _without_no_snapshots(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``snapshots`` out where there are none, so that digests of older specs and trainings stay theirs."""
        plain: dict[str, Any] = handler(self)
        return {key: value for key, value in plain.items() if key != "snapshots" or value}


def step_count(options: TrainingOptions, images: int) -> int:
    """Return the number of steps that see at least ``options.images``, or ``options.epochs`` times all ``images``."""
    wanted = options.images or ceil((options.epochs or 0) * images)
    return ceil(wanted / options.batch_size)


class MethodOptions(Strict):
    """The options every method has. ``method`` defaults to the row's own name in the spec.

    Attributes:
        network: the students' own network, of the teacher's classes; None: the teacher's architecture.
        student_of: another row; its student at the same steps takes the teacher's place.
        guidance_scale: w of classifier-free guidance (Ho & Salimans 2022): the teacher says (1 - w) of what it says
            without a class plus w of what it says with it. A student that learned from a guided teacher needs none.
        prediction: what the student's network predicts; None: what its teacher's does. The first weights do not
            depend on it.
        budgets: multiples of the row's training, see ``sfddm.spec.budgets``; None: those of the spec; (1,): none.
        budget, budget_of: what a row that comes from ``budgets`` states: the multiple that its trainings have already,
            and the row of the largest.
    """

    method: str
    title: str | None = None
    steps: tuple[StepCount, ...] | None = None
    training: TrainingOptions | None = None
    index_set: IndexSetKind | tuple[int, ...] = "uniform"
    concentrated_share: Annotated[float, Field(gt=0, le=1)] = 0.4
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    sampler: str = "ddim"
    clip: bool = True
    network: NetworkSpec | None = None
    student_of: str | None = None
    guidance_scale: Annotated[float, Field(ge=0)] = 1.0
    prediction: PredictionKind | None = None
    budgets: Budgets | None = None
    budget: Multiple = 1.0
    budget_of: str | None = None
