"""What each method needs and costs, read off its plans: for ``sfddm methods`` and docs/methods.md."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sfddm.diffusion.schedule import make_schedule
from sfddm.methods import all_methods
from sfddm.methods.base import Method, Plan
from sfddm.runtime.errors import SfddmError

#: The numbers of steps that are asked about, and the teacher's T.
STEPS, TIMESTEPS = (16, 8, 4, 2, 1), 1024


@dataclass(frozen=True)
class Overview:
    """One method with its default options.

    Attributes:
        trainings: how many: one for all numbers of steps T', one for each, or their number at some T'.
        evaluations: (student, teacher) for an image in a training step, of the training for 8 steps or for the most
            that it can; None where nothing is trained.
        needs: what the trainings, or some of them, ask for besides a teacher.
        steps: which of ``STEPS`` it can do.
    """

    name: str
    title: str
    reference: str
    trainings: str
    evaluations: tuple[float, float] | None
    needs: tuple[str, ...]
    steps: tuple[int, ...]


def overviews() -> list[Overview]:
    """Return an overview of each method, in alphabetical order."""
    return [_overview(method) for method in all_methods().values()]


def _overview(kind: type[Method]) -> Overview:
    method = kind(kind.Options.model_validate({"method": kind.name}), make_schedule("cosine", TIMESTEPS))
    plans = dict(_plans(method))
    several = plans.get(8) or next(iter(plans.values()))
    last = several.trainings[-1] if several.trainings else None
    asked = method.evaluations(last) if last else None
    return Overview(
        name=kind.name,
        title=kind.title,
        reference=kind.reference,
        trainings="itself" if kind.is_reference else _trainings(plans),
        evaluations=(asked.student, asked.teacher) if asked else None,
        needs=_needs(plans.values()),
        steps=tuple(sorted(plans)),
    )


def _plans(method: Method) -> Iterable[tuple[int, Plan]]:
    """Yield the plans of the step counts that the method can do."""
    for steps in method.sampled_steps(STEPS):
        try:
            yield steps, method.plan(steps)
        except SfddmError:
            continue


def _trainings(plans: dict[int, Plan]) -> str:
    counts = {len(plan.trainings) for plan in plans.values()}
    if counts == {0}:
        return "none"
    if counts == {1}:
        names = {plan.trainings[0].name for plan in plans.values()}
        return "one" if len(names) == 1 else "one per T'"
    steps = 8 if 8 in plans else max(plans)
    return f"{len(plans[steps].trainings)} at T' = {steps}"


def _needs(plans: Iterable[Plan]) -> tuple[str, ...]:
    trainings = [one for plan in plans for one in plan.trainings]
    told = {
        "images": any(not one.data_free for one in trainings),
        "pairs": any(one.pairs for one in trainings),
        "classes": any(one.share is not None for one in trainings),
        "labels, by a classifier": any(one.classifier for one in trainings),
        "a second time": any(one.second_time for one in trainings),
    }
    return tuple(need for need, asked in told.items() if asked)


def markdown(curves: Mapping[str, str] | None = None, record: str = "") -> str:
    """Return docs/methods.md: each method's own words, with its facts.

    Args:
        curves: the learning curve of some methods as text.
        record: where these come from.
    """
    parts = [_HEAD]
    for one in overviews():
        module = sys.modules[all_methods()[one.name].__module__]
        facts = [f"trainings: {one.trainings}"]
        if one.evaluations:
            facts.append("evaluations for an image in a training step: {:g} + {:g}".format(*one.evaluations))
            facts.append(f"needs: {', '.join(one.needs) or 'noise alone'}")
        facts.append(f"steps: {', '.join(map(str, one.steps))}")
        words = inspect.cleandoc(module.__doc__ or "")
        curve = (curves or {}).get(one.name)
        learnt = f"\nLoss in `{record}`: {curve}\n" if curve else ""
        parts.append(f"## {one.title} (`{one.name}`)\n\n{one.reference}\n\n{words}\n\n*{'; '.join(facts)}.*\n{learnt}")
    return "\n".join(parts)


_HEAD = """# The methods

Each method is one file in `sfddm/methods/`; what stands here is the beginning of that file, written by
`sfddm methods --markdown --record reports/records/gaussians-2d-cpu`. Evaluations are those of student and teacher, with
T = 1024 and default options, for 8 steps or for as many as the method can. "Steps" are those of 16, 8, 4, 2 and 1 that
it can do. The loss is that of a record, at first, on the way (logarithmic where it is positive) and at last. Verdicts
are in the [records](../reports/records).
"""
