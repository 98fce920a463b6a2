"""Whether more training may turn a verdict: curves with a known future, and claims over rows of several budgets."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from support import results

from sfddm.claims import Claim, Verdict, evaluate_claims
from sfddm.claims.settled import FURTHER, may_turn, seeds_may_settle
from sfddm.results.rows import Row
from sfddm.results.statistics import Estimate
from sfddm.results.verdicts import AtBudget

BUDGETS = (1.0, 3.0, 9.0, 27.0)


def curve(value: Callable[[float], float], half: float = 1.0, budgets: tuple[float, ...] = BUDGETS) -> list[AtBudget]:
    return [AtBudget(b, None, Estimate(value(b), value(b) - half, value(b) + half)) for b in budgets]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (lambda b: 20.0, ""),  # converged
        (lambda b: 20 + 30 / b, ""),  # converges on the same side
        (lambda b: -5 - b, ""),  # moves away
        (lambda b: 300 / b - 20, "the sign changed"),  # crossed before the last budget
        (lambda b: 40 - 10 * math.log(b), "gone at about 54.6 times the training"),  # a line, through 0 at e^4
        (lambda b: 60 - 10 * math.log(b), ""),  # the same line, through 0 at e^6 = 403 > 5 * 27
        (lambda b: 4.0 if b < 27 else 2.5, "gone at about"),  # moving, close to 0
        (lambda b: 50.0 if b < 9 else 40.0 if b < 27 else 39.0, ""),  # flattening far away
    ],
)
def test_a_curve_with_a_known_future(value: Callable[[float], float], reason: str) -> None:
    found = may_turn(curve(value))
    assert reason in found
    assert bool(found) == bool(reason)
    mirrored = may_turn(curve(lambda b: -value(b)))
    assert bool(mirrored) == bool(reason)


def test_one_budget_is_never_settled() -> None:
    assert may_turn(curve(lambda b: 20.0, budgets=(27.0,))) == "one training budget"
    assert may_turn([]) == "one training budget"


def test_images_are_told_where_they_are_known() -> None:
    points = [AtBudget(b, round(100 * b), Estimate(d, d - 1, d + 1)) for b, d in ((1.0, 20.0), (math.e, 10.0))]
    assert may_turn(points).endswith("(739 images)")  # e^2 * 100


def test_no_settled_verdict_is_turned_by_five_times_the_training() -> None:
    """Over random learning curves c + A b^-a, with the noise of three seeds, few settled signs are wrong later."""
    generator = np.random.default_rng(0)
    settled = wrong = crossing = 0
    for _ in range(4000):
        c, a, rate = generator.normal(0, 20), generator.uniform(0, 200), generator.uniform(0.1, 1.5)
        noise = 3.0
        measured = [c + a * b**-rate + generator.normal(0, noise) for b in BUDGETS]
        points = [
            AtBudget(b, None, Estimate(value, value - 2 * noise, value + 2 * noise))
            for b, value in zip(BUDGETS, measured, strict=True)
        ]
        if abs(measured[-1]) < 2 * noise:
            continue  # inconclusive, not decided
        later = c + a * (FURTHER * BUDGETS[-1]) ** -rate
        turned = later * measured[-1] < 0
        crossing += turned
        if not may_turn(points):
            settled += 1
            wrong += turned
    assert crossing > 100
    assert settled > 1000
    assert wrong / settled < 0.01


def rows_of(curve_of_a: dict[float, float], right: float = 100.0, folds_right: int = 0) -> list[Row]:
    """Three seeds of row a at each budget, the largest under its own name, beside row b."""
    largest = max(curve_of_a)
    rows = []
    for budget, value in curve_of_a.items():
        name = "a" if budget == largest else f"a.x{budget:g}"
        rows += [
            results.row(name, value + s / 10, seed=s, budget=budget, budget_of="a", images_seen=int(1000 * budget))
            for s in range(3)
        ]
    return rows + [results.row("b", right - s / 10, seed=s, folds=folds_right) for s in range(3)]


def judge(rows: list[Row]) -> Verdict:
    test = {"kind": "compare", "left": {"method": "a"}, "relation": "lower", "right": {"method": "b"}}
    claim = Claim.model_validate({"id": "a", "paper": "P", "reference": "R", "statement": "S.", "test": test})
    (verdict,) = evaluate_claims([results.part(rows)], [claim])
    return verdict


def test_a_claim_is_judged_at_the_largest_budget_with_the_curve_behind_it() -> None:
    verdict = judge(rows_of({1: 400, 3: 200, 9: 130}))
    assert verdict.verdict == "unsettled"
    (cell,) = verdict.cells
    assert [(point.budget, point.images) for point in cell.curve] == [(1, 1000), (3, 3000), (9, 9000)]
    assert [point.difference.value for point in cell.curve] == pytest.approx([300.2, 100.2, 30.2])
    assert "the difference is gone at about" in verdict.because


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({1: 401, 3: 400, 9: 400}, "contradicted"),
        ({1: 400, 3: 95, 9: 90}, "reproduced"),
        ({1: 400, 3: 120, 9: 90}, "unsettled"),
        ({9: 400}, "unsettled"),
        ({9: 90}, "reproduced"),
    ],
)
def test_the_word_follows_the_curve(values: dict[float, float], word: str) -> None:
    assert judge(rows_of(values)).verdict == word


def test_the_curve_is_kept_where_nothing_is_decided() -> None:
    verdict = judge(rows_of({1: 400, 3: 200, 9: 100}))
    assert verdict.verdict == "inconclusive"
    assert [point.budget for point in verdict.cells[0].curve] == [1, 3, 9]
    assert verdict.cells[0].turns == ""


def test_a_trained_loser_with_one_budget_may_still_win() -> None:
    assert judge(rows_of({1: 90, 3: 89, 9: 89}, folds_right=1)).verdict == "unsettled"
    assert judge(rows_of({1: 90, 3: 89, 9: 89}, folds_right=0)).verdict == "reproduced"


@pytest.mark.parametrize(
    ("values", "half", "may"),
    [
        ((60.0, 40.0, 30.0), 12.0, True),  # from its nearest end the line meets 0, from its value it does not
        ((60.0, 40.0, 30.0), 0.5, False),  # settled
        ((90.0, 60.0, 30.0), 12.0, False),  # the trend itself leads across
        ((30.0,), 12.0, False),  # one budget
        ((-5.0, 30.0), 12.0, False),  # the sign has just changed
    ],
)
def test_seeds_settle_what_the_width_alone_leaves_open(values: tuple[float, ...], half: float, may: bool) -> None:
    points = [
        AtBudget(3.0**place, None, Estimate(value, value - half, value + half)) for place, value in enumerate(values)
    ]
    assert seeds_may_settle(points) == may
