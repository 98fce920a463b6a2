"""What the stages that score a row's samples write: figures with their intervals, and the protocol behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

Count = Annotated[int, Field(ge=0)]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of a score: ``low`` and ``high`` bound its interval, None where the protocol gives none."""

    metric: str
    label: str
    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


@dataclass(frozen=True, kw_only=True)
class ClassFigure:
    """The KID of one class's images, with its interval, and the share of them whose nearest real image is of it."""

    class_: Annotated[int, Field(ge=0, alias="class")]
    images: Count
    reference_images: Count
    kid: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    hits: Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True, kw_only=True)
class Score:
    """``score.json``: the figures of one set of samples under one protocol; ``by_class`` where there are classes."""

    schema: Literal[1]
    rows: tuple[Figure, ...]
    by_class: tuple[ClassFigure, ...] = ()
    protocol: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class AuditFigure(Figure):
    """One row of ``audit.json``: the figure of the same samples under one protocol."""

    protocol_name: str
    title: str
    description: str
    images: Count
    reference_images: Count
    layer: str
    resize: str
    reference_split: str


@dataclass(frozen=True, kw_only=True)
class Audit:
    """``audit.json``: one set of samples under several protocols; ``note`` says what may be compared."""

    schema: Literal[1]
    rows: tuple[AuditFigure, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class PathFigure(Figure):
    """One row of ``interpolation.json``: a mean over ``pairs`` paths of one kind, in pixels or in features."""

    who: str
    kind: str
    space: str
    pairs: Count


@dataclass(frozen=True, kw_only=True)
class Interpolation:
    """``interpolation.json``: the figures of the paths of one row and of its teacher."""

    schema: Literal[1]
    rows: tuple[PathFigure, ...]
    protocol: dict[str, Any]
