"""Each trained row at its own best budget, and beside it at a cost that all of them have."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sfddm.claims.figures import FigureOverSeeds, measured_of
from sfddm.results.rows import Collected
from sfddm.results.styles import style_of
from sfddm.results.verdicts import Number


@dataclass(frozen=True)
class Trained:
    """A row at one of its budgets; ``evaluations`` of student and teacher in the training of one seed."""

    number: Number
    budget: float
    evaluations: float


@dataclass(frozen=True)
class Beside:
    """One row.

    Attributes:
        method: the row's name in the spec.
        budgets: how many it was trained with; the best of many is partly luck.
        best: the budget with the best figure.
        at_cost: the largest budget that costs no more than ``Block.cost``; None where the smallest costs more.
    """

    method: str
    title: str
    budgets: int
    best: Trained
    at_cost: Trained | None


@dataclass(frozen=True)
class Block:
    """The trained rows at one number of steps, the best first; ``cost``: network evaluations that all of them reach."""

    steps: int
    cost: float
    rows: tuple[Beside, ...]


def beside_each_other(part: Collected, metric: str, variants: Collection[str]) -> tuple[Block, ...]:
    """Return the trained rows of an experiment by falling number of steps, where two or more can be compared.

    The cost is the smallest of the rows' largest trainings. A metric without a better side has no best.

    Args:
        part: the experiment, rows at smaller budgets included.
        metric: the figure.
        variants: rows that are left out: some were trained for a moment only.
    """
    better = style_of(metric).better
    if better == "unknown":
        return ()
    rows = [row for row in part.rows if row.metric == metric and row.role == "method" and row.network_evaluations]
    found: dict[int, dict[str, list[FigureOverSeeds]]] = {}
    for one in measured_of(part, rows):
        row = one.first
        if (row.budget_of or row.method) not in variants:
            found.setdefault(row.steps or 0, {}).setdefault(row.budget_of or row.method, []).append(one)
    blocks = (
        _block(steps, some, 1 if better == "lower" else -1) for steps, some in sorted(found.items(), reverse=True)
    )
    return tuple(block for block in blocks if len(block.rows) > 1)


def _block(steps: int, rows: dict[str, list[FigureOverSeeds]], sign: int) -> Block:
    cost = min(max(_cost(one) for one in some) for some in rows.values())
    made = [_beside(name, some, cost, sign) for name, some in rows.items()]
    return Block(steps, cost, tuple(sorted(made, key=lambda row: sign * row.best.number.value)))


def _beside(name: str, some: Sequence[FigureOverSeeds], cost: float, sign: int) -> Beside:
    best = min(some, key=lambda one: sign * one.value)
    # Costs that differ by less than a hundredth are equal, as in the claims.
    affordable = max((one for one in some if _cost(one) <= 1.01 * cost), key=_cost, default=None)
    return Beside(
        name, best.first.title, len(some), _trained(best), None if affordable is None else _trained(affordable)
    )


def _trained(one: FigureOverSeeds) -> Trained:
    return Trained(one.number(), one.first.budget, _cost(one))


def _cost(one: FigureOverSeeds) -> float:
    return one.first.network_evaluations or 0.0
