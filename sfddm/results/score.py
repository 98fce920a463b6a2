"""What ``score.json`` holds."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from sfddm.results.files import STRICT


@dataclass(frozen=True, config=STRICT)
class Figure:
    """One figure; ``low`` and ``high`` bound its interval, None where the protocol gives none."""

    metric: str
    label: str
    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, config=STRICT)
class ClassFigure:
    """The KID of one class's images, with its interval, and the share of them whose nearest real image is of it."""

    class_: Annotated[int, Field(alias="class")]
    images: int
    reference_images: int
    kid: float
    low: float
    high: float
    hits: float


@dataclass(frozen=True, config=STRICT)
class Score:
    """The figures of one set of images under one protocol; ``by_class`` where the network knows classes."""

    rows: tuple[Figure, ...]
    protocol: dict[str, Any]
    by_class: tuple[ClassFigure, ...] = ()
    schema: Literal[1] = 1
