"""What the files of further measurements hold: agreement, audit, interpolation and figures by class."""

from __future__ import annotations

from typing import Any, Literal

from pydantic.dataclasses import dataclass

from sfddm.results.files import STRICT
from sfddm.results.score import ClassFigure, Figure


@dataclass(frozen=True, config=STRICT)
class Measured:
    """Figures under one protocol: what a measurement gives whose rows are plain figures, such as the agreement."""

    rows: tuple[Figure, ...]
    protocol: dict[str, Any]
    schema: Literal[1] = 1


@dataclass(frozen=True, config=STRICT)
class AuditFigure(Figure):
    """The figure of the same samples under one protocol."""

    protocol_name: str
    title: str
    description: str
    images: int
    reference_images: int
    layer: str
    resize: str
    reference_split: str


@dataclass(frozen=True, config=STRICT)
class Audit:
    """One set of samples under several protocols; ``note`` says what may be compared."""

    rows: tuple[AuditFigure, ...]
    note: str
    schema: Literal[1] = 1


@dataclass(frozen=True, config=STRICT)
class PathFigure(Figure):
    """A mean over ``pairs`` paths of one kind, in pixels or in features; ``who`` is whose paths they are."""

    who: str
    kind: str
    space: str
    pairs: int


@dataclass(frozen=True, config=STRICT)
class Interpolation:
    """The figures of the paths of one row and of its teacher."""

    rows: tuple[PathFigure, ...]
    protocol: dict[str, Any]
    schema: Literal[1] = 1


@dataclass(frozen=True, config=STRICT)
class ByClass:
    """The figures of each class."""

    rows: tuple[ClassFigure, ...]
    protocol: dict[str, Any]
    schema: Literal[1] = 1
