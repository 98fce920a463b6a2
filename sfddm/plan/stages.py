"""The costs of a spec stage by stage, and the seconds that they take at the speeds of published records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sfddm.plan.costs import Costs, TrainingCost, total
from sfddm.plan.records import Rate, Record, sampling_rate, training_rate
from sfddm.plan.rows import extractors_of
from sfddm.spec.experiment import Spec


@dataclass(frozen=True)
class Stage:
    """What one stage costs over all training seeds.

    Attributes:
        name: of the verb.
        jobs: how many trainings, or rows that are sampled or scored.
        images: seen in training, sampled or scored; None where the spec gives epochs of a number that it does not
            state, or where there are none.
        evaluations: of networks; None likewise, and where an extractor does the work.
        seconds: at the recorded speeds; None where one of them is not recorded, or a number not known.
        rates: the speeds, each with its record.
    """

    name: str
    jobs: int
    images: float | None
    evaluations: float | None
    seconds: float | None = None
    rates: tuple[Rate, ...] = ()


def stages_of(spec: Spec, costs: Costs, records: Sequence[Record], seeds: int) -> list[Stage]:
    """Return the stages in the order of a run with so many seeds; what a spec does not ask for is left out.

    Not counted are further measurements, such as interpolations, and the features of the reference.
    """
    stages = [_training("train", [costs.teacher], seeds, records)]
    of_teacher = sampling_rate(records, costs.teacher.networks)
    if costs.pairs and spec.pairs:
        images = spec.pairs.count * seeds
        stages.append(_evaluating("pairs", seeds, images, [(costs.pairs * seeds, of_teacher)]))
    if costs.students:
        stages.append(_training("distill", list(costs.students.values()), seeds, records))
    if costs.index_sets:
        stages.append(_evaluating("index-set", seeds, None, [(costs.index_sets * seeds, of_teacher)]))
    rows = costs.sampling.values()
    rates = {networks: sampling_rate(records, networks) for networks in {row.networks for row in rows}}
    work = [(row.evaluations * seeds, rates[row.networks]) for row in rows]
    images = sum(row.images for row in rows) * seeds
    stages.append(_evaluating("sample", len(rows) * seeds, images, work))
    scored = len(extractors_of(spec))
    return [*stages, Stage("evaluate", len(rows) * seeds * scored, images * scored, None)]


def evaluations_of(stages: Sequence[Stage]) -> float | None:
    """Return the network evaluations of all stages; None where the length of a training is not known."""
    return _sum([stage.evaluations for stage in stages if stage.name != "evaluate"])


def seconds_of(stages: Sequence[Stage]) -> float | None:
    """Return the seconds of all stages but the scores, whose speed no record tells; None where another's is unknown."""
    return _sum([stage.seconds for stage in stages if stage.name != "evaluate"])


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def unrecorded(costs: Costs, records: Sequence[Record]) -> list[str]:
    """Return the rows whose trainings no record tells the speed of."""
    trainings = [costs.teacher, *costs.students.values()]
    return list(dict.fromkeys(one.row for one in trainings if one.images and training_rate(records, one) is None))


def _training(name: str, trainings: Sequence[TrainingCost], seeds: int, records: Sequence[Record]) -> Stage:
    images, evaluations = (total(trainings, value) for value in ("images", "evaluations"))
    known = {(one.method, one.networks): training_rate(records, one) for one in trainings if one.images != 0}
    work = [(one.evaluations, known.get((one.method, one.networks))) for one in trainings if one.images != 0]
    every = [value if value is None else value * seeds for value in (images, evaluations, _seconds(work))]
    return Stage(name, len(work) * seeds, every[0], every[1], every[2], _rates(work))


def _evaluating(name: str, jobs: int, images: float | None, work: Sequence[tuple[float, Rate | None]]) -> Stage:
    evaluations = sum(evaluations for evaluations, _ in work)
    return Stage(name, jobs, images, evaluations, _seconds(work), _rates(work))


def _seconds(work: Sequence[tuple[float | None, Rate | None]]) -> float | None:
    seconds = 0.0
    for evaluations, rate in work:
        if evaluations is None or rate is None:
            return None
        seconds += evaluations * rate.seconds
    return seconds


def _rates(work: Sequence[tuple[float | None, Rate | None]]) -> tuple[Rate, ...]:
    return tuple(dict.fromkeys(rate for _, rate in work if rate is not None))
