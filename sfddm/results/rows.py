"""``metrics.json``: everything measured in one experiment, as rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from sfddm.results.costs import Amount, DataLabel
from sfddm.results.measurements import Attempt, AuditFigure, Degree, PathFigure
from sfddm.results.score import ClassFigure, Count, Figure
from sfddm.results.styles import REALISM

Role = Literal["teacher", "method", "real"]


@dataclass(frozen=True, kw_only=True)
class Row(Figure):
    """One row of ``metrics.json``: a figure, what it was measured on and what it cost.

    Attributes:
        method: the row's name in the spec; ``method_name`` is the method that implements it.
        role: "teacher" for the reference row, "real" for real images against real images, "method" for what competes.
        steps, seed: None for real images, as are the costs.
        index_set: the teacher's indices that sampling visits; None where that is not stated.
        starts_as_teacher: whether its training begins at the teacher's weights and time embedding, that is, with a
            student that answers as the teacher does; None where that is not stated.
        options: the row's options in the spec, every default filled in, as plain JSON.
        budget: the multiple of the row's training that this one is.
        budget_of: the row of the largest multiple, itself where it is that; None where the row has one budget.
        folds: trainings that the row needs besides the teacher's.
        images_seen, train_seconds: summed over the folds; the teacher's own for its row.
        network_evaluations: forward passes of student and teacher in training, summed over the folds.
        nfe: network evaluations for one sampled image.
        parameters: of all networks that are sampled; ``active_parameters`` of the one that answers at a step.
        flops_per_evaluation: floating-point operations of that answer for one image, counted.
    """

    __pydantic_config__ = ConfigDict(extra="ignore")  # published records may state more

    experiment: str
    method: str
    method_name: str | None = None
    role: Role
    title: str
    index_set: tuple[Count, ...] | None = None
    starts_as_teacher: bool | None = None
    options: dict[str, Any] = field(default_factory=dict)
    budget: Amount = 1.0
    budget_of: str | None = None
    steps: Count | None = None
    seed: Count | None = None
    nfe: Count | None = None
    folds: Count | None = None
    images_seen: Count | None = None
    train_seconds: Amount | None = None
    sample_seconds_per_image: Amount | None = None
    parameters: Count | None = None
    network_evaluations: Amount | None = None
    active_parameters: Count | None = None
    flops_per_evaluation: Count | None = None
    protocol: dict[str, Any]

    @property
    def at_smaller_budget(self) -> bool:
        """Whether the same row was trained longer, too: then this is a point of a curve, and no row of the tables."""
        return self.budget_of not in (None, self.method)


@dataclass(frozen=True, kw_only=True)
class RowOf:
    """Which row of the table, of which seed, something belongs to."""

    experiment: str
    method: str
    role: Role
    title: str
    steps: Count
    seed: Count


@dataclass(frozen=True, kw_only=True)
class AuditOfRow(RowOf):
    """The audit of one row's samples."""

    rows: tuple[AuditFigure, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class FreedomOfRow(RowOf):
    """The degrees of freedom of one row."""

    rows: tuple[Attempt, ...]
    left_out: dict[Degree, str]


@dataclass(frozen=True, kw_only=True)
class InterpolationOfRow(RowOf):
    """The interpolation of one row; its strips lie in ``samples.npz``."""

    rows: tuple[PathFigure, ...]
    protocol: dict[str, Any]

    @property
    def realism(self) -> list[Row]:
        """The student's realism along its paths, as the figures ``intermediate_realism_ratio_{kind}`` of its row.

        The kinds are linear, spherical and cross-fade, which is the control.
        """
        facts = {key: value for key, value in vars(self).items() if key != "rows"}
        return [
            Row(
                **facts,
                metric=f"{REALISM}_{figure.kind}",
                label=f"{figure.label}, {figure.kind}",
                value=figure.value,
                low=figure.low,
                high=figure.high,
            )
            for figure in self.rows
            if figure.metric == REALISM and figure.who == "student"
        ]


@dataclass(frozen=True, kw_only=True)
class ClassesOfRow(RowOf):
    """One row's figures class by class."""

    rows: tuple[ClassFigure, ...]


@dataclass(frozen=True, kw_only=True)
class LossesOfTraining:
    """How the loss of one training fell.

    Attributes:
        method, title: of the row that it belongs to.
        fold: the training's name; "teacher" for a teacher's.
        losses: means over equal parts of the training, in order.
    """

    experiment: str
    method: str
    title: str
    fold: str
    seed: Count
    losses: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Provenance:
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

    @property
    def confidence(self) -> float:
        """The confidence that the spec states for its intervals, in (0, 1)."""
        return float(self.spec.get("evaluation", {}).get("confidence", 0.95))

    @property
    def until_decided(self) -> bool:
        """Whether the run decided on the number of training seeds, row by row."""
        return isinstance(self.spec.get("seeds"), dict)

    @property
    def extractors(self) -> tuple[str, ...]:
        """The extractors that the spec states, the main one first; none where it states none."""
        evaluation = self.spec.get("evaluation", {})
        return tuple(evaluation.get("extractors", [evaluation["extractor"]] if "extractor" in evaluation else []))

    @property
    def timesteps(self) -> int:
        """The teacher's T."""
        return int(self.spec.get("schedule", {}).get("timesteps", 1000))


@dataclass(frozen=True, kw_only=True)
class Collected:
    """``collected/metrics.json``: one experiment; what was measured beside the rows where there is any.

    Attributes:
        baseline: the figures of real images against other real images, "floor" in the file.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    schema: Literal[1] = 1
    rows: Annotated[tuple[Row, ...], Field(min_length=1)]
    baseline: Annotated[tuple[Row, ...], Field(alias="floor")]
    audits: tuple[AuditOfRow, ...] = ()
    freedoms: tuple[FreedomOfRow, ...] = ()
    interpolations: tuple[InterpolationOfRow, ...] = ()
    classes: tuple[ClassesOfRow, ...] = ()
    trainings: tuple[LossesOfTraining, ...] = ()
    provenance: Provenance

    @property
    def seeds(self) -> tuple[int, ...]:
        """The training seeds, increasing."""
        return tuple(sorted({row.seed for row in self.rows if row.seed is not None}))

    @property
    def training_seeds(self) -> str:
        """How many training seeds the rows have, in words."""
        seeds = {(row.method, row.seed) for row in self.rows if row.seed is not None}
        counts = sorted(set(Counter(method for method, _ in seeds).values()))
        if counts == [1]:
            return "one training seed"
        text = f"{' to '.join(str(count) for count in dict.fromkeys([counts[0], counts[-1]]))} training seeds"
        return f"{text}, as many as the claims on a row needed" if self.provenance.until_decided else text

    @property
    def at_largest_budgets(self) -> Collected:
        """The same without the rows that were trained longer, too."""
        smaller = {row.method for row in self.rows if row.at_smaller_budget}
        rows = tuple(row for row in self.rows if row.method not in smaller)
        return replace(self, rows=rows, classes=tuple(one for one in self.classes if one.method not in smaller))

    @property
    def of_main_extractor(self) -> Collected:
        """The same without the figures of further extractors."""
        further = self.provenance.extractors[1:]
        rows, baseline = (
            tuple(row for row in some if row.protocol.get("extractor") not in further)
            for some in (self.rows, self.baseline)
        )
        return replace(self, rows=rows, baseline=baseline)

    @property
    def every_row(self) -> tuple[Row, ...]:
        """Every figure that a claim can speak of: the rows, the realism of interpolated paths, and the baseline."""
        return (*self.rows, *(row for one in self.interpolations for row in one.realism), *self.baseline)
