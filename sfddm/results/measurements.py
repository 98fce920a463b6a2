"""The files of further measurements: agreement, audit, degrees of freedom, interpolation and figures by class."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal

from sfddm.results.score import STRICT, ClassFigure, Count, Figure


@dataclass(frozen=True)
class Measured:
    """Figures under one protocol: what a measurement gives whose rows are plain figures, such as the agreement."""

    __pydantic_config__ = STRICT

    rows: tuple[Figure, ...]
    protocol: dict[str, Any]
    schema: Literal[1] = 1


@dataclass(frozen=True, kw_only=True)
class AuditFigure(Figure):
    """The figure of the same samples under one protocol."""

    protocol_name: str
    title: str
    description: str
    images: Count
    reference_images: Count
    layer: str
    resize: str
    reference_split: str


@dataclass(frozen=True)
class Audit:
    """One set of samples under several protocols; ``note`` says what may be compared."""

    __pydantic_config__ = STRICT

    rows: tuple[AuditFigure, ...]
    note: str
    schema: Literal[1] = 1


#: What a protocol may choose: nothing; weights that are not averaged, an earlier checkpoint, another sampling seed.
Degree = Literal["own", "weights", "checkpoint", "sampling-seed"]


@dataclass(frozen=True)
class Attempt(Figure):
    """The figure that one ``choice`` in a degree of freedom gives."""

    _: KW_ONLY
    degree: Degree
    choice: str
    images: Count


@dataclass(frozen=True)
class Freedom:
    """The attempts of one row; ``left_out`` says why a degree of freedom has none."""

    __pydantic_config__ = STRICT

    rows: tuple[Attempt, ...]
    left_out: dict[Degree, str]
    schema: Literal[1] = 1


@dataclass(frozen=True, kw_only=True)
class PathFigure(Figure):
    """A mean over ``pairs`` paths of one kind, in pixels or in features; ``who`` is whose paths they are."""

    who: str
    kind: str
    space: str
    pairs: Count


@dataclass(frozen=True)
class Interpolation:
    """The figures of the paths of one row and of its teacher."""

    __pydantic_config__ = STRICT

    rows: tuple[PathFigure, ...]
    protocol: dict[str, Any]
    schema: Literal[1] = 1


@dataclass(frozen=True)
class ByClass:
    """The figures of each class."""

    __pydantic_config__ = STRICT

    rows: tuple[ClassFigure, ...]
    protocol: dict[str, Any]
    schema: Literal[1] = 1
