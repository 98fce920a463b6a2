"""The sections of a spec that stand by themselves: schedule, teacher, pairs, evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from sfddm.data.spec import Split
from sfddm.diffusion.schedule import Schedule, ScheduleKind, make_schedule
from sfddm.methods.base import TrainingOptions
from sfddm.strict import Strict


class ScheduleSpec(Strict):
    """The teacher's noise schedule. ``kind`` "linear", "cosine" or "sigmoid"; T is ``timesteps``."""

    kind: ScheduleKind
    timesteps: Annotated[int, Field(ge=2, le=100_000)]
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02
    sigmoid_start: float = -3.0
    sigmoid_end: float = 3.0
    sigmoid_tau: Annotated[float, Field(gt=0)] = 1.0

    def build(self) -> Schedule:
        """Return the schedule itself."""
        return make_schedule(self.kind, self.timesteps, **self.model_dump(exclude={"kind", "timesteps"}))


class Pretrained(Strict):
    """A teacher that exists already: a diffusers pipeline folder, or a hub repository at a pinned revision."""

    repo: str | None = None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    folder: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Pretrained:
        if (self.folder is None) == (self.repo is None):
            raise ValueError("give either folder, or repo with revision")
        if self.repo is not None and self.revision is None:
            raise ValueError("a hub repo needs revision, the 40 hex digits of a commit")
        return self


class TeacherSpec(Strict):
    """Either a training from scratch, or a pretrained pipeline."""

    training: TrainingOptions | None = None
    pretrained: Pretrained | None = None

    @model_validator(mode="after")
    def _one_way(self) -> TeacherSpec:
        if (self.training is None) == (self.pretrained is None):
            raise ValueError("give either training or pretrained")
        return self


class EvaluationSpec(Strict):
    """One protocol for every figure of an experiment.

    Attributes:
        samples: generated images behind each figure.
        reference_split: the real images they are compared with; ``reference_images`` None takes all of them.
        extractor: the network whose features are compared; "points" compares the coordinates of points themselves.
        extractor_resolution: side to which images are resized for EfficientNet; Inception has its own.
        blocks: the generated images are cut into so many blocks; intervals come from leaving one block out at a time.
        seed: seed of the sampling noise; sample k of every method starts from the same noise.
        agreement: rows whose images are compared with the teacher's from the same noise, at the experiment's ``steps``.
        audit: rows whose images of the first training seed are scored under other protocols too, at these steps.
        interpolation: rows whose first training seed is sampled along paths between noises, at these steps.
    """

    samples: Annotated[int, Field(ge=4)]
    batch_size: Annotated[int, Field(ge=1)] = 256
    extractor: Literal["efficientnet-lite0", "inception-v3-compat", "points"] = "efficientnet-lite0"
    extractor_resolution: Annotated[int, Field(ge=32, le=512)] = 64
    extractor_weights: Path | None = None
    reference_split: Split = "train"
    reference_images: Annotated[int, Field(ge=4)] | None = None
    metrics: tuple[Literal["frechet_distance", "kid", "precision", "recall"], ...] = (
        "frechet_distance",
        "kid",
        "precision",
        "recall",
    )
    blocks: Annotated[int, Field(ge=2, le=100)] = 10
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    neighbourhood: Annotated[int, Field(ge=1)] = 3
    seed: Annotated[int, Field(ge=0)] = 0
    agreement: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()
    interpolation: tuple[str, ...] = ()


class PairsSpec(Strict):
    """Images that the teacher makes from known noise, for losses that compare with them.

    Attributes:
        count: how many.
        steps: DDIM steps of the teacher, evenly spread.
        guidance_scale: w of classifier-free guidance.
    """

    count: Annotated[int, Field(ge=1)]
    steps: Annotated[int, Field(ge=1)] = 64
    guidance_scale: Annotated[float, Field(ge=0)] = 1.0
