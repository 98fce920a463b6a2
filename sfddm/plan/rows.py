"""The rows that a run would write, from its spec alone, with figures that are made up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from sfddm.evaluation.compare import interval_protocol, label_of
from sfddm.evaluation.intervals import COVERS
from sfddm.evaluation.measurements.base import find_measurement
from sfddm.evaluation.metrics.base import find_metric
from sfddm.evaluation.sections import Scoring
from sfddm.extractors.base import find_extractor
from sfddm.plan.costs import Costs, total
from sfddm.results.costs import DataLabel
from sfddm.results.measurements import PathFigure
from sfddm.results.rows import Collected, InterpolationOfRow, Provenance, Row, RowOf
from sfddm.results.styles import REALISM
from sfddm.spec import stages
from sfddm.spec.experiment import Spec
from sfddm.spec.facts import row_facts, row_of

#: (row, steps, metric) -> a figure; real against real has no steps.
Figure = Callable[[str, int | None, str], float]
#: The name of the rows of real against real.
REAL = "real"
#: Images of a training whose length is in epochs of a number that is not known.
_STORED = 100_000
#: What only the run can count; claims ask whether it is there, and which row has less of it.
_COUNTED_IN_THE_RUN = {"parameters": 1, "active_parameters": 1, "flops_per_evaluation": 1}


def planned(spec: Spec, stored: int | None = None) -> Collected:
    """Return what ``collect`` would write of a run; every figure is 1, with an interval of no width.

    Every row has all the seeds that it may have.

    Args:
        spec: the experiment.
        stored: number of training images, for trainings whose length is in epochs; None: not known.
    """
    costs = Costs(spec, _STORED if stored is None else stored)
    scores = [stages.scoring(spec, name) for name in extractors_of(spec)]
    measured = {name: set(spec.measured_rows(name)) for name in spec.evaluation.measured}
    rows: list[Row] = []
    paths: list[InterpolationOfRow] = []
    for row, steps in spec.rows():
        facts = row_facts(spec, row, steps, spec.first_seeds[0]) | _costs_of(costs, row, steps)
        of_seed = [made for section in scores for made in _rows(_labels(section), section, facts)]
        rows += _for_each(spec.every_seed, of_seed)
        for name in (name for name, places in measured.items() if (row, steps) in places):
            measurement = find_measurement(name)
            labels, seeds = (
                measurement.labels(scores[0]),
                spec.every_seed if measurement.every_seed else spec.every_seed[:1],
            )
            if name == "interpolation":
                paths.append(_paths(row_of(spec, row, steps, seeds[0]), labels, scores[0].extractor))
            elif measurement.template is None:
                rows += _for_each(seeds, list(_rows(labels, scores[0], facts)))
    real = {"experiment": spec.name, "method": REAL, "role": "real", "title": "Real against real"}
    baseline = tuple(made for section in scores for made in _rows(_labels(section), section, real))
    return Collected(rows=tuple(rows), baseline=baseline, interpolations=tuple(paths), provenance=_provenance(spec))


def with_figures(part: Collected, figure: Figure) -> Collected:
    """Return the same with other figures, the same for all seeds and extractors, with intervals of no width."""

    def row(one: Row) -> Row:
        value = figure(one.method, one.steps, one.metric)
        return replace(one, value=value, low=value, high=value)

    def path(one: InterpolationOfRow) -> InterpolationOfRow:
        values = [figure(one.method, one.steps, f"{REALISM}_{path.kind}") for path in one.rows]
        made = (replace(path, value=v, low=v, high=v) for path, v in zip(one.rows, values, strict=True))
        return replace(one, rows=tuple(made))

    rows, baseline = (tuple(map(row, some)) for some in (part.rows, part.baseline))
    return replace(part, rows=rows, baseline=baseline, interpolations=tuple(map(path, part.interpolations)))


def _for_each(seeds: Sequence[int], rows: Sequence[Row]) -> Iterator[Row]:
    return (replace(row, seed=seed) for seed in seeds for row in rows)


def extractors_of(spec: Spec) -> tuple[str, ...]:
    """Return the extractors that score every row, the main one first."""
    return spec.evaluation.extractors


def _labels(section: Scoring) -> dict[str, str]:
    extractor = find_extractor(section.extractor)
    return {name: label_of(find_metric(name), extractor) for name in section.metrics}


def _rows(labels: dict[str, str], section: Scoring, facts: dict[str, Any]) -> Iterator[Row]:
    protocol = {
        "extractor": section.extractor,
        "generated_images": section.samples,
        "interval": interval_protocol(section, section.samples, COVERS),
    }
    for metric, label in labels.items():
        yield Row(**facts, metric=metric, label=label, value=1.0, low=1.0, high=1.0, protocol=protocol)


def _costs_of(costs: Costs, row: str, steps: int) -> dict[str, Any]:
    trainings, sampling = costs.of_row(row, steps), costs.sampling[row, steps]
    counted = {"images_seen": total(trainings, "images"), "network_evaluations": total(trainings, "evaluations")}
    return counted | {"nfe": sampling.nfe} | _COUNTED_IN_THE_RUN


def _paths(row: RowOf, labels: dict[str, str], extractor: str) -> InterpolationOfRow:
    figures = (
        PathFigure(REALISM, label, 1.0, 1.0, 1.0, who="student", kind=kind, space="features", pairs=0)
        for kind, label in labels.items()
    )
    return InterpolationOfRow(**vars(row), rows=tuple(figures), protocol={"extractor": extractor})


def _provenance(spec: Spec) -> Provenance:
    return Provenance(
        experiment=spec.name,
        title=spec.title,
        notes=spec.notes,
        spec=spec.model_dump(mode="json"),
        spec_digest=spec.digest,
        commit="not run",
        data=DataLabel(label=spec.data.label, sha256=""),
        versions={},
        hardware="",
        python="",
    )
