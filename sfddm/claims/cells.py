"""The tests of claims over the figures: each returns its cells, or says why there are none."""

from __future__ import annotations

import json
from itertools import combinations
from typing import Any

from sfddm.claims.measured import Difference, Figures, Measured, difference
from sfddm.claims.model import (
    Ablation,
    Compare,
    Control,
    CountedCost,
    Direction,
    Folds,
    Relation,
    Selection,
    StepFilter,
    Within,
)
from sfddm.claims.verdict import Cell, Number, RowLink, Word
from sfddm.report.rows import Row

#: Options that change neither what is trained nor how it is sampled.
_NAMES_ONLY = {"title", "steps"}

#: Counted costs, in words.
COSTS: dict[CountedCost, str] = {
    "folds": "trainings",
    "parameters": "weights in memory",
    "active_parameters": "weights at work in one step",
    "flops_per_evaluation": "floating-point operations in one step",
}
#: Where an interval lies, seen from a limit.
_SIDES: dict[Word, str] = {
    "reproduced": "the interval lies within",
    "contradicted": "the interval lies beyond",
    "inconclusive": "the interval does not tell",
}


class NothingToTest(Exception):
    """Carries the reason why a claim has no cell."""


def compare(test: Compare, figures: Figures) -> list[Cell]:
    """Left against right in every cell that both have."""
    lefts = _found(figures, test.left, test.metric, test.steps)
    rights = _found(figures, test.right, test.metric, None)
    fixed = test.left.steps is not None or test.right.steps is not None
    cells: list[Cell] = []
    for left in lefts:
        # Rows of another cost are left out unsaid: `implements` finds dozens, and few of them are controls of cost.
        partners = [
            right
            for right in rights
            if (right.first.experiment, right.first.label) == (left.first.experiment, left.first.label)
            and (fixed or right.first.steps == left.first.steps)
            and (not test.same_cost or _cost_alike(left.first, right.first))
            and right is not left
        ]
        if test.same_index_set and partners:
            same = [right for right in partners if right.first.index_set == left.first.index_set is not None]
            if not same:
                cells.append(_refused(left, partners[0], "the two do not visit the same indices of the teacher"))
            partners = same
        cells += [_compared(left, right, test.relation) for right in partners]
    if not cells:
        common = "training of equal cost at the same steps" if test.same_cost else "step count in common"
        raise NothingToTest(f"the rows {test.left} and {test.right} have no {common}")
    return cells


def _cost_alike(left: Row, right: Row) -> bool:
    """Say whether two trainings took equally many network evaluations, to within 1 %."""
    one, other = left.network_evaluations, right.network_evaluations
    return one is not None and other is not None and one > 0 and abs(one - other) <= 0.01 * one


def within(test: Within, figures: Figures) -> list[Cell]:
    """Left against a factor of the reference, or a tolerance beside it."""
    lefts = _found(figures, test.left, test.metric, test.steps)
    rights = _found(figures, test.right, test.metric, None)
    lower = test.better == "lower"
    factor, tolerance = test.factor or 1.0, test.tolerance or 0.0
    cells = []
    for left in lefts:
        key = (left.first.experiment, left.first.label)
        own = [right for right in rights if (right.first.experiment, right.first.label) == key]
        if not own:
            continue
        right = max(own, key=lambda figure: figure.first.steps or 0)
        apart = difference(left, right, factor if lower else 1 / factor, tolerance if lower else -tolerance)
        limit = f"{'' if lower else '1 / '}{factor:g} times" if test.factor else f"{tolerance:g} from"
        cells.append(_cell(left, right, apart, "lower" if lower else "higher", False, limit=f"{limit} the reference"))
    if not cells:
        raise NothingToTest(f"the reference {test.right} was not measured beside the rows {test.left}")
    return cells


def folds(test: Folds, figures: Figures) -> list[Cell]:
    """A counted cost, which is no estimate: it is right or wrong."""
    lefts = _once(_found(figures, test.left, None, test.steps))
    others = {} if test.fewer_than is None else _by_place(_found(figures, test.fewer_than, None, None))
    cells = []
    for left in lefts:
        right = others.get((left.first.experiment, left.first.steps))
        numbers = [_counted(one, test.cost) for one in (left, right) if one is not None]
        if any(number is None for number in numbers) or (test.fewer_than is not None and right is None):
            continue
        values = [number.value for number in numbers if number is not None]
        if right is None:
            right_answer, text = values[0] == test.equals, f"claimed {test.equals}"
        else:
            right_answer, text = values[0] < values[1], "counted, not estimated"
        verdict: Word = "reproduced" if right_answer else "contradicted"
        stated = [number for number in numbers if number is not None]
        cells.append(_row_cell(left, right, verdict, stated, text, metric=test.cost))
    if not cells:
        raise NothingToTest(f"no {COSTS[test.cost]} are stated for {test.left}")
    return cells


def control(test: Control, figures: Figures) -> list[Cell]:
    """A row's figure against its own control."""
    cells = []
    for pair in test.pairs:
        controls = figures.select(test.left, pair.control)
        for figure in figures.select(test.left, pair.metric, test.steps):
            place = (figure.first.experiment, figure.first.method, figure.first.steps)
            for other in controls:
                if (other.first.experiment, other.first.method, other.first.steps) == place:
                    names = (figure.first.label, f"control ({other.first.label})")
                    apart = difference(figure, other)
                    cells.append(_cell(figure, other, apart, pair.relation, False, names=names))
    if not cells:
        wanted = ", ".join(f"{pair.metric} and {pair.control}" for pair in test.pairs)
        raise NothingToTest(f"no row {test.left} has the figures {wanted}" + _filtered(test.steps))
    return cells


def ablation(test: Ablation, figures: Figures) -> list[Cell]:
    """The two rows that differ most, among those that differ in nothing but the varied options."""
    groups: dict[str, list[Measured]] = {}
    for figure in _found(figures, test.left, test.metric, test.steps):
        row = figure.first
        if not set(test.vary) <= set(row.options) or not _takes_part(test, row.options):
            continue
        rest = {key: value for key, value in row.options.items() if key not in (*test.vary, *_NAMES_ONLY)}
        key = json.dumps([row.experiment, row.steps, row.label, rest], sort_keys=True)
        groups.setdefault(key, []).append(figure)
    cells = [_spread(group, test.tolerance) for group in groups.values() if len(group) > 1]
    if not cells:
        raise NothingToTest(f"no two rows {test.left} differ in nothing but {' and '.join(test.vary)}")
    return cells


def _takes_part(test: Ablation, options: dict[str, Any]) -> bool:
    def plain(value: Any) -> Any:
        return list(value) if isinstance(value, tuple) else value

    return all(plain(options.get(key)) in [plain(v) for v in allowed] for key, allowed in test.among.items())


def _spread(group: list[Measured], tolerance: float) -> Cell:
    """Judge the pair of rows that lie furthest apart against ``tolerance`` times the mean of all."""
    mean = sum(abs(figure.number().value) for figure in group) / len(group)
    one, other = max(combinations(group, 2), key=lambda two: abs(two[0].number().value - two[1].number().value))
    if one.number().value < other.number().value:
        one, other = other, one
    apart = difference(one, other)
    names = (f"{one.first.title} ({one.first.method})", f"{other.first.title} ({other.first.method})")
    limit = f"{100 * tolerance:g} % of the mean, for the two furthest apart of {len(group)} rows"
    if apart is not None:
        # What is allowed is subtracted, so that the claim is that the rest lies below 0.
        low = None if apart.low is None else apart.low - tolerance * mean
        high = None if apart.high is None else apart.high - tolerance * mean
        apart = Difference(apart.value - tolerance * mean, low, high, apart.seeds, False)
    return _cell(one, other, apart, "lower", False, names=names, limit=limit)


def _compared(left: Measured, right: Measured, relation: Relation) -> Cell:
    direction: Direction = "lower" if relation in ("lower", "at-least-as-low-as") else "higher"
    names = None
    if left.first.title == right.first.title:
        names = (_name_of(left), _name_of(right))
    return _cell(left, right, difference(left, right), direction, relation.startswith("at-least"), names=names)


def _name_of(figure: Measured) -> str:
    return f"{figure.first.title} ({figure.first.method}, {figure.first.steps} steps)"


def _cell(
    left: Measured,
    right: Measured,
    apart: Difference | None,
    direction: Direction,
    or_equal: bool,
    names: tuple[str, str] | None = None,
    limit: str | None = None,
) -> Cell:
    """Judge a difference that is claimed to lie below 0 ("lower") or above it ("higher").

    ``or_equal``: a difference of exactly 0 is as claimed. ``limit``: what 0 stands for, where that is not equality.
    """
    if apart is None:
        return _refused(left, right, "the two share no training seed")
    verdict: Word = "inconclusive"
    if apart.equal and limit is None:
        verdict = "reproduced" if or_equal else "inconclusive"
        reason = "exactly equal"
    else:
        reason = apart.text
        if apart.low is not None and apart.high is not None:
            below, above = apart.high < 0, apart.low > 0
            if below or above:
                verdict = "reproduced" if below == (direction == "lower") else "contradicted"
    numbers = [left.number(names[0] if names else None), right.number(names[1] if names else None)]
    because = reason if limit is None else f"allowed {limit}; {_SIDES[verdict]}"
    interval = (apart.value, apart.low, apart.high)
    return _row_cell(left, right, verdict, numbers, because, seeds=apart.seeds, interval=interval)


def _row_cell(
    left: Measured,
    right: Measured | None,
    verdict: Word,
    numbers: list[Number],
    because: str,
    *,
    metric: CountedCost | None = None,
    seeds: int | None = None,
    interval: tuple[float, float | None, float | None] | None = None,
) -> Cell:
    row = left.first
    links: list[RowLink] = [left.link] + ([right.link] if right else [])
    return Cell(
        experiment=row.experiment,
        steps=row.steps,
        metric=metric or row.metric,
        label=row.label if metric is None else COSTS[metric],
        verdict=verdict,
        because=f"{' against '.join(map(str, numbers))}; {because}",
        numbers=tuple(numbers),
        seeds=len(left.rows) if seeds is None else seeds,
        images=left.images if metric is None else None,
        rows=tuple(dict.fromkeys(links)),
        difference=interval,
    )


def _refused(left: Measured, right: Measured, reason: str) -> Cell:
    return _row_cell(left, right, "not tested", [left.number(), right.number()], reason, seeds=0)


def _counted(figure: Measured, cost: CountedCost) -> Number | None:
    value = getattr(figure.first, cost)
    if value is None:
        return None
    return Number(f"{COSTS[cost]} of {figure.first.title}", figure.first.steps, float(value), None, None, 0)


def _once(found: list[Measured]) -> list[Measured]:
    """Keep one figure of each row of the table, whatever its metric."""
    by_row: dict[tuple[str, str, int | None], Measured] = {}
    for figure in found:
        by_row.setdefault((figure.first.experiment, figure.first.method, figure.first.steps), figure)
    return list(by_row.values())


def _by_place(found: list[Measured]) -> dict[tuple[str, int | None], Measured]:
    return {(figure.first.experiment, figure.first.steps): figure for figure in reversed(_once(found))}


def _found(figures: Figures, selection: Selection, metric: str | None, steps: StepFilter | None) -> list[Measured]:
    """Return what is selected, at least one figure.

    Raises:
        NothingToTest: there is none, with the reason.
    """
    found = figures.select(selection, metric, steps)
    if found:
        return found
    without = figures.select(selection, metric)
    if without and steps is not None:
        counts = ", ".join(str(c) for c in dict.fromkeys(figure.first.steps for figure in without))
        raise NothingToTest(f"the rows {selection} have {counts} steps, none of them {steps}")
    suffix = f" with the figure {metric}" if metric else ""
    raise NothingToTest(f"no row {selection}{suffix} was measured")


def _filtered(steps: StepFilter) -> str:
    return "" if steps == StepFilter() else f" at a step count that is {steps}"
