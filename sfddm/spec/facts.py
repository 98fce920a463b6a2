"""What the spec alone states of a row of the table: the same in ``metrics.json`` and in the plan of a run."""

from __future__ import annotations

from typing import Any

from sfddm.methods.base import Plan
from sfddm.results.rows import RowOf
from sfddm.spec.experiment import Spec


def row_of(spec: Spec, row: str, steps: int, seed: int) -> RowOf:
    """Return which row of the table, of which training seed, figures belong to."""
    method = spec.method(row)
    return RowOf(
        experiment=spec.name,
        method=row,
        role="teacher" if method.is_reference else "method",
        title=method.row_title(steps),
        steps=steps,
        seed=seed,
    )


def row_facts(spec: Spec, row: str, steps: int, seed: int) -> dict[str, Any]:
    """Return the fields of ``results.rows.Row`` that the spec states; ``index_set`` is None where a stage finds it."""
    plan, options = spec.plan(row, steps), spec.methods[row]
    return vars(row_of(spec, row, steps, seed)) | {
        "method_name": options.method,
        "index_set": plan.index_set,
        "starts_as_teacher": _starts_as_teacher(plan),
        "budget": options.budget,
        "budget_of": options.budget_of,
        # Snapshots change no figure: rows that differ in them are no variants of each other.
        "options": options.model_dump(mode="json", exclude={"training": {"snapshots"}}),
        "folds": len(plan.trainings),
    }


def _starts_as_teacher(plan: Plan) -> bool:
    """Say whether every training starts with the teacher's weights and is told the teacher's own indices."""
    return bool(plan.trainings) and all(
        training.start is None
        and training.initialisation == "teacher"
        and training.conditioning in (None, training.index_set)
        for training in plan.trainings
    )
