"""Claims on the code: the tests that they name are run, and what came of them is told, counted apart and published."""

import importlib.util
import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.pages import parse
from support.report_runs import make_runs, make_spec
from support.results import part, row
from typer.testing import CliRunner

from sfddm.claims import Claim, Verdict, evaluate_claims, load_claims
from sfddm.claims.properties import files_of, named_tests, package_digest, run_properties
from sfddm.claims.show import print_claims, tally
from sfddm.cli import app
from sfddm.commands.python import verdicts
from sfddm.records.record import write_record
from sfddm.report.collect import collect
from sfddm.report.render import render
from sfddm.results.files import write_result
from sfddm.results.metrics import read_metrics, read_properties_of
from sfddm.results.properties import NodeOutcome, Properties, read_properties
from sfddm.runtime.errors import SfddmError

ROOT = Path(__file__).parents[3]
CLAIMS = ROOT / "params" / "claims"
GOOD = """
import os
import pytest

@pytest.mark.parametrize("value", [1, 2, 3])
def test_of_three(value):
    assert value and os.environ["OMP_NUM_THREADS"] == "1"

def test_that_nobody_names():
    raise SystemExit("must not run")

@pytest.fixture
def broken():
    raise ValueError

def test_whose_fixture_fails(broken):
    pass

@pytest.mark.parametrize("value", [1, 2])
def test_of_which_one_fails(value):
    assert value == 1

@pytest.mark.parametrize("value", [1, 2])
def test_of_which_one_is_left_out(value):
    if value == 2:
        pytest.skip()
"""
FILE = "tests/unit/test_good.py"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tests" / "unit").mkdir(parents=True)
    (tmp_path / FILE).write_text(GOOD)
    (tmp_path / "tests" / "test_broken.py").write_text("import nowhere\n\ndef test_a():\n    pass\n")
    return tmp_path


def outcome(node: str, word: Any = "passed", cases: int = 2, reason: str = "") -> NodeOutcome:
    return NodeOutcome(node=node, outcome=word, cases=cases, seconds=0.5, reason=reason)


def properties(*outcomes: NodeOutcome, reason: str = "") -> Properties:
    return Properties(commit="c0ffee", versions={"python": "3.11"}, tests=outcomes, reason=reason)


def judge(found: Properties | None, *nodes: str, measured: bool = True) -> Verdict:
    content = {
        "id": "a",
        "paper": "P",
        "reference": "R",
        "statement": "S.",
        "test": {"kind": "invariant", "tests": nodes},
    }
    parts = [part([row("a", 1.0)])] if measured else []
    return evaluate_claims(parts, [Claim.model_validate(content)], found)[0]


def test_exactly_the_named_tests_run_with_all_their_cases(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "--collect-only")  # nobody's own settings count
    names = ["of_three", "whose_fixture_fails", "of_which_one_fails", "of_which_one_is_left_out", "that_is_nowhere"]
    nodes = [f"{FILE}::test_{name}" for name in names] + ["tests/test_broken.py::test_a", "tests/test_no.py::test_a"]
    found = run_properties(nodes, tree)
    assert found.reason == ""
    assert [one.node for one in found.tests] == sorted(nodes)
    told = {one.node.rpartition("::test_")[2]: (one.outcome, one.cases, one.reason) for one in found.tests[2:]}
    assert told == {
        "of_three": ("passed", 3, ""),
        "whose_fixture_fails": ("failed", 1, f"1 of 1 cases failed, the first {FILE}::test_whose_fixture_fails"),
        "of_which_one_fails": ("failed", 2, f"1 of 2 cases failed, the first {FILE}::test_of_which_one_fails[2]"),
        "of_which_one_is_left_out": (
            "skipped",
            2,
            f"1 of 2 cases skipped, the first {FILE}::test_of_which_one_is_left_out[2]",
        ),
        "that_is_nowhere": ("not collected", 0, f"{FILE} has no such test"),
    }
    broken, absent = found.tests[:2]
    assert (broken.outcome, broken.reason) == ("not collected", "tests/test_broken.py cannot be imported")
    assert (absent.outcome, absent.reason) == ("not collected", "there is no file tests/test_no.py")
    assert all(one.seconds >= 0 for one in found.tests)
    assert {"python", "pytest"} <= set(found.versions)


def test_without_tests_or_pytest_nothing_runs_and_the_reason_is_told(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = f"{FILE}::test_of_three"
    installed = run_properties([node], tree / "nowhere")
    assert "no folder tests" in installed.reason
    verdict = judge(installed, node)
    assert (verdict.verdict, "no folder tests" in verdict.because) == ("not run", True)
    (tree / "tests" / "conftest.py").write_text("import nowhere\n")
    assert "ended with status" in run_properties([node], tree).reason
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "pytest" else find(name, *a))
    lacking = run_properties([node], tree)
    assert (lacking.reason, lacking.tests, "pytest" in lacking.versions) == ("pytest is not installed", (), False)


def test_a_property_holds_only_where_all_its_tests_ran_and_passed() -> None:
    one, two = "tests/test_a.py::test_b", "tests/test_a.py::test_c"
    holds = judge(properties(outcome(one), outcome(two)), one, two)
    assert (holds.verdict, holds.because) == (
        "holds",
        f"the tests {one}, {two} passed, 4 cases in all, at commit c0ffee",
    )
    assert judge(properties(outcome(one)), one, measured=False).verdict == "holds"
    fails = judge(properties(outcome(one), outcome(two, "failed", reason="1 of 2")), one, two)
    assert (fails.verdict, fails.because) == ("fails", f"{two}: failed (1 of 2); at commit c0ffee")
    for found, why in (
        (None, "`sfddm properties` runs them"),
        (properties(reason="no pytest"), "did not run: no pytest"),
        (properties(outcome(one)), f"{two}: not among the tests that ran"),
        (properties(outcome(one), outcome(two, "skipped")), f"{two}: skipped"),
        (properties(outcome(one), outcome(two, "not collected", 0)), f"{two}: not collected"),
    ):
        verdict = judge(found, one, two)
        assert (verdict.verdict, why in verdict.because, verdict.cells) == ("not run", True, ())
    both = judge(properties(outcome(one, "failed"), outcome(two, "not collected", 0)), one, two)
    assert both.verdict == "fails"


def test_properties_are_never_counted_with_measurements() -> None:
    words = ["reproduced", "not tested", "not tested", "holds", "holds", "not run"]
    made = [Verdict(str(i), "P", "S.", "R", word, "why") for i, word in enumerate(words)]  # type: ignore[arg-type]
    assert tally(made) == (
        "3 claims to measure: 1 reproduced, 2 not tested; 3 properties of the code: 2 hold, 1 not run"
    )
    assert tally(made[3:4]).endswith("; 1 property of the code: 1 holds")
    assert "properties" not in tally(made[:3])


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    spec = make_spec(methods={"teacher": {"reference_steps": 32}, "ddim": {}, "sfddm": {}})
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "collected")
    return tmp_path / "collected"


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """All named tests passed, but one that failed and one that is missing."""
    nodes = named_tests(load_claims(CLAIMS))
    alphas = [node for node in nodes if node.endswith("bit_for_bit")]
    folds = [node for node in nodes if "eight_folds" in node]
    assert len(alphas) == len(folds) == 1
    outcomes = [outcome(n, "failed" if n in alphas else "passed") for n in nodes if n not in folds]
    write_result(tmp_path / "mine.json", properties(*outcomes))
    return tmp_path / "mine.json"


def test_report_and_record_publish_what_came_of_the_tests(
    collected: Path, written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    render([collected], tmp_path / "out", CLAIMS, written)
    metrics = tmp_path / "out" / "metrics.json"
    assert read_properties_of(metrics) == read_properties(written)
    told = {one.id: one.verdict for one in verdicts(metrics, CLAIMS)}
    expected = {"sfddm-alphas": "fails", "progressive-folds": "not run", "sfddm-any-steps": "holds"}
    assert {name: told[name] for name in expected} == expected
    words = parse((tmp_path / "out" / "table.html").read_text()).text
    hold = sum(claim.test.kind == "invariant" for claim in load_claims(CLAIMS)) - 2
    assert f"Properties of the code: ✓ {hold} hold ✗ 1 fails – 1 not run" in words
    markdown, latex = ((tmp_path / "out" / f"table.{ending}").read_text() for ending in ("md", "tex"))
    assert f"{hold + 2} properties of the code: {hold} hold, 1 fails, 1 not run." in markdown
    assert markdown.count("| ✓ holds |") == hold
    assert "Properties: 1 holds, 1 fails." in latex

    write_record(collected, tmp_path / "record", "x", CLAIMS, written)
    assert f"{hold} hold, 1 fails, 1 not run" in (tmp_path / "record" / "README.md").read_text()
    printed = Console(file=StringIO(), width=220)
    print_claims(tmp_path / "record", claims=CLAIMS, console=printed)
    assert "✗ fails" in printed.file.getvalue()  # type: ignore[attr-defined]
    # A properties.json beside the metrics is newer than what they were published with.
    write_result(tmp_path / "record" / "properties.json", properties(reason="none"))
    print_claims(tmp_path / "record", as_json=True, claims=CLAIMS)
    found = {one["id"]: one["verdict"] for one in json.loads(capsys.readouterr().out)}
    assert found["sfddm-alphas"] == "not run"


def test_a_record_without_properties_says_not_run() -> None:
    record = ROOT / "reports" / "records" / "smoke-cpu"
    claims = load_claims(CLAIMS)
    found = evaluate_claims(read_metrics(record), claims, read_properties_of(record))
    words = {one.verdict for one, claim in zip(found, claims, strict=True) if claim.test.kind == "invariant"}
    assert words == {"not run"}


def test_a_broken_properties_file_is_told(tmp_path: Path, collected: Path) -> None:
    (tmp_path / "properties.json").write_text('{"schema": 1, "commit": "c", "versions": {}, "colour": "red"}')
    with pytest.raises(SfddmError, match=r"properties\.json: colour: unknown key"):
        read_properties(tmp_path / "properties.json")
    with pytest.raises(SfddmError, match="no such file; `sfddm properties` writes it"):
        render([collected], tmp_path / "out", CLAIMS, tmp_path / "other.json")


def test_the_verb_runs_what_a_folder_of_claims_names(tmp_path: Path) -> None:
    """One quick test of this checkout, by the command line."""
    node = "tests/unit/methods/test_sfddm.py::test_any_number_of_steps_takes_one_fold"
    test = {"kind": "invariant", "tests": [node]}
    content = {"paper": "P", "reference": "R", "claims": [{"id": "a", "statement": "S.", "test": test}]}
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "one.yaml").write_text(json.dumps(content))
    arguments = ["properties", "--claims", str(tmp_path / "claims"), "--out", str(tmp_path / "p.json")]
    assert CliRunner().invoke(app, arguments).exit_code == 0
    (ran,) = read_properties(tmp_path / "p.json").tests
    assert (ran.node, ran.outcome) == (node, "passed")
    (tmp_path / "p.json").write_text("somebody's")
    assert isinstance(CliRunner().invoke(app, arguments).exception, SfddmError)
    assert (tmp_path / "p.json").read_text() == "somebody's"


def test_what_the_outcome_depends_on() -> None:
    files = {str(file.relative_to(ROOT)) for file in files_of(named_tests(load_claims(CLAIMS)))}
    assert {"tests/conftest.py", "tests/support/trainings.py", "tests/unit/diffusion/test_schedule.py"} <= files
    assert "tests/unit/report/test_page.py" not in files


def test_any_module_of_the_package_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfddm.claims.properties.ROOT", tmp_path)
    (tmp_path / "deep").mkdir()
    found = {package_digest()}
    for name, content in (("a.py", "1"), ("deep/a.py", "1"), ("deep/a.py", "2"), ("a.py", "2")):
        (tmp_path / name).write_text(content)
        found.add(package_digest())
    assert len(found) == 5
