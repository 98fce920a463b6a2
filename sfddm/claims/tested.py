"""How a claim was tested, in one sentence made from the test itself."""

from __future__ import annotations

from sfddm.claims.cells import COSTS
from sfddm.claims.model import (
    Ablation,
    Claim,
    Compare,
    Control,
    Folds,
    Invariant,
    Relation,
    Selection,
    StepFilter,
    Within,
)
from sfddm.report.formats import style_of

_RELATIONS: dict[Relation, str] = {
    "lower": "lower",
    "higher": "higher",
    "at-least-as-low-as": "no higher",
    "at-least-as-high-as": "no lower",
}


def how_tested(claim: Claim) -> str:
    """Return which figures of which rows are held against which, and what was claimed of them."""
    test = claim.test
    if isinstance(test, Compare):
        fixed = test.left.steps is not None or test.right.steps is not None
        matched = "" if fixed else " at the same steps"
        indices = " on the same indices of the teacher" if test.same_index_set else ""
        cost = " at equal network evaluations in training" if test.same_cost else ""
        relation = _RELATIONS[test.relation]
        sides = f"{_rows(test.left)} against {_rows(test.right)}{matched}{indices}{cost}{_at(test.steps)}"
        return f"{_figure(test.metric)} of {sides}; claimed: {relation}"
    if isinstance(test, Within):
        limit = f"a factor of {test.factor:g}" if test.factor else f"{test.tolerance:g}"
        sides = f"{_rows(test.left)} against {_rows(test.right)}{_at(test.steps)}"
        return f"{_figure(test.metric)} of {sides}; claimed: worse by no more than {limit}"
    if isinstance(test, Folds):
        wanted = str(test.equals) if test.fewer_than is None else f"fewer than {_rows(test.fewer_than)}"
        what = COSTS[test.cost]
        return f"Number of {what} of {_rows(test.left)}{_at(test.steps)}; claimed: {wanted}"
    if isinstance(test, Control):
        pairs = "; ".join(f"{_figure(pair.metric)}, {pair.relation} than its control" for pair in test.pairs)
        return f"Figures of {_rows(test.left)} against their own controls{_at(test.steps)}; claimed: {pairs}"
    if isinstance(test, Ablation):
        return (
            f"{_figure(test.metric)} of {_rows(test.left)} that differ in nothing but {' and '.join(test.vary)}"
            f"{_at(test.steps)}; claimed: the two furthest apart within {100 * test.tolerance:g} % of the mean"
        )
    return "Tests of the code, without any figure" if isinstance(test, Invariant) else "Not at all"


def _rows(selection: Selection) -> str:
    """Name the selected rows: one row by its name in the spec, or every row of a method."""
    return str(selection) if selection.method else f"the rows {selection}"


def _figure(metric: str) -> str:
    return style_of(metric).heading


def _at(steps: StepFilter) -> str:
    return "" if steps == StepFilter() else f", steps {steps}"
