"""What the report reads and writes, typed: scores, model cards, and the rows of ``metrics.json``.

Figures that are not finite are refused here, once, so that nothing after this file has to think of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import read_json
from sfddm.spec.describe import describe

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Role = Literal["teacher", "method", "real"]


class Record(BaseModel):
    """A part of a file that another stage wrote; keys that the report has no use for are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class Figure(Record):
    """One figure of a score: ``low`` and ``high`` bound its interval, None where the protocol gives none."""

    metric: str
    label: str
    value: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None


class ClassFigure(Record):
    """The KID of one class's images, with its interval, and the share of them whose nearest real image is of it."""

    class_: Count = Field(alias="class")
    images: Count
    reference_images: Count
    kid: FiniteFloat
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    hits: Annotated[float, Field(ge=0, le=1)]


class Score(Record):
    """``score.json``: the figures of one set of samples under one protocol; ``by_class`` where there are classes."""

    schema_: Literal[1] = Field(alias="schema")
    rows: tuple[Figure, ...]
    by_class: tuple[ClassFigure, ...] = ()
    protocol: dict[str, Any]


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


class Audit(Record):
    """``audit.json``: one set of samples under several protocols; ``note`` says what may be compared."""

    schema_: Literal[1] = Field(alias="schema")
    rows: tuple[AuditFigure, ...]
    note: str


class PathFigure(Figure):
    """One row of ``interpolation.json``: a mean over ``pairs`` paths of one kind, in pixels or in features."""

    who: str
    kind: str
    space: str
    pairs: Count


class Interpolation(Record):
    """``interpolation.json``: the figures of the paths of one row and of its teacher."""

    schema_: Literal[1] = Field(alias="schema")
    rows: tuple[PathFigure, ...]
    protocol: dict[str, Any]


class Sampling(Record):
    """``samples.json``: images sampled, seconds that took, network evaluations for one image, network's size."""

    images: Annotated[int, Field(ge=1)]
    seconds: Seconds
    nfe: Count
    parameters: Count | None = None
    active_parameters: Count | None = None
    flops_per_evaluation: Count | None = None
    guidance_scale: Amount = 1.0
    hardware: str


class DataLabel(Record):
    """How figures from the data are labelled, and the digest of the stored images."""

    label: str
    sha256: str


class Card(Record):
    """What the report needs of a model folder's ``card.json``."""

    schema_: Literal[1] = Field(alias="schema")
    commit: str | None
    data: DataLabel
    versions: dict[str, str]
    hardware: str
    images_seen: Count
    train_seconds: Seconds
    student_evaluations: Amount
    teacher_evaluations: Amount
    parameters: Count | None = None


class Row(Figure):
    """One row of ``metrics.json``: a figure, what it was measured on and what it cost.

    Attributes:
        method: the row's name in the spec; ``method_name`` is the method that implements it.
        role: "teacher" for the reference row, "real" for real against real, "method" for what competes.
        steps, seed: None for real against real, as are the costs.
        index_set: the teacher's indices that sampling visits; None where that is not stated.
        options: the row's options in the spec, every default filled in, as plain JSON.
        folds: trainings that the row needs besides the teacher's.
        images_seen, train_seconds: summed over the folds; the teacher's own for its row.
        network_evaluations: forward passes of student and teacher in training, summed over the folds.
        nfe: network evaluations for one sampled image.
        parameters: of all networks that are sampled; ``active_parameters`` of the one that answers at a step.
        flops_per_evaluation: floating-point operations of that answer for one image, counted.
    """

    experiment: str
    method: str
    method_name: str | None = None
    role: Role
    title: str
    index_set: tuple[Count, ...] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    steps: Count | None = None
    seed: Count | None = None
    nfe: Count | None = None
    folds: Count | None = None
    images_seen: Count | None = None
    train_seconds: Seconds | None = None
    sample_seconds_per_image: Seconds | None = None
    parameters: Count | None = None
    network_evaluations: Amount | None = None
    active_parameters: Count | None = None
    flops_per_evaluation: Count | None = None
    protocol: dict[str, Any]


class RowOf(Record):
    """Which row of the table, of which seed, something belongs to."""

    experiment: str
    method: str
    role: Role
    title: str
    steps: Count
    seed: Count


class AuditOfRow(RowOf):
    """The audit of one row's samples."""

    rows: tuple[AuditFigure, ...]
    note: str


class InterpolationOfRow(RowOf):
    """The interpolation of one row; its strips lie in ``samples.npz``."""

    rows: tuple[PathFigure, ...]
    protocol: dict[str, Any]


class ClassesOfRow(RowOf):
    """One row's figures class by class."""

    rows: tuple[ClassFigure, ...]


class Provenance(Record):
    """Where an experiment's figures come from. ``spec`` is the whole spec as JSON."""

    experiment: str
    title: str
    notes: tuple[str, ...]
    spec: dict[str, Any]
    spec_digest: str
    commit: str
    data: DataLabel
    versions: dict[str, str]
    hardware: str
    python: str


class Collected(BaseModel):
    """``collected/metrics.json``: everything measured in one experiment; audits and interpolations where made."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    schema_: Literal[1] = Field(default=1, alias="schema")
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    floor: tuple[Row, ...]
    audits: tuple[AuditOfRow, ...] = ()
    interpolations: tuple[InterpolationOfRow, ...] = ()
    classes: tuple[ClassesOfRow, ...] = ()
    provenance: Provenance

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON with the names of the file."""
        return self.model_dump(mode="json", by_alias=True)


Content = TypeVar("Content", bound=BaseModel)


def read_record(path: Path, kind: type[Content], written_by: str) -> Content:
    """Read a JSON file into ``kind``.

    Args:
        path: the file.
        kind: its type.
        written_by: the verb that writes the file, named when it is missing.

    Raises:
        SfddmError: the file is missing, is not JSON, lacks a key, or holds a figure that is not finite.
    """
    if not path.is_file():
        raise SfddmError(f"{path}: no such file; `sfddm {written_by}` writes it")
    try:
        return kind.model_validate(read_json(path))
    except ValidationError as error:
        raise SfddmError(f"{path}: {describe(error)}") from None
