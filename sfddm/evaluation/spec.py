"""The section ``evaluation`` of a spec: one protocol for every figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from sfddm.data.spec import Split
from sfddm.extractors.spec import DEFAULT, Preparation, check_extractor
from sfddm.runtime.registry import check_name

#: Keys that older specs have: the key that took the place of each, and its value there.
_RENAMED: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "neighbourhood": ("nearest_neighbours", lambda value: value),
    "extractor": ("extractors", lambda value: (value,)),
}


def _with_the_older_extractor(schema: dict[str, Any]) -> None:
    schema["properties"]["extractor"] = {"type": "string"}


class EvaluationSpec(Preparation):
    """One protocol for every figure of an experiment; the lists of rows are measured at the experiment's ``steps``.

    The first of the extractors is the main one, behind every figure; the others score the same images once more.
    ``extractor: NAME`` means a list of this one. Weights, where an extractor's own are not meant, are the main one's or
    stand by the extractor's name.
    """

    model_config = ConfigDict(json_schema_extra=_with_the_older_extractor)

    extractors: Annotated[tuple[str, ...], Field(min_length=1)] = (DEFAULT,)
    extractor_weights: Path | dict[str, Path] | None = None
    samples: Annotated[int, Field(ge=4, le=10_000_000)]  # generated images behind each figure
    reference_split: Split = "train"  # the real images they are compared with
    reference_images: Annotated[int, Field(ge=4, le=10_000_000)] | None = None  # how many of them; None: all
    metrics: tuple[str, ...] = ("frechet_distance", "kid", "precision", "recall", "density", "coverage", "mind")
    blocks: Annotated[int, Field(ge=2, le=100)] = 10  # intervals come from leaving out one of them at a time
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    nearest_neighbours: Annotated[int, Field(ge=1, le=1000)] = 3  # k of precision, recall, density, coverage
    seed: Annotated[int, Field(ge=0)] = 0  # of the sampling noise; sample k of every method starts from the same
    agreement: tuple[str, ...] = ()  # rows that are compared with the teacher's images from the same noise
    audit: tuple[str, ...] = ()  # rows whose images of the first seed are scored under other protocols, too
    interpolation: tuple[str, ...] = ()  # rows that are sampled along paths between noises, of the first seed
    measurements: dict[str, tuple[str, ...]] = Field(default_factory=dict)  # rows of any measurement, by its name

    @model_validator(mode="before")
    @classmethod
    def _renamed(cls, given: Any) -> Any:
        """Read keys that older specs have."""
        for old, (new, value) in _RENAMED.items():
            if isinstance(given, dict) and old in given:
                if new in given:
                    raise ValueError(f"{old}: is called {new} now; give this one alone")
                given = {new if key == old else key: value(it) if key == old else it for key, it in given.items()}
        return given

    @field_validator("extractors")
    @classmethod
    def _known_extractors(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        from sfddm.extractors.base import find_extractor

        if len(set(names)) < len(names):
            raise ValueError("names an extractor twice")
        for name in names:
            check_extractor(name)
        if find_extractor(names[0]).trained:
            raise ValueError(f"{names[0]} is trained in the run, and only scores: it cannot be the first")
        return names

    @model_validator(mode="after")
    def _weights_of_its_extractors(self) -> EvaluationSpec:
        known = self.extractors
        if isinstance(self.extractor_weights, dict) and (others := set(self.extractor_weights) - set(known)):
            raise ValueError(f"extractor_weights: names {', '.join(sorted(others))}, extractors {', '.join(known)}")
        return self

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
    def extractor(self) -> str:
        """The main extractor."""
        return self.extractors[0]

    def weights_of(self, extractor: str) -> Path | None:
        """Return the weights that are stated for an extractor, None where it finds them itself."""
        stated = self.extractor_weights
        return stated.get(extractor) if isinstance(stated, dict) else stated if extractor == self.extractor else None

    @property
    def measured(self) -> dict[str, tuple[str, ...]]:
        """The rows of every measurement that is asked for, by its name."""
        own = {"agreement": self.agreement, "audit": self.audit, "interpolation": self.interpolation}
        names = dict.fromkeys([*own, *self.measurements])
        rows = {name: tuple(dict.fromkeys(own.get(name, ()) + self.measurements.get(name, ()))) for name in names}
        return {name: chosen for name, chosen in rows.items() if chosen}
