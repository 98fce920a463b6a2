"""The section ``evaluation`` of a spec: one protocol for every figure."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from sfddm.data.spec import Split
from sfddm.extractors.spec import Extraction
from sfddm.runtime.registry import check_name


class EvaluationSpec(Extraction):
    """One protocol for every figure of an experiment; the lists of rows are measured at the experiment's ``steps``."""

    samples: Annotated[int, Field(ge=4)]  # generated images behind each figure
    reference_split: Split = "train"  # the real images they are compared with
    reference_images: Annotated[int, Field(ge=4)] | None = None  # how many of them; None: all
    metrics: tuple[str, ...] = ("frechet_distance", "kid", "precision", "recall", "density", "coverage", "mind")
    blocks: Annotated[int, Field(ge=2, le=100)] = 10  # intervals come from leaving out one of them at a time
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    nearest_neighbours: Annotated[int, Field(ge=1)] = 3  # k of precision, recall, density, coverage
    seed: Annotated[int, Field(ge=0)] = 0  # of the sampling noise; sample k of every method starts from the same
    agreement: tuple[str, ...] = ()  # rows that are compared with the teacher's images from the same noise
    audit: tuple[str, ...] = ()  # rows whose images of the first seed are scored under other protocols, too
    interpolation: tuple[str, ...] = ()  # rows that are sampled along paths between noises, of the first seed
    measurements: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # rows of any measurement, by its name

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        """Read specs that were written before ``neighbourhood`` became ``nearest_neighbours``."""
        if not isinstance(given, dict) or "neighbourhood" not in given:
            return given
        if "nearest_neighbours" in given:
            raise ValueError("neighbourhood: is called nearest_neighbours now; give this one alone")
        return {"nearest_neighbours" if key == "neighbourhood" else key: value for key, value in given.items()}

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from sfddm.evaluation.metrics.base import Metric

        return tuple(check_name("sfddm.evaluation.metrics", Metric, name) for name in names)

    @field_validator("measurements")
    @classmethod
    def _known_measurements(cls, rows: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        from sfddm.evaluation.measurements.base import Measurement

        package = "sfddm.evaluation.measurements"
        return {check_name(package, Measurement, name): rows[name] for name in rows}  # type: ignore[type-abstract]

    @property
    def measured(self) -> dict[str, tuple[str, ...]]:
        """The rows of every measurement that is asked for, by its name."""
        own = {"agreement": self.agreement, "audit": self.audit, "interpolation": self.interpolation}
        names = dict.fromkeys([*own, *self.measurements])
        rows = {name: tuple(dict.fromkeys(own.get(name, ()) + self.measurements.get(name, ()))) for name in names}
        return {name: chosen for name, chosen in rows.items() if chosen}
