"""The sentences of conclusion say what the rows give, and no more."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.results import part, row

from sfddm.claims import load_claims
from sfddm.claims.figures import Figures
from sfddm.report.conclusions import conclusions_of, counts_sentence, false_verdicts, level_from
from sfddm.report.content import Content
from sfddm.report.verdicts import glance, strip_values
from sfddm.results.rows import Row
from sfddm.results.verdicts import Verdict, Word

CLAIMS = load_claims(Path(__file__).parents[3] / "params" / "claims")


def content(rows: list[Row]) -> Content:
    return Content((part(rows),), {}, CLAIMS)


def over_seeds(method: str, values: tuple[float, ...], **facts: Any) -> list[Row]:
    return [row(method, value, seed=seed, **facts) for seed, value in enumerate(values)]


def with_budgets(*means: float, last: int = 27) -> list[Row]:
    """SFDDM at 8 steps with budgets 1, 3, 9, ... of which the row itself has the largest; DDIM is at 100."""
    found = over_seeds("ddim", (100, 101, 102), steps=8, folds=0, network_evaluations=0)
    for power, mean in enumerate(means):
        budget = 3**power
        largest = power == len(means) - 1
        name = "sfddm" if largest else f"sfddm-at-{budget}"
        facts = {"title": "SFDDM", "budget": float(budget), "budget_of": "sfddm", "images_seen": 1000 * budget}
        evaluations = {"network_evaluations": 2000 * budget}
        found += over_seeds(name, (mean, mean + 1.1, mean + 1.9), steps=8, **facts, **evaluations)
    return found


def test_it_says_from_which_budget_on_a_row_is_level_and_what_that_cost() -> None:
    rows = with_budgets(300, 140, 100.05, 94)
    rows += over_seeds("trajectory", (70, 71, 72), steps=8, network_evaluations=100_000)
    rows += over_seeds("progressive", (75, 76, 77), steps=8, network_evaluations=120_000)
    (text,) = conclusions_of(content(rows))[CLAIMS[0].paper]
    assert text.startswith("one: Fréchet distance of SFDDM less that of DDIM on the same indices: -6.00 [")
    assert "at 8 steps (unsettled)" in text, "the sign changed between the last two budgets"
    assert "cannot be told from DDIM, or is below it, from 9 times its training on (9,000 images, 18.0 k" in text
    assert "SFDDM 54.0 k for 95.00 at 8 steps; TRAJECTORY 100 k for 71.00 at 8 steps; PROGRESSIVE 120 k for 76" in text


def test_a_row_that_stays_above_is_not_called_level() -> None:
    (text,) = conclusions_of(content(with_budgets(300, 250, 240)))[CLAIMS[0].paper]
    assert "SFDDM is above DDIM with every budget up to 9 times its training, at 8 steps" in text
    assert "cannot be told" not in text
    assert "Network evaluations" not in text, "neither of the other methods was measured"


def test_level_asks_every_larger_budget_too() -> None:
    """Level at 1 by chance, above at 3, level at 9: it is level from 9 on."""
    figures = {one.first.method: one for one in Figures((part(with_budgets(100, 150, 100.05)),)).all}
    found = level_from(figures["sfddm"], figures["ddim"])
    assert found is not None
    assert found.first.budget == 9
    figures = {one.first.method: one for one in Figures((part(with_budgets(100, 90, 80)),)).all}
    found = level_from(figures["sfddm"], figures["ddim"])
    assert found is not None
    assert found.first.budget == 1


def test_one_budget_is_told_and_several_steps_share_a_sentence() -> None:
    rows = [row("ddim", value, steps=steps, folds=0) for steps, value in ((16, 60), (8, 90))]
    rows += [row("sfddm", value, steps=steps, network_evaluations=4000) for steps, value in ((16, 80), (8, 95))]
    rows += [row("progressive", 50 + steps, steps=steps, network_evaluations=100 * steps) for steps in (16, 8)]
    (text,) = conclusions_of(content(rows))[CLAIMS[0].paper]
    assert "+20.00 [" in text
    assert text.index("at 16 steps (") < text.index("at 8 steps (")
    assert "One training budget was measured, so how this moves with training is not known." in text
    assert "SFDDM 4.00 k for 80.00 / 95.00 at 16 / 8 steps" in text
    assert "PROGRESSIVE 1.60 k / 800 for 66.00 / 58.00 at 16 / 8 steps" in text


def test_without_the_rows_there_is_no_sentence() -> None:
    assert conclusions_of(content([row("consistency", 5.0)]))[CLAIMS[0].paper] == ()
    assert conclusions_of(Content((part([row("sfddm", 5.0)]),), {}, ())) == {}


WORDS_OF_A_PAPER: tuple[Word, ...] = ("reproduced", "holds")


def verdict(word: Any, identifier: str = "a") -> Verdict:
    return Verdict(identifier, "P", "S.", "R", word, "because")


def test_properties_are_told_apart_from_what_was_measured() -> None:
    words = ("not tested", "not tested", "holds", "holds", "not run")
    assert counts_sentence([verdict(word) for word in words]) == ("None of 2 measured. Properties: 2 hold, 1 not run.")
    assert counts_sentence([verdict(word) for word in words], in_one_line=True) == "None of 2 measured."


def test_of_many_papers_each_has_a_line_without_its_properties() -> None:
    def sentences(papers: int) -> list[str]:
        own = [Verdict(f"{n}{word}", f"P{n}", "S.", "R", word, "") for n in range(papers) for word in WORDS_OF_A_PAPER]
        judged: Any = SimpleNamespace(verdicts=own, collected=(), titles={})
        return [paper["sentence"] for paper in strip_values(judged)["papers"]]

    assert all("Properties: 1 holds." in one for one in sentences(6))
    assert len(sentences(7)) == 7
    assert not any("Properties" in one for one in sentences(7))


def test_false_verdicts_are_counted_by_claims_with_an_interval() -> None:
    found = content([*with_budgets(300, 250, 240), row("progressive", 5.0, steps=8)])
    judged = [one for one in found.verdicts if any(cell.confidence is not None for cell in one.cells)]
    assert judged
    assert false_verdicts(found.verdicts).startswith(
        f"{len(judged)} claims judged by intervals: up to {0.05 * len(judged):.2g} false"
    )
    assert false_verdicts([verdict("reproduced")]) == "", "no interval stands behind it"


@pytest.mark.parametrize(("steps", "wanted"), [((8,), 1), ((16, 8, 4), 3), ((32, 16, 8, 4, 2), 1)])
def test_a_line_holds_the_difference_of_few_comparisons(steps: tuple[int, ...], wanted: int) -> None:
    rows = [row(method, value, steps=one) for one in steps for method, value in (("ddim", 60.0), ("sfddm", 80.0))]
    (below,) = (one for one in content(rows).verdicts if one.id == "sfddm-below-ddim")
    found = glance(below)
    assert len(found) == wanted
    if len(steps) > 4:
        assert found == [("", "5 comparisons")]
    elif wanted == 1:
        assert found[0][1].startswith("+20.00 [")
    else:
        assert [text for _, text in found] == ["16 steps +20.00", "8 steps +20.00", "4 steps +20.00"]
