"""How losses fell, in the report and in docs/methods.md."""

from __future__ import annotations

from pathlib import Path

from support.pages import parse
from support.report_runs import card, make_runs, make_spec, put_json

from sfddm.commands.methods import learning_curves
from sfddm.report.collect import collect
from sfddm.report.curves import heights_of, text_curve
from sfddm.report.render import render
from sfddm.results.metrics import read_metrics


def make_collected(folder: Path) -> Path:
    """Two folds of progressive distillation and two seeds; sfddm has no losses, as in older runs."""
    spec = make_spec(steps=[8], seeds=[0, 1])
    make_runs(spec, folder / "runs")
    for seed in (0, 1):
        for fold, losses in (("16", [1.0, 0.1, 0.01]), ("8", [4.0, 2.0 + seed, 0.5])):
            place = folder / "runs" / f"seed-{seed}" / "progressive" / f"fold-{fold}" / "card.json"
            put_json(place, card(500, (1, 2)) | {"losses": losses})
    teacher = folder / "runs" / "seed-0" / "teacher" / "model" / "card.json"
    put_json(teacher, card(1000, (1, 0)) | {"losses": [1.0, 0.5]})
    collect(spec, folder / "runs", folder / "collected")
    return folder / "collected"


def test_each_training_is_kept_once_and_shown_in_a_line(tmp_path: Path) -> None:
    collected = make_collected(tmp_path)
    (part,) = read_metrics(collected)
    found = [(one.method, one.fold, one.seed) for one in part.trainings]
    wanted = [("progressive", fold, seed) for seed in (0, 1) for fold in ("16", "8")]
    assert sorted(found) == sorted([("teacher", "teacher", 0), *wanted])
    render([collected], tmp_path / "out")
    section = parse((tmp_path / "out" / "table.html").read_text()).one("section", id="curves")
    lines = {(row.one("th").text, *(cell.text for cell in row.every("td")[:3])) for row in section.every("tr")[1:]}
    assert ("Progressive distillation", "16", "1", "0.01") in lines
    assert ("Progressive distillation", "8", "4", "0.5") in lines
    assert len(lines) == 3
    assert [len(row.every("polyline")) for row in section.every("tr")[1:]] == [1, 2, 2]
    assert read_metrics(tmp_path / "out" / "metrics.json")[0].trainings == part.trainings


def test_without_losses_there_is_no_section(tmp_path: Path) -> None:
    spec = make_spec()
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "collected")
    render([tmp_path / "collected"], tmp_path / "out")
    assert 'id="curves"' not in (tmp_path / "out" / "table.html").read_text()


def test_heights_are_logarithmic_where_all_losses_are_positive_and_share_an_axis() -> None:
    assert heights_of([[100.0, 10.0], [10.0, 1.0]]) == [[1.0, 0.5], [0.5, 0.0]]
    assert heights_of([[1.0, 0.0, -1.0]]) == [[1.0, 0.5, 0.0]]
    assert heights_of([[2.0, 2.0]]) == [[0.0, 0.0]]
    assert text_curve([1.0, 0.0, -1.0]) == "█▅▁"


def test_the_page_of_methods_has_the_last_training_of_a_methods_first_row(tmp_path: Path) -> None:
    assert learning_curves(make_collected(tmp_path)) == {
        "teacher": "1 █▁ 0.5 (row `teacher`, training teacher)",
        "progressive": "4 █▆▁ 0.5 (row `progressive`, training 8)",
    }
