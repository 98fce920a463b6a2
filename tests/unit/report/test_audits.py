"""What a protocol that chooses afterwards would have printed: against order statistics, and on the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, rankdata
from support.pages import Element, parse
from support.report_runs import LABEL, make_runs, make_spec, put_json, read
from support.results import part, row

from sfddm.report.audits import AuditedRow, ranking_of
from sfddm.report.choices import choices_of, protocols_of
from sfddm.report.collect import collect
from sfddm.report.frame import frame_of, over_seeds
from sfddm.report.render import render
from sfddm.results.measurements import Attempt, AuditFigure, Degree
from sfddm.results.metrics import merged, read_metrics
from sfddm.results.rows import AuditOfRow, Collected, FreedomOfRow


def attempt(degree: Degree, value: float, label: str = "FID") -> Attempt:
    return Attempt("frechet_distance", label, value, value - 1, value + 1, degree=degree, choice="a choice", images=50)


def freedom(method: str, own: float, label: str = "FID", **tried: list[float]) -> FreedomOfRow:
    degrees: dict[str, Degree] = {"weights": "weights", "checkpoints": "checkpoint", "seeds": "sampling-seed"}
    rows = [attempt("own", own, label)]
    rows += [attempt(degrees[name], value, label) for name, values in tried.items() for value in values]
    return FreedomOfRow(
        experiment="one", method=method, role="method", title=method.upper(), steps=16, seed=0, rows=tuple(rows),
        left_out={},
    )  # fmt: skip


def whole(*freedoms: FreedomOfRow, rows: list[Any] | None = None) -> Collected:
    return replace(part(rows or [row("a", 1.0)]), freedoms=freedoms)


def printed(collected: Collected) -> dict[tuple[str, str], float]:
    means = over_seeds(frame_of([collected]))
    return {(one.method, one.item): one.value for one in means[means.kind == "audit"].itertuples()}


# --- figures ----------------------------------------------------------------------------------------------------------


def expected_minimum(count: int) -> float:
    """Return the mean of the least of so many standard normal numbers."""
    return float(quad(lambda x: x * count * norm.pdf(x) * norm.sf(x) ** (count - 1), -12, 12)[0])


@pytest.mark.parametrize("count", [2, 4, 8])
def test_the_best_of_k_seeds_and_trainings_lies_lower_by_what_order_statistics_say(count: int) -> None:
    """All figures are of one normal distribution, so that nothing but choosing makes a difference."""
    draw, repeats = np.random.default_rng(count), 300
    values = draw.normal(100, 5, (repeats, 2, count))
    freedoms = [freedom(f"r{k}", seeds[0], seeds=list(seeds[1:])) for k, (seeds, _) in enumerate(values)]
    rows = [row(f"r{k}", v, seed=s) for k, (_, trained) in enumerate(values) for s, v in enumerate(trained)]
    found = printed(whole(*freedoms, rows=rows))
    for item, base in (("sampling-seed", "own"), ("trainings", "trainings-mean")):
        falls = [found[f"r{k}", item] - found[f"r{k}", base] for k in range(repeats)]
        error = np.std(falls, ddof=1) / repeats**0.5
        assert np.mean(falls) == pytest.approx(5 * expected_minimum(count), abs=4 * error)
        assert 4 * error < 5 * abs(expected_minimum(count)) / 2, "the test can fail"


def test_what_is_not_averaged_is_no_choice_and_our_own_figure_is_among_the_others() -> None:
    found = printed(whole(freedom("a", 10.0, weights=[12.0], checkpoints=[11.0, 13.0], seeds=[9.0, 8.0])))
    wanted = {"own": 10.0, "weights": 12.0, "checkpoint": 10.0, "sampling-seed": 8.0}
    assert found == {("a", item): value for item, value in wanted.items()}


def test_trainings_count_where_they_have_the_audited_figure() -> None:
    rows = [row("a", 3.0), row("a", 2.0, seed=1), row("a", 1.0, seed=1, label="another"), row("b", 5.0)]
    rows += [row("b", 6.0, seed=1, steps=8)]
    found = [
        (item, figure.value) for _, item, figure in choices_of(whole(freedom("a", 3.0), rows=rows)) if item != "own"
    ]
    assert found == [("trainings-mean", 3.0), ("trainings-mean", 2.0), ("trainings", 2.0)]


def test_protocols_say_among_how_many_was_chosen() -> None:
    several = [freedom("a", 1.0, seeds=[1.0, 2.0]), freedom("b", 1.0, weights=[2.0], seeds=[1.0, 2.0, 3.0])]
    rows = [row("a", 1.0, seed=seed) for seed in range(3)]
    titles = [protocol.title for protocol in protocols_of(whole(*several, rows=rows))]
    assert titles == [
        "This report’s own", "Weights not averaged", "Best of 4 sampling seeds", "Mean of 3 trainings",
        "Best of 3 trainings",
    ]  # fmt: skip


def test_what_is_held_against_the_mean_stands_below_it() -> None:
    figure = AuditFigure(
        metric="frechet_distance", label="FID", value=3.0, protocol_name="own", title="Own", description="", images=1,
        reference_images=1, layer="7", resize="none", reference_split="train",
    )  # fmt: skip
    whose = {"experiment": "one", "method": "a", "role": "method", "title": "A", "steps": 16, "seed": 0}
    rows = (replace(figure, protocol_name="jpeg"), figure)
    collected = whole(freedom("a", 3.0, seeds=[2.0]), rows=[row("a", 3.0), row("a", 4.0, seed=1)])
    audited = replace(collected, audits=(AuditOfRow(**whose, rows=rows, note=""),))
    found = [(protocol.name, protocol.base) for protocol in protocols_of(audited)]
    assert found == [
        ("own", "own"), ("sampling-seed", "own"), ("jpeg", "own"),
        ("trainings-mean", "trainings-mean"), ("trainings", "trainings-mean"),
    ]  # fmt: skip
    assert printed(audited)["a", "own"] == 3.0, "the own figure of audit and attempts counts once"


def test_rankings_are_scipys() -> None:
    draw = np.random.default_rng(0)
    for _ in range(50):
        values = draw.integers(0, 4, 5)
        rows = [AuditedRow(f"m{k}", "", "method", 8, {"own": attempt("own", float(v))}) for k, v in enumerate(values)]
        ranking = ranking_of(rows, "own")
        ranks = {method: place for place, tied in enumerate(ranking, 1) for method in tied}
        assert [ranks[f"m{k}"] for k in range(5)] == rankdata(values, method="dense").tolist()
    assert ranking_of(rows[:1], "own") == ()


def test_figures_survive_metrics_json(tmp_path: Path) -> None:
    written = whole(freedom("a", 1.0, seeds=[2.0]))
    put_json(tmp_path / "metrics.json", merged([written]))
    (found,) = read_metrics(tmp_path)
    assert found.freedoms == written.freedoms
    put_json(tmp_path / "metrics.json", {key: value for key, value in merged([written]).items() if key != "freedoms"})
    assert read_metrics(tmp_path)[0].freedoms == (), "published records have none"


# --- the page ---------------------------------------------------------------------------------------------------------


def put_freedom(runs: Path, method: str, rows: list[tuple[Degree, float]], left_out: dict[str, str]) -> None:
    figures = [
        {"metric": "frechet_distance", "label": LABEL, "value": value, "low": value - 1, "high": value + 1,
         "degree": degree, "choice": "a choice", "images": 100}
        for degree, value in rows
    ]  # fmt: skip
    file = {"schema": 1, "rows": figures, "left_out": left_out}
    put_json(runs / "seed-0" / method / "steps-16" / "freedom.json", file)


@pytest.fixture
def audit(tmp_path: Path) -> Element:
    """The section of a run with two trainings, of which one row keeps no snapshots."""
    methods: dict[str, Any] = {"ddim": {}, "sfddm": {"training": {"images": 500, "snapshots": 4}}}
    evaluation = {"samples": 100, "measurements": {"freedom": ["ddim", "sfddm"]}}
    spec = make_spec(methods=methods, seeds=[0, 1], evaluation=evaluation)
    distances = {("ddim", 0): 90.0, ("ddim", 1): 92.0, ("sfddm", 0): 91.0, ("sfddm", 1): 80.0}
    values = {(row, steps, seed): value for (row, seed), value in distances.items() for steps in (16, 4)}
    runs = make_runs(spec, tmp_path / "runs", values)
    put_freedom(runs, "ddim", [("own", 90.0), ("weights", 90.5), ("sampling-seed", 89.0)], {"checkpoint": "no reason"})
    put_freedom(
        runs, "sfddm", [("own", 91.0), ("sampling-seed", 88.0)], {"weights": "a reason", "checkpoint": "no reason"}
    )
    collect(spec, runs, runs / "collected")
    content = read(runs / "collected")
    assert len(content["freedoms"]) == 2
    options = [row["options"]["training"] for row in content["rows"] if row["method"] == "sfddm"]
    assert all(training["images"] == 500 and "snapshots" not in training for training in options)
    render([runs / "collected"], runs / "out", claims=runs / "no-claims")
    return parse((runs / "out" / "table.html").read_text()).one("section", id="audit")


def line(audit: Element, protocol: str) -> tuple[dict[str, str], Element]:
    (found,) = (one for one in audit.every("tr") if one.attributes.get("data-protocol") == protocol)
    cells = {
        cell.attributes["data-method"]: cell.text for cell in found.every("td") if "data-method" in cell.attributes
    }
    return cells, found.every("td")[-1]


def test_the_table_has_one_line_for_each_degree_of_freedom(audit: Element) -> None:
    table = audit.one("table")
    lines = [one.attributes["data-protocol"] for one in table.every("tr") if "data-protocol" in one.attributes]
    assert lines == ["own", "weights", "sampling-seed", "trainings-mean", "trainings"]
    assert [cell.text for cell in table.one("thead").every("th")] == [
        "Degree of freedom", "DDIM", "SFDDM", "Ranking that it would have printed",
    ]  # fmt: skip
    cells, ranking = line(audit, "own")
    assert cells == {"ddim": "90.00 [89.00, 91.00]", "sfddm": "91.00 [90.00, 92.00]"}
    assert (ranking.text, ranking.attributes["class"]) == ("ddim < sfddm", "words")


def test_a_cell_gives_figure_difference_and_whether_it_is_beyond_our_interval(audit: Element) -> None:
    cells, ranking = line(audit, "sampling-seed")
    assert cells["ddim"] == "89.00 [88.00, 90.00] −1.00, within"
    assert cells["sfddm"] == "88.00 [87.00, 89.00] −3.00, beyond"
    assert ranking.text == "sfddm < ddim another ranking than the report’s own"
    assert "moved" in ranking.attributes["class"]
    assert line(audit, "trainings")[0]["sfddm"].startswith("80.00 [79.00, 81.00] −5.50, within")
    # The means rank SFDDM first, as does the best of each: against them nothing moved.
    assert line(audit, "trainings")[1].text == "sfddm < ddim"


def test_a_row_without_a_degree_of_freedom_is_left_out_with_the_reason(audit: Element) -> None:
    cells, ranking = line(audit, "weights")
    assert cells["ddim"] == "90.50 [89.50, 91.50] +0.50, within"
    assert "not measured" in cells["sfddm"]
    assert "not measured" in ranking.text, "one row alone has no ranking"
    notes = [one.text for one in audit.every("p", class_="small")]
    assert "SFDDM at 16 steps, without weights that are not averaged: a reason." in notes
    assert "DDIM at 16 steps, SFDDM at 16 steps, without checkpoints to choose from: no reason." in notes


def test_a_sentence_says_how_much_choosing_gains(audit: Element) -> None:
    assert "up to 6.4% less: SFDDM at 16 steps, best of 2 trainings." in audit.text
    assert "At 16 steps DDIM is ahead of SFDDM, but behind it under: Best of 2 sampling seeds" in audit.text
