"""What a model cost to train and a row to sample, as the report needs it of ``card.json`` and ``samples.json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from sfddm.results.score import Count

#: Seconds, or numbers that need not be whole: finite and not negative.
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, kw_only=True)
class DataLabel:
    """How figures from the data are labelled, and the digest of the stored images."""

    label: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Card:
    """``card.json`` of a model folder, without what only the model itself needs."""

    schema: Literal[1]
    commit: str | None
    data: DataLabel
    versions: dict[str, str]
    hardware: str
    images_seen: Count
    train_seconds: Amount
    student_evaluations: Amount
    teacher_evaluations: Amount
    parameters: Count | None = None
    losses: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """``samples.json``: images sampled, seconds that took, network evaluations for one image, network's size."""

    images: Annotated[int, Field(ge=1)]
    seconds: Amount
    nfe: Count
    parameters: Count | None = None
    active_parameters: Count | None = None
    flops_per_evaluation: Count | None = None
    guidance_scale: Amount = 1.0
    hardware: str
