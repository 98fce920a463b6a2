"""Comparisons of one claim together: Holm as the closure of Bonferroni tests, extractors, power, single trainings."""

import json
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support import results

from sfddm.claims import Claim, Verdict, evaluate_claims
from sfddm.claims.power import seeds_for, what_would_decide
from sfddm.claims.single_training import UNMEASURED, single_training_factor
from sfddm.claims.together import holm
from sfddm.results.metrics import read_metrics
from sfddm.results.rows import Row
from sfddm.results.statistics import Estimate, difference, t_quantile

RECORD = Path(__file__).parents[3] / "reports" / "records" / "digits-study-before-budgets-cpu"


def test_holm_is_the_closure_of_bonferroni_tests() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        p = (generator.random(5) ** 3).tolist()
        found = holm(p, 0.05)
        for i in range(5):
            others = [j for j in range(5) if j != i]
            subsets = [(i, *some) for size in range(5) for some in combinations(others, size)]
            closed = all(min(p[j] for j in subset) <= 0.05 / len(subset) for subset in subsets)
            assert found[i] == closed


def judge(rows: list[Row], **test: Any) -> Verdict:
    compare = {"kind": "compare", "left": {"method": "a"}, "relation": "lower", "right": {"method": "b"}}
    content = {"id": "a", "paper": "P", "reference": "R", "statement": "S.", "test": compare | test}
    (verdict,) = evaluate_claims([results.part(rows)], [Claim.model_validate(content)])
    return verdict


def test_a_comparison_that_is_decided_alone_may_not_be_among_many() -> None:
    """Two standard errors and a half alone are enough; among ten such comparisons they are not."""

    def rows(steps: int) -> list[Row]:
        return [results.row("a", 8.3, steps, folds=0), results.row("b", 10.0, steps, folds=0)]

    assert judge(rows(1)).verdict == "reproduced"
    many = judge([row for steps in range(1, 11) for row in rows(steps)])
    assert many.verdict == "inconclusive"
    cell = many.cells[0]
    assert "not among 10 comparisons together" in cell.because
    assert cell.p_value is not None
    assert 0.005 < cell.p_value < 0.05
    assert f"a p-value of 0.005 would decide it beside the others, this one's is {cell.p_value:.2g}" in cell.power
    assert cell.turns == ""


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"x": 5.0, "y": 5.0}, "reproduced"),
        ({"x": 15.0, "y": 15.0}, "contradicted"),
        ({"x": 5.0, "y": 15.0}, "depends on the extractor"),
        ({"x": 5.0, "y": 10.0}, "depends on the extractor"),
        ({"x": 10.0, "y": 10.1}, "inconclusive"),
    ],
)
def test_extractors_must_agree(values: dict[str, float], word: str) -> None:
    rows = []
    for extractor, value in values.items():
        facts = {"folds": 0, "label": f"FD {extractor}", "protocol": results.PROTOCOL | {"extractor": extractor}}
        rows += [results.row("a", value, **facts), results.row("b", 10.0, **facts)]
    verdict = judge(rows)
    assert verdict.verdict == word
    (cell,) = verdict.cells
    assert [one.extractor for one in cell.extractors] == ["x", "y"]
    assert "one extractor" not in verdict.unsettled


def test_power_says_how_many_seeds_would_decide() -> None:
    """So many seeds see the difference in at least 0.8 of simulated t tests, one fewer in less."""

    def students(seeds: int) -> float:
        return t_quantile(seeds - 1, 0.95)

    generator = np.random.default_rng(0)
    for size in (0.5, 1.0, 2.0):
        seeds = seeds_for(size, 1.0, students)
        assert seeds is not None

        def seen(count: int, size: float = size) -> float:
            found = stats.ttest_1samp(generator.normal(size, 1, (20000, count)), 0, axis=1)
            return float(np.mean((found.pvalue < 0.05) & (found.statistic > 0)))

        assert seen(seeds) > 0.79
        assert seen(seeds - 1) < 0.81
    assert seeds_for(1e-6, 1.0, students) is None


def test_power_is_told_where_nothing_was_decided() -> None:
    verdict = judge([results.row("a", 9.9, folds=0), results.row("b", 10.0, folds=0)])
    assert "would be seen with probability 0.8; to see 0.1, about" in verdict.cells[0].power
    found = difference([(Estimate(1.0, None, None), Estimate(2.0, None, None))] * 3, 0.95)
    assert what_would_decide(found) == ""


def test_what_training_again_changes_is_what_the_record_shows() -> None:
    """The stored ratio of the Frechet distance, computed again from the record with pandas."""
    (collected,) = read_metrics(RECORD)
    frame = pd.DataFrame([vars(row) for row in collected.rows if row.metric == "frechet_distance"])
    frame["error"] = (frame.high - frame.low) / 2 / stats.t.ppf(0.975, 9)
    ratios = []
    for _, at_steps in frame.groupby("steps"):
        values = at_steps.pivot(index="seed", columns="method", values="value")
        errors = at_steps.pivot(index="seed", columns="method", values="error")
        trained = at_steps.groupby("method").folds.first()
        for one, other in combinations(values.columns, 2):
            if trained[one] or trained[other]:
                within = (errors[one] ** 2 + errors[other] ** 2).mean() ** 0.5
                ratios.append((values[one] - values[other]).std() / within)
    stored = json.loads(files("sfddm.claims").joinpath("between_trainings.json").read_text())
    assert stored["trained"]["frechet_distance"]["pairs"] == len(ratios)
    assert stored["trained"]["frechet_distance"]["ratio"] == pytest.approx(np.mean(np.square(ratios)) ** 0.5, abs=1e-3)


def test_an_unmeasured_metric_takes_the_published_factor_and_none_is_below_1() -> None:
    assert single_training_factor("nobody-measured-this", trained=True) == UNMEASURED
    assert single_training_factor("nobody-measured-this", trained=False) == UNMEASURED
    assert single_training_factor("frechet_distance", trained=False) == 1
    assert single_training_factor("recall", trained=True) == 1
