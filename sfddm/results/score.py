"""``score.json``: figures with their intervals, and the protocol behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, FiniteFloat

Count = Annotated[int, Field(ge=0)]
#: What is read back must be just what was written.
STRICT = ConfigDict(extra="forbid", strict=True)


@dataclass(frozen=True)
class Figure:
    """One figure; ``low`` and ``high`` bound its interval, None where the protocol gives none."""

    __pydantic_config__ = STRICT

    metric: str
    label: str
    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


@dataclass(frozen=True)
class ClassFigure:
    """The KID of one class's images, with its interval, and the share of them whose nearest real image is of it."""

    __pydantic_config__ = STRICT

    class_: Annotated[int, Field(ge=0, alias="class")]
    images: Count
    reference_images: Count
    kid: FiniteFloat
    low: FiniteFloat | None
    high: FiniteFloat | None
    hits: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Score:
    """The figures of one set of images under one protocol; ``by_class`` where the network knows classes."""

    __pydantic_config__ = STRICT

    rows: tuple[Figure, ...]
    protocol: dict[str, Any]
    by_class: tuple[ClassFigure, ...] = ()
    schema: Literal[1] = 1
