"""Own best and equal cost, side by side, from rows whose figures and costs are made up."""

from support import results

from sfddm.report.beside import beside_each_other
from sfddm.results.rows import Collected, Row


def trained(
    method: str, value: float, evaluations: float, budget: float = 1, of: str | None = None, seed: int = 0
) -> Row:
    facts = {"network_evaluations": evaluations, "budget": budget, "budget_of": of, "seed": seed, "steps": 8}
    return results.row(method, value, **facts)


def a_part() -> Collected:
    """SFDDM is best at the budget in the middle; progressive distillation has one, which costs less than that."""
    rows = [
        trained("sfddm.x1", 200.0, 100.0, 1, "sfddm"),
        trained("sfddm.x3", 80.0, 300.0, 3, "sfddm"),
        trained("sfddm", 90.0, 900.0, 9, "sfddm"),
        trained("progressive", 100.0, 250.0),
        trained("sfddm-for-a-moment", 500.0, 1.0),
    ]
    rows += [
        results.row("ddim", 85.0, 8, network_evaluations=0.0),
        results.row("alone", 1.0, 4, network_evaluations=5.0),
    ]
    return results.part(rows)


def test_each_row_at_its_own_best_and_at_a_cost_that_all_have() -> None:
    (block,) = beside_each_other(a_part(), "frechet_distance", {"sfddm-for-a-moment"})
    assert (block.steps, block.cost) == (8, 250.0)
    found = {
        row.method: (row.budgets, row.best.number.value, row.best.budget, row.at_cost and row.at_cost.number.value)
        for row in block.rows
    }
    assert found == {"sfddm": (3, 80.0, 3.0, 200.0), "progressive": (1, 100.0, 1.0, 100.0)}
    assert [row.method for row in block.rows] == ["sfddm", "progressive"]


def test_a_row_whose_smallest_training_costs_more_has_nothing_at_that_cost() -> None:
    (block,) = beside_each_other(a_part(), "frechet_distance", ())
    assert block.cost == 1.0
    assert [row.method for row in block.rows if row.at_cost is not None] == ["sfddm-for-a-moment"]


def test_the_best_is_the_mean_over_the_seeds_and_a_metric_without_a_better_side_has_none() -> None:
    rows = [trained(name, value, 10.0, seed=seed) for name, value in (("a", 1.0), ("b", 2.0)) for seed in (0, 1)]
    rows.append(trained("b.x0.5", 0.0, 5.0, 0.5, "b"))
    part = results.part(rows)
    (block,) = beside_each_other(part, "frechet_distance", ())
    first = block.rows[0]
    assert (first.method, first.best.number.value) == ("b", 0.0)
    unknown = results.part([trained(name, 1.0, 10.0, seed=0) for name in ("a", "b")])
    assert beside_each_other(unknown, "no_such_metric", ()) == ()
