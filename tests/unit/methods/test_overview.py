"""What ``sfddm methods`` and docs/methods.md say, against the plans themselves."""

import json
from pathlib import Path

from typer.testing import CliRunner

from sfddm.cli import app
from sfddm.commands.methods import learning_curves
from sfddm.methods import all_methods
from sfddm.methods.overview import markdown, overviews

ROOT = Path(__file__).parents[3]


def test_the_page_of_methods_is_what_the_files_say() -> None:
    """Write it anew with `sfddm methods --markdown --record reports/records/gaussians-2d-cpu > docs/methods.md`."""
    record = ROOT / "reports" / "records" / "gaussians-2d-cpu"
    assert (ROOT / "docs" / "methods.md").read_text() == markdown(learning_curves(record), record.name)


def test_facts_that_papers_state() -> None:
    found = {one.name: one for one in overviews()}
    assert found.keys() == all_methods().keys()
    assert found["ddim"].trainings == "none"
    assert found["sfddm"].trainings == "one per T'"
    assert found["consistency"].trainings == "one"
    assert found["progressive"].trainings == "7 at T' = 8"  # log2(1024 / 8)
    assert found["progressive"].evaluations == (1, 2)
    assert found["multi-student"].steps == (1,)
    assert found["sfddm"].steps == (1, 2, 4, 8, 16)
    assert found["sid"].needs == found["pid"].needs == found["ddim"].needs == ()  # data-free, or without training
    assert found["shortcut"].needs == ("images", "a second time")
    assert found["rdd"].needs == ("images", "labels, by a classifier")  # in folds to few steps alone


def test_the_verb_prints_a_line_for_each() -> None:
    table = CliRunner().invoke(app, ["methods"])
    assert table.exit_code == 0, table.output
    assert all(name in table.output for name in all_methods())
    plain = json.loads(CliRunner().invoke(app, ["methods", "--json"]).output)
    assert [one["name"] for one in plain] == list(all_methods())
