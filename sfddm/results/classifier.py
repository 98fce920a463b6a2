"""``classifier.json``: what a run's own classifier was trained on, and how well it knows images held out from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from sfddm.results.costs import Amount, DataLabel
from sfddm.results.score import STRICT, Count

Side = Annotated[int, Field(ge=1, le=8192)]


@dataclass(frozen=True, kw_only=True)
class ClassifierCard:
    """A trained classifier.

    Attributes:
        shape: (C, H, W) of an image.
        classes: how many it tells apart.
        data: the images that it was trained on.
        held_out: images that it did not see, and the share of them whose class it names.
        weights_sha256: of the file of weights beside this one.
    """

    __pydantic_config__ = STRICT

    shape: tuple[Side, Side, Side]
    classes: Annotated[int, Field(ge=2, le=100_000)]
    data: DataLabel
    held_out: Count
    accuracy: Annotated[float, Field(ge=0, le=1)]
    images_seen: Count
    seconds: Amount
    weights_sha256: str
    commit: str
    versions: dict[str, str]
    schema: Literal[1] = 1
