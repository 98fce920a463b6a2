"""Verdicts from rows: each kind of test, each verdict, several seeds, absent rows, and how cells add up."""

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from support import results
from support.results import part

from sfddm.claims import Claim, Verdict, evaluate_claims
from sfddm.claims.kinds.base import overall
from sfddm.results.rows import Row
from sfddm.results.verdicts import Cell, Word

row = partial(results.row, folds=0)


def judge(test: dict[str, Any], rows: list[Row], baseline: list[Row] | None = None, **facts: Any) -> Verdict:
    content = {"id": "a", "paper": "P", "reference": "R", "statement": "S.", "test": test} | facts
    parts = [part(rows, baseline, name) for name in dict.fromkeys(one.experiment for one in rows)]
    (verdict,) = evaluate_claims(parts, [Claim.model_validate(content)])
    return verdict


def versus(relation: str = "lower", **facts: Any) -> dict[str, Any]:
    return {"kind": "compare", "left": {"method": "a"}, "relation": relation, "right": {"method": "b"}} | facts


@pytest.mark.parametrize(
    ("relation", "left", "limit", "word"),
    [
        # The interval of the difference reaches sqrt(1 + 1) = 1.41 to either side.
        ("lower", 8.5, 10.0, "reproduced"),
        ("lower", 8.7, 10.0, "inconclusive"),
        ("lower", 10.0, 10.0, "inconclusive"),
        ("lower", 11.3, 10.0, "inconclusive"),
        ("lower", 11.5, 10.0, "contradicted"),
        ("higher", 8.5, 10.0, "contradicted"),
        ("higher", 11.5, 10.0, "reproduced"),
        # No worse by more than 5 %: the limit is 10.5 or 9.5, and 5 % more or less of 10's interval.
        ("at-least-as-low-as", 10.0, 10.0, "reproduced"),
        ("at-least-as-low-as", 9.0, 10.5, "reproduced"),
        ("at-least-as-low-as", 9.2, 10.5, "inconclusive"),
        ("at-least-as-low-as", 12.1, 10.5, "contradicted"),
        ("at-least-as-high-as", 10.0, 10.0, "reproduced"),
        ("at-least-as-high-as", 8.0, 9.5, "contradicted"),
    ],
)
def test_one_seed_is_judged_by_the_interval_of_the_difference(
    relation: str, left: float, limit: float, word: Word
) -> None:
    verdict = judge(versus(relation), [row("a", left), row("b", 10.0)])
    assert verdict.verdict == word
    (cell,) = verdict.cells
    assert (cell.seeds, cell.images, cell.steps, cell.experiment) == (1, 50000, 16, "one")
    assert [number.value for number in cell.numbers] == [left, 10.0]
    assert cell.difference is not None
    assert cell.difference.value == pytest.approx(left - limit)


def test_one_training_is_widened_by_what_training_again_would_change() -> None:
    """sqrt(2) * 2.38 is 3.37: a trained row needs a difference of that, an untrained one of 1.41."""
    for folds, difference, word in ((0, 1.5, "reproduced"), (1, 3.3, "inconclusive"), (1, 3.4, "reproduced")):
        verdict = judge(versus(), [row("a", 10 - difference, folds=folds), row("b", 10.0)])
        assert verdict.verdict == word
        assert ("widened 2.4 times for a single training" in verdict.because) == bool(folds)


@pytest.mark.parametrize(
    ("left", "folds", "seeds", "metric", "unsettled"),
    [
        (5.0, 1, 1, "frechet_distance", "one training budget, a single training, one extractor"),
        (13.0, 1, 3, "frechet_distance", "one training budget, one extractor"),
        (7.0, 0, 3, "frechet_distance", "one extractor"),
        (5.0, 0, 1, "l1_teacher", "a single training"),
        (7.0, 0, 3, "l1_teacher", ""),
        (10.0, 1, 1, "frechet_distance", ""),
    ],
)
def test_what_more_training_another_seed_or_another_extractor_may_turn_is_not_settled(
    left: float, folds: int, seeds: int, metric: str, unsettled: str
) -> None:
    rows = [row("a", left + s / 100, seed=s, folds=folds, metric=metric) for s in range(seeds)]
    rows += [row("b", 10.0 - s / 100, seed=s, folds=0, metric=metric) for s in range(seeds)]
    verdict = judge(versus() | {"metric": metric}, rows)
    assert verdict.unsettled == unsettled
    assert ("not settled" in verdict.basis) == bool(unsettled)


def test_two_extractors_that_agree_are_not_one() -> None:
    other = {"extractor": "efficientnet-lite0", "data_label": "CIFAR-10", "generated_images": 50000}
    rows = [row(name, value, seed=s, folds=0) for name, value in (("a", 7.0), ("b", 10.0)) for s in range(3)]
    rows += [replace(one, experiment="two", protocol=other) for one in rows]
    assert judge(versus(), rows).unsettled == ""


def test_a_count_is_settled() -> None:
    counted = judge({"kind": "folds", "left": {"method": "a"}, "equals": 1}, [row("a", 7.0, folds=1)])
    assert (counted.verdict, counted.unsettled) == ("reproduced", "")


def test_without_an_interval_nothing_is_decided() -> None:
    assert judge(versus(), [row("a", 1.0, half=None), row("b", 10.0)]).verdict == "inconclusive"


def test_several_seeds_are_compared_seed_by_seed() -> None:
    """The teachers differ by 20 from seed to seed, the two methods by 1 +- 0.1 on each: pairing sees it."""
    values = [(10.0, 11.0), (30.0, 31.1), (50.0, 50.9)]
    rows = [row(m, v, seed=s) for s, pair in enumerate(values) for m, v in zip("ab", pair, strict=True)]
    verdict = judge(versus(), rows)
    assert verdict.verdict == "reproduced"
    (cell,) = verdict.cells
    assert cell.seeds == 3
    # Differences -1, -1.1, -0.9: mean -1, s = 0.1, t_{0.975, 2} = 4.3027.
    assert cell.difference is not None
    found = (cell.difference.value, cell.difference.low, cell.difference.high)
    assert found == pytest.approx((-1.0, -1 - 4.3027 * 0.1 / 3**0.5, -1 + 4.3027 * 0.1 / 3**0.5), abs=1e-4)
    # The same means with the seeds' differences scattered around 0 decide nothing.
    rows = [row(m, v, seed=s) for s, pair in enumerate([(10.0, 15.0), (30.0, 28.0), (50.0, 50.0)]) for m, v in
            zip("ab", pair, strict=True)]  # fmt: skip
    assert judge(versus(), rows).verdict == "inconclusive"


def test_only_common_seeds_are_compared() -> None:
    verdict = judge(versus(), [row("a", 1.0, seed=0), row("a", 99.0, seed=1), row("b", 10.0, seed=0)])
    assert (verdict.verdict, verdict.cells[0].seeds) == ("reproduced", 1)
    verdict = judge(versus(), [row("a", 1.0, seed=0), row("b", 10.0, seed=1)])
    assert (verdict.verdict, verdict.because.rsplit("; ", maxsplit=1)[-1]) == (
        "not tested",
        "the two share no training seed",
    )


def test_cells_are_matched_on_experiment_label_and_steps() -> None:
    rows = [
        row("a", 1.0, 16),
        row("b", 10.0, 16),
        row("a", 1.0, 8),
        row("b", 0.0, 4),
        row("a", 20.0, 4, experiment="two"),
        row("b", 10.0, 4, experiment="two"),
        row("a", 50.0, 16, label="FD other"),
    ]
    verdict = judge(versus(), rows)
    assert [(cell.experiment, cell.steps, cell.verdict) for cell in verdict.cells] == [
        ("one", 16, "reproduced"),
        ("two", 4, "contradicted"),
    ]
    assert verdict.verdict == "inconclusive"


def test_step_filters_and_fixed_steps() -> None:
    rows = [row(m, v, n) for n in (16, 10, 8, 2) for m, v in (("a", n), ("b", 100.0))]

    def seen(**steps: Any) -> list[int | None]:
        return [cell.steps for cell in judge(versus(steps=steps), rows).cells]

    assert seen(at_most=8) == [8, 2]
    assert seen(listed=[10]) == [10]
    assert seen(share_at_least=0.007, share_at_most=0.016) == [16, 10, 8]
    assert seen(halving=False) == [10]
    assert seen(at_least=10, halving=True) == [16]
    nothing = judge(versus(steps={"at_most": 1}), rows)
    assert (nothing.verdict, nothing.because) == (
        "not tested",
        "the rows a have 16, 10, 8, 2 steps, none of them at most 1",
    )
    fixed = judge(versus(left={"method": "a", "steps": 2}, right={"method": "a", "steps": 16}), rows)
    assert [number.value for number in fixed.cells[0].numbers] == [2, 16]
    assert fixed.verdict == "reproduced"


def test_the_index_set_is_matched_where_that_is_asked() -> None:
    rows = [row("a", 1.0), row("b", 10.0, index_set=list(range(1, 17)))]
    assert judge(versus(), rows).verdict == "reproduced"
    verdict = judge(versus(same_index_set=True), rows)
    assert (verdict.verdict, len(verdict.cells)) == ("not tested", 1)
    assert "do not visit the same indices" in verdict.because
    other = row("c", 10.0, method_name="b")
    chosen = judge(versus(same_index_set=True, right={"implements": "b"}), [*rows, other])
    assert [number.name for number in chosen.cells[0].numbers] == ["A", "C"]
    unknown = [row("a", 1.0, index_set=None), row("b", 10.0, index_set=None)]
    assert judge(versus(same_index_set=True), unknown).verdict == "not tested"


def test_the_cost_of_training_is_matched_where_that_is_asked() -> None:
    left, right = row("a", 1.0, network_evaluations=1000.0), row("b", 10.0, network_evaluations=1200.0)
    assert judge(versus(), [left, right]).verdict == "reproduced"
    verdict = judge(versus(same_cost=True), [left, right])
    assert (verdict.verdict, "no training of equal cost" in verdict.because) == ("not tested", True)
    near, free = row("b", 10.0, network_evaluations=1009.0), row("b", 10.0, network_evaluations=0.0)
    assert judge(versus(same_cost=True), [left, near]).verdict == "reproduced"
    assert judge(versus(same_cost=True), [row("a", 1.0, network_evaluations=0.0), free]).verdict == "not tested"
    assert judge(versus(same_cost=True), [row("a", 1.0), row("b", 10.0)]).verdict == "not tested"


def test_of_a_row_with_several_budgets_the_largest_is_judged() -> None:
    half = {"method_name": "a", "budget_of": "a", "network_evaluations": 1000.0}
    rows = [row("a", 1.0, **half | {"budget": 3.0, "network_evaluations": 3000.0}), row("a.x1", 20.0, **half)]
    right = row("b", 10.0, network_evaluations=1000.0)
    for left in ({"method": "a"}, {"implements": "a"}):
        verdict = judge(versus(left=left), [*rows, right])
        assert (verdict.verdict, [cell.rows[0].method for cell in verdict.cells]) == ("reproduced", ["a"])
    # At equal cost the smaller budget is the one to compare, and by its own name it is meant anyway.
    for test in (versus(left={"implements": "a"}, same_cost=True), versus(left={"method": "a.x1"})):
        verdict = judge(test, [*rows, right])
        assert (verdict.verdict, [cell.rows[0].method for cell in verdict.cells]) == ("contradicted", ["a.x1"])
    folds = {"kind": "folds", "left": {"implements": "a"}, "equals": 1}
    assert [cell.rows[0].method for cell in judge(folds, [*rows, right]).cells] == ["a"]


def test_budgets_make_no_ablation() -> None:
    """Neither is a smaller budget a row that differs in nothing, nor do the options of budgets make two rows differ."""
    test = {"kind": "ablation", "left": {"implements": "s"}, "vary": ["norm"], "tolerance": 0.1}

    def one(name: str, value: float, norm: str, budget: float = 1.0, of: str | None = None, **options: Any) -> Row:
        budgets = {"budget": budget, "budget_of": of}
        return row(name, value, method_name="s", options={"norm": norm} | budgets | options, **budgets)

    rows = [
        one("s", 10.0, "l2", 3.0, "s"),
        one("s.x1", 99.0, "l2", 1.0, "s"),
        one("l1", 10.1, "l1", 3.0, "l1"),
        one("l1.x1", 50.0, "l1", 1.0, "l1"),
        one("alone", 10.2, "huber", budgets=[1.0]),
    ]
    verdict = judge(test, rows)
    assert {link.method for cell in verdict.cells for link in cell.rows} == {"s", "alone"}
    assert "for the two furthest apart of 3 rows" in verdict.because
    assert judge(test, rows[:2]).verdict == "not tested"


def test_rows_can_be_chosen_by_their_options() -> None:
    rows = [
        row("a", 1.0, options={"sampler": "ddim"}),
        row("b", 10.0, options={"sampler": "ancestral"}),
        row("c", 0.0, options={"sampler": "ddim"}),
    ]
    right = {"implements": ["b", "c"], "options": {"sampler": "ancestral"}}
    assert [number.name for number in judge(versus(right=right), rows).cells[0].numbers] == ["A", "B"]
    missing = judge(versus(right={"implements": "b", "options": {"eta": 1.0}}), rows)
    assert missing.because == "no row of the method b (eta 1.0) with the figure frechet_distance was measured"


@pytest.mark.parametrize(
    ("left", "word"), [(11.0, "reproduced"), (12.0, "inconclusive"), (14.0, "contradicted"), (5.0, "reproduced")]
)
def test_within_a_factor_of_a_reference_at_its_own_steps(left: float, word: Word) -> None:
    test = {"kind": "within", "left": {"method": "a"}, "right": {"method": "teacher"}, "factor": 1.2}
    rows = [row("a", left, half=0.1), row("teacher", 10.0, 64, 0.5), row("teacher", 1.0, 32, 0.5)]
    assert judge(test, rows).verdict == word
    assert judge(test | {"right": {"method": "real"}}, rows[:1]).verdict == "not tested"


def test_within_a_tolerance_where_higher_is_better_and_against_real_images() -> None:
    test = {
        "kind": "within",
        "left": {"method": "a"},
        "right": {"method": "real"},
        "tolerance": 0.2,
        "better": "higher",
    }
    real = row("real", 0.9, None, 0.01, seed=None, role="real")
    for value, word in ((0.8, "reproduced"), (0.7, "inconclusive"), (0.5, "contradicted")):
        rows = [row("a", value, half=0.01), row("a", value, half=0.01, seed=1)]
        assert judge(test, rows[:1], [real]).verdict == word
    several = judge(test, [row("a", 0.8), row("a", 0.801, seed=1)], [real])
    assert (several.verdict, several.cells[0].seeds) == ("reproduced", 2)


def test_folds_are_counted() -> None:
    test = {"kind": "folds", "left": {"implements": "a"}, "equals": 1}
    rows = [row("a", 1.0, folds=1), row("b", 1.0, folds=3), row("a2", 1.0, 8, method_name="a", folds=2)]
    verdict = judge(test, rows)
    assert [cell.verdict for cell in verdict.cells] == ["reproduced", "contradicted"]
    fewer = {"kind": "folds", "left": {"method": "a"}, "fewer_than": {"method": "b"}}
    assert judge(fewer, rows).verdict == "reproduced"
    assert judge(fewer, [rows[0], row("b", 1.0, folds=1)]).verdict == "contradicted"
    assert judge(test, [row("a", 1.0, folds=None)]).verdict == "not tested"


def test_a_figure_is_held_against_the_control_of_the_same_row() -> None:
    pairs = [{"metric": "m", "control": "m_control", "relation": "higher"}]
    test = {"kind": "control", "left": {"method": "a"}, "pairs": pairs}

    def figures(value: float, method: str = "a") -> list[Row]:
        return [
            row(method, value, metric="m", label="M"),
            row(method, 10.0, metric="m_control", label="M, other noise"),
        ]

    for value, word in ((15.0, "reproduced"), (10.5, "inconclusive"), (5.0, "contradicted")):
        assert judge(test, figures(value)).verdict == word
    assert judge(test, figures(13.0, "b")).because == "no row a has the figures m and m_control"
    for other in (row("a", 10.0, 8, metric="m_control"), row("a", 10.0, metric="m_control", experiment="two")):
        assert judge(test, [figures(13.0)[0], other]).verdict == "not tested"


@pytest.mark.parametrize(
    ("value", "half", "word"), [(10.1, 0.05, "reproduced"), (10.8, 0.4, "inconclusive"), (15.0, 0.4, "contradicted")]
)
def test_an_ablation_takes_rows_that_differ_in_nothing_else(value: float, half: float, word: Word) -> None:
    test = {
        "kind": "ablation",
        "left": {"implements": "s"},
        "vary": ["index_set", "share"],
        "among": {"index_set": ["uniform", "concentrated", [0, 5]]},
        "tolerance": 0.1,
    }

    def one(name: str, value: float, **options: Any) -> Row:
        default = {"index_set": "uniform", "share": 0.4, "norm": "l2", "title": name}
        return row(name, value, half=half, method_name="s", options=default | options)

    rows = [
        one("x", 10.0),
        one("y", value, index_set="concentrated", share=0.2),
        one("l1", 99.0, norm="l1"),
        one("quadratic", 99.0, index_set="quadratic"),
        one("list", 10.05, index_set=[0, 5]),
    ]
    verdict = judge(test, rows)
    assert verdict.verdict == word
    (cell,) = verdict.cells
    assert {link.method for link in cell.rows} == {"x", "y"}
    assert judge(test, rows[:1] + rows[2:4]).verdict == "not tested"


def test_what_nothing_can_decide_is_not_tested() -> None:
    assert judge({"kind": "none", "reason": "no"}, [row("a", 1.0)]).because == "no"


@pytest.mark.parametrize(
    ("cells", "word", "text"),
    [
        (["reproduced"] * 3, "reproduced", "of 3 comparisons, 3 reproduced"),
        (["reproduced", "not tested", "reproduced"], "reproduced", "2 reproduced; 1 could not be made"),
        (["contradicted", "inconclusive"], "contradicted", "1 contradicted, 1 inconclusive"),
        (["reproduced", "inconclusive"], "inconclusive", "1 reproduced, 1 inconclusive"),
        (["reproduced", "contradicted"], "inconclusive", "they disagree, so the claim as a whole is undecided"),
        (["inconclusive"] * 2, "inconclusive", "2 inconclusive"),
        (["not tested"] * 2, "not tested", "why"),
        (["contradicted"], "contradicted", "why"),
    ],
)
def test_how_cells_add_up(cells: list[Word], word: Word, text: str) -> None:
    made = [Cell("one", 1, "m", "M", verdict, "why", (), 1, 1, ()) for verdict in cells]
    assert overall(made)[0] == word
    assert text in overall(made)[1]
