"""``verify`` and records: what drifts, what is only told, and what a record holds."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from support.report_runs import make_runs, make_spec

from sfddm.records import record as record_module
from sfddm.records.record import write_record
from sfddm.records.verify import compare_figures, verify, widening
from sfddm.report.collect import collect
from sfddm.report.render import render
from sfddm.results.metrics import read_metrics
from sfddm.runtime.errors import SfddmError
from sfddm.spec.load import load_spec

CLAIMS = Path(__file__).parents[3] / "params" / "claims"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    spec = make_spec(methods={"teacher": {"reference_steps": 32}, "ddim": {}, "sfddm": {}})
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "run")
    return tmp_path / "run"


def changed(run: Path, tmp_path: Path, change: Callable[[Any], Any]) -> Path:
    content = json.loads((run / "metrics.json").read_text())
    change(content)
    (tmp_path / "changed.json").write_text(json.dumps(content))
    return tmp_path / "changed.json"


def states(run: Path, record: Path) -> dict[str, int]:
    found = [one.state for one in compare_figures(read_metrics(run), read_metrics(record))]
    return {state: found.count(state) for state in dict.fromkeys(found)}


def text_of(run: Path, record: Path) -> tuple[bool, str]:
    console = Console(file=StringIO(), width=220)
    held = verify(run, record, console)
    return held, console.file.getvalue()  # type: ignore[attr-defined]


def move(content: Any, by: float, metric: str = "frechet_distance") -> None:
    row = next(row for row in content["rows"] if row["metric"] == metric)
    for key in ("value", "low", "high"):
        row[key] = row[key] if row[key] is None else row[key] + by


def test_a_run_equals_itself_in_every_form(run: Path, tmp_path: Path) -> None:
    render([run], tmp_path / "out", CLAIMS)
    held, text = text_of(tmp_path / "out", run)
    assert held
    assert text.strip() == "ok: of 12 figures 12 equal."


def test_drift_lies_beyond_the_widened_difference_of_the_intervals(run: Path, tmp_path: Path) -> None:
    # Five Frechet distances and the floor's have intervals of +-1; recall has none.
    allowed = widening(6, 0.95) * 2**0.5
    assert allowed == pytest.approx(2.6383 / 1.95996 * 2**0.5, rel=1e-4)
    for by, state in ((0.999, "within"), (1.001, "drift"), (-0.999, "within"), (-1.001, "drift")):
        new = changed(run, tmp_path, lambda c, by=by: move(c, by * allowed))
        assert states(new, run)[state] == 1
        assert verify(new, run, Console(file=StringIO())) == (state == "within")
    _, text = text_of(new, run)
    assert "drift" in text
    assert "FAILED: of 12 figures 11 equal, 1 DRIFTED." in text


def test_the_interval_is_taken_on_the_side_of_the_other_figure(run: Path, tmp_path: Path) -> None:
    def lopsided(content: Any) -> None:
        move(content, 5.0)
        content["rows"][0]["low"] -= 9.0

    assert content_metric(run) == "frechet_distance"
    assert states(changed(run, tmp_path, lopsided), run)["within"] == 1
    assert states(run, changed(run, tmp_path, lopsided))["within"] == 1
    assert states(changed(run, tmp_path, lambda c: move(c, 5.0)), run)["drift"] == 1


def content_metric(run: Path) -> str:
    return json.loads((run / "metrics.json").read_text())["rows"][0]["metric"]


def test_without_an_interval_a_difference_is_told_but_not_judged(run: Path, tmp_path: Path) -> None:
    held, text = text_of(changed(run, tmp_path, lambda c: move(c, 0.1, "recall")), run)
    assert held
    assert "1 differ, and neither has an interval to judge by" in text


@pytest.mark.parametrize(
    ("change", "held", "told"),
    [
        (lambda c: c["rows"].pop(), False, "1 MISSING from the run"),
        (lambda c: c["rows"][0].update(label="FID"), False, "1 MISSING from the run, 1 only in the run"),
        (lambda c: c["rows"][0]["protocol"].update(extractor="e"), False, "differs in extractor"),
        (lambda c: c["rows"][0].update(index_set=[1, 2]), False, "differs in index_set"),
        (lambda c: c["floor"][0]["protocol"].update(generated_images=7), False, "differs in generated_images"),
        (lambda c: c["rows"][0]["protocol"].update(versions={"torch": "9"}), True, "12 equal"),
        (lambda c: c["provenance"].update(commit="d00d"), True, "commit d00d instead of c0ffee"),
        (lambda c: c["provenance"].update(hardware="a lot"), True, "hardware a lot instead of 2 cores"),
        (lambda c: c["provenance"]["versions"].update(torch="9"), True, "torch 9 instead of 2.0"),
        (
            lambda c: (c["provenance"].update(spec_digest="ff"), c["provenance"]["spec"].update(seeds=[5])),
            True,
            "another spec, sha256 ff instead of",
        ),
    ],
)
def test_what_fails_and_what_is_told(
    run: Path, tmp_path: Path, change: Callable[[Any], Any], held: bool, told: str
) -> None:
    found, text = text_of(changed(run, tmp_path, change), run)
    assert (found, told in text) == (held, True), text


def test_another_metric_beside_a_figure_is_told_and_changes_nothing_in_it(run: Path, tmp_path: Path) -> None:
    def settings(content: Any, **others: str) -> None:
        for row in (*content["rows"], *content["floor"]):
            row["protocol"]["settings"] = {"frechet_distance": "float64", "recall": "k is 3"} | others

    (tmp_path / "record").mkdir()
    record = changed(run, tmp_path / "record", settings)

    def beside(content: Any) -> None:
        settings(content, coverage="k is 3")
        content["rows"].append(content["rows"][0] | {"metric": "coverage", "label": "Coverage"})

    held, text = text_of(changed(run, tmp_path, beside), record)
    assert held
    assert "12 equal, 1 only in the run" in text
    held, text = text_of(changed(run, tmp_path, lambda c: settings(c, recall="k is 5")), record)
    assert not held
    assert "differs in settings" in text
    assert states(tmp_path / "changed.json", record) == {"same": 6, "protocol": 6}


def test_a_missing_record_is_told(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SfddmError, match=r"metrics\.json: no such file"):
        verify(run, tmp_path)


def test_a_record_holds_the_run_its_spec_and_how_it_was_made(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "records" / "tiny-cpu"
    write_record(run, out, "make table\nsfddm record reports/runs/tiny/collected", CLAIMS)
    names = {path.name for path in out.iterdir()}
    assert names == {
        ".sfddm-outputs", "README.md", "metrics.json", "samples.png", "spec.yaml", "table.html", "table.md", "table.tex"
    }  # fmt: skip
    assert all(path.stat().st_size < 1_000_000 for path in out.iterdir())
    assert verify(run, out, Console(file=StringIO()))
    spec = load_spec(out / "spec.yaml")
    assert spec.digest == json.loads((run / "metrics.json").read_text())["provenance"]["spec_digest"]
    readme = (out / "README.md").read_text()
    assert "    make table\n    sfddm record reports/runs/tiny/collected\n" in readme
    assert "sfddm verify reports/runs/tiny/collected reports/records/tiny-cpu" in readme
    assert str(tmp_path) not in readme
    assert "claims to measure: " in readme

    from PIL import Image

    picture = np.asarray(Image.open(out / "samples.png"))
    with np.load(run / "samples.npz") as samples:
        first = samples["teacher/32/0"][0, :, :, 0]
    left = picture.shape[1] - 16 * 34
    assert picture.shape[0] == 6 * 34
    np.testing.assert_array_equal(picture[:32:4, left : left + 32 : 4, 0], first)
    assert (picture[:, left - 6 : left] == 255).all(), "no label reaches the pictures"


def test_a_story_stands_in_the_readme_before_the_command(run: Path, tmp_path: Path) -> None:
    story = tmp_path / "story.md"
    story.write_text("**Question.** Is it so?\n\n**Answer.** No.\n")
    write_record(run, tmp_path / "record", "make table", CLAIMS, story=story)
    readme = (tmp_path / "record" / "README.md").read_text()
    assert "\n\n**Question.** Is it so?\n\n**Answer.** No.\n\nMade with\n" in readme
    for content, said in ((b" \n", "is empty; a story says question"), (b"\xff", "cannot be read as text")):
        story.write_bytes(content)
        with pytest.raises(SfddmError, match=said):
            write_record(run, tmp_path / "other", "make table", CLAIMS, story=story)
    assert not (tmp_path / "other").exists()


def test_no_file_of_a_record_is_too_large(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "record"
    monkeypatch.setattr(record_module, "LIMIT", 40_000)
    write_record(run, out, "make table", CLAIMS)
    names = {path.name for path in out.iterdir()}
    assert "metrics.json.gz" in names
    assert not {"metrics.json", "table.html"} & names
    assert all(path.stat().st_size < 40_000 for path in out.iterdir())
    assert "`table.html` is left out" in (out / "README.md").read_text()
    assert verify(run, out, Console(file=StringIO()))
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    monkeypatch.setattr(record_module, "LIMIT", 2_000)
    with pytest.raises(SfddmError, match="a record's files stay below 2,000"):
        write_record(run, out, "make table", CLAIMS)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
