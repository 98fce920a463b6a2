"""The claims that are shipped, mistakes in such files, and how verdicts are printed and rendered."""

import ast
import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from rich.console import Console
from support.pages import parse
from support.report_runs import make_runs, make_spec, put_json

from sfddm.claims import load_claims
from sfddm.claims.kinds.without_figures import Invariant
from sfddm.claims.show import SIGNS, print_claims, scales, tally
from sfddm.methods import all_methods
from sfddm.report.collect import collect
from sfddm.report.render import render
from sfddm.report.verdicts import typeset
from sfddm.results.metrics import read_metrics
from sfddm.results.statistics import Estimate
from sfddm.results.styles import REALISM
from sfddm.results.verdicts import Cell, GradeWord, Verdict, Word
from sfddm.runtime.errors import SfddmError

ROOT = Path(__file__).parents[3]
CLAIMS = ROOT / "params" / "claims"
SMALL: dict[str, Any] = {
    "paper": "P",
    "reference": "R",
    "claims": [{"id": "a", "statement": "S.", "test": {"kind": "none", "reason": "no"}}],
}


def test_every_paper_is_there_and_every_claim_that_the_report_owes() -> None:
    claims = {claim.id: claim for claim in load_claims(CLAIMS)}
    assert list(dict.fromkeys(claim.paper.split(":")[0] for claim in claims.values())) == [
        "SFDDM",
        "Denoising Diffusion Implicit Models",
        "Progressive Distillation for Fast Sampling of Diffusion Models",
        "Consistency Models",
        "Consistency Trajectory Models",
        "Mean Flows for One-step Generative Modeling",
        "Multi-Student Diffusion Distillation for Better One-Step Generators",
        "One-to-Many Knowledge Distillation",
        "One Step Diffusion via Shortcut Models",
        "Samplers without training, as diff-sampler compares them",
        "Trajectory distillation, this project's own",
    ]
    wanted = "below-ddim below-progressive one-fold any-steps one-percent alphas same-noise interpolation concentration"
    assert {f"sfddm-{name}" for name in [*wanted.split(), "behind-consistency"]} <= set(claims)
    # None of the paper's figures is among the sources.
    assert not any(claim.published for name, claim in claims.items() if name.startswith("sfddm"))


def test_every_named_test_exists() -> None:
    named = [node for claim in load_claims(CLAIMS) if isinstance(claim.test, Invariant) for node in claim.test.tests]
    assert named
    for node in named:
        path, name = node.split("::")
        tree = ast.parse((ROOT / path).read_text())
        assert name in {item.name for item in tree.body if isinstance(item, ast.FunctionDef)}, node


def test_every_implementing_method_exists() -> None:
    def named(value: Any) -> list[str]:
        if isinstance(value, dict):
            own = value.get("implements") or []
            return [own] if isinstance(own, str) else [*own, *(n for item in value.values() for n in named(item))]
        return [n for item in value for n in named(item)] if isinstance(value, list) else []

    names = named([claim.model_dump(mode="json") for claim in load_claims(CLAIMS)])
    assert names
    assert set(names) <= set(all_methods())


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["claims"][0].update(colour="red"), "one.yaml: claims.a: colour: unknown key"),
        (lambda c: c["claims"][0]["test"].update(colour="red"), "one.yaml: claims.a: test.colour: unknown key"),
        (lambda c: c.update(setting={"colour": "red"}), "one.yaml: claims.a: setting.colour: unknown key"),
        (lambda c: c["claims"][0].update(setting={"data": {"X": {"timesteps": 0}}}), "setting.data.X.timesteps: input"),
        (lambda c: c["claims"][0].update(published="a"), "one.yaml: claims.a: published: must list ids of rows"),
        (lambda c: c["claims"][0].pop("statement"), "one.yaml: claims.a: statement: this key is missing"),
        (
            lambda c: c["claims"][0].update(paper="Q"),
            "one.yaml: claims.a: must be a mapping; paper and reference stand",
        ),
        (lambda c: c["claims"].append(c["claims"][0]), "one.yaml: the claim 'a' is already in"),
        (lambda c: c.update(colour="red"), "one.yaml: must have the keys paper, reference and claims"),
        (lambda c: c["claims"].append(3), "one.yaml: claims.1: must be a mapping"),
        (
            lambda c: c["claims"][0].update(test={"kind": "invariant", "tests": ["somewhere"]}),
            "one.yaml: claims.a: test.tests.0: string should match",
        ),
        (
            lambda c: c["claims"][0].update(test={"kind": "folds", "left": {}, "equals": 1}),
            "test.left: give either method, a row's name, or implements",
        ),
    ],
)
def test_a_mistake_in_a_file_gives_one_sentence(tmp_path: Path, change: Callable[[Any], Any], sentence: str) -> None:
    content = json.loads(json.dumps(SMALL))
    change(content)
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(SfddmError) as caught:
        load_claims(tmp_path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_claims_and_no_yaml_are_told(tmp_path: Path) -> None:
    with pytest.raises(SfddmError, match="no claims; they are files like"):
        load_claims(tmp_path)
    (tmp_path / "one.yaml").write_text("a: [")
    with pytest.raises(SfddmError, match=r"one\.yaml: not a YAML file"):
        load_claims(tmp_path)


KIND = """
from sfddm.claims.figures import FigureOverSeeds
from sfddm.claims.kinds.base import ClaimTest, NothingToTest, judged
from sfddm.claims.selection import Selection

class BelowEveryOther(ClaimTest):
    name = "below-every-other"
    left: Selection

    def cells(self, figures):
        (left,) = figures.select(self.left, "frechet_distance")
        others = [one for one in figures.all if one.first.metric == left.first.metric and one is not left]
        return [judged(left, other, FigureOverSeeds.minus, "lower") for other in others]

    def describe(self):
        return f"{self.left} against every other row"
"""


def test_a_new_kind_of_test_is_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    test = {"kind": "below-every-other", "left": {"method": "ddim", "steps": 4}}
    content = SMALL | {"claims": [{"id": "a", "statement": "S.", "test": test}]}
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "one.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(SfddmError, match="test: kind: there is no 'below-every-other'; known: ablation, compare"):
        load_claims(tmp_path / "claims")
    (tmp_path / "kind.py").write_text(KIND)
    monkeypatch.setenv("SFDDM_PLUGINS", str(tmp_path / "kind.py"))
    spec = make_spec(methods={"ddim": {}, "sfddm": {}}, steps=[4])
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "collected")
    print_claims(tmp_path / "collected", as_json=True, claims=tmp_path / "claims")
    (verdict,) = json.loads(capsys.readouterr().out)
    assert verdict["tested"] == "ddim (4 steps) against every other row"
    # DDIM has 90, SFDDM 70, real images against real images 93; each +-1.
    assert verdict["counts"] == {"reproduced": 1, "contradicted": 1}


def add_paths_and_agreement(runs: Path) -> None:
    """Both of SFDDM at 16 steps: nearer to the teacher than the control, and more real than a cross-fade."""
    for seed in (0, 1):
        place = runs / f"seed-{seed}" / "sfddm" / "steps-16"
        psnr = [("psnr_teacher", 20.0 + seed), ("psnr_teacher_control", 9.0 + seed / 2)]
        rows = [{"metric": metric, "label": metric, "value": value} for metric, value in psnr]
        put_json(place / "agreement.json", {"schema": 1, "rows": rows, "protocol": {}})
        facts = {"metric": REALISM, "label": "Distance", "space": "features", "pairs": 8}
        paths = [("student", "linear", 1.0), ("student", "cross-fade", 1.5), ("teacher", "linear", 9.0)]
        rows = [facts | {"who": who, "kind": kind, "value": value + seed / 10} for who, kind, value in paths]
        put_json(place / "interpolation.json", {"schema": 1, "rows": rows, "protocol": {}})
        strips = {f"{kind}/{who}": np.zeros((2, 9, 8, 8, 1), np.uint8) for who, kind, _ in paths}
        np.savez(place / "interpolation.npz", **strips)


@pytest.fixture
def collected(tmp_path: Path) -> Path:
    """Seeds 0 and 1; SFDDM is worse than DDIM at 16 steps and, from the teacher's weights, equal to it at both."""
    methods = {
        "teacher": {"reference_steps": 32},
        "ddim": {},
        "sfddm": {},
        "sfddm-from-teacher": {"method": "sfddm", "initialisation": "teacher", "title": "SFDDM, from the teacher"},
    }
    listed = {"agreement": ["sfddm"], "interpolation": ["sfddm"]}
    spec = make_spec(methods=methods, seeds=[0, 1], evaluation={"samples": 100} | listed)
    values = {(row, steps, seed): 90.0 + seed for row, steps in spec.rows() for seed in (0, 1)}
    values |= {("sfddm", 16, 0): 95.0, ("sfddm", 16, 1): 96.01, ("sfddm", 4, 0): 80.0, ("sfddm", 4, 1): 120.0}
    add_paths_and_agreement(make_runs(spec, tmp_path / "runs", values))
    collect(spec, tmp_path / "runs", tmp_path / "collected")
    return tmp_path / "collected"


def test_the_report_shows_verdicts_that_lead_to_their_rows(collected: Path, tmp_path: Path) -> None:
    render([collected], tmp_path / "out", CLAIMS)
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    claims = {claim["id"]: claim for claim in content["claims"]}
    assert set(claims) == {claim.id for claim in load_claims(CLAIMS)}
    below = claims["sfddm-below-ddim"]
    assert below["verdict"] == "unsettled"
    assert below["counts"] == {"unsettled": 1, "inconclusive": 1}
    cell = below["cells"][0]
    assert (cell["steps"], cell["seeds"], cell["images"], cell["difference"]["value"]) == (
        16,
        2,
        100,
        pytest.approx(5.005),
    )
    assert [(one["value"], one["name"]) for one in cell["numbers"]] == [
        (pytest.approx(95.505), "SFDDM"),
        (90.5, "DDIM"),
    ]
    assert {"experiment": "tiny", "method": "ddim", "steps": 16, "metric": "frechet_distance",
            "link": "table.html#row-frechet_distance-ddim"} in cell["rows"]  # fmt: skip
    for name, section, value in (("same-noise", "agreement", 11.25), ("interpolation", "interpolation", -0.5)):
        claim = claims[f"sfddm-{name}"]
        assert (claim["verdict"], claim["cells"][0]["seeds"]) == ("reproduced", 2)
        assert claim["cells"][0]["difference"]["value"] == pytest.approx(value)
        assert {row["link"] for row in claim["cells"][0]["rows"]} == {f"table.html#{section}"}
    assert claims["sfddm-alphas"]["verdict"] == "not run"

    page = parse((tmp_path / "out" / "table.html").read_text())
    identifiers = set(page.values("id"))
    links = [address for address in page.values("href") if address.startswith("#")]
    assert {"#row-frechet_distance-sfddm", "#agreement", "#interpolation"} <= set(links)
    assert {link[1:] for link in links} <= identifiers
    words = page.text
    for word, sign in SIGNS.items():
        assert f"{sign} {word}" in words or not any(claim["verdict"] == word for claim in claims.values())
    assert all(claim["statement"] in words for claim in claims.values())
    assert "has exactly the figures of DDIM ( ddim ) on the same index set, at 16, 4 steps: 8 of 8 figures" in words
    markdown = (tmp_path / "out" / "table.md").read_text()
    assert "| ↯ unsettled (toy) | At the same number of steps, SFDDM has a lower Fréchet distance than DDIM" in markdown
    assert "loss of 0 before any training" in markdown


def test_without_claims_the_report_judges_nothing(collected: Path, tmp_path: Path) -> None:
    render([collected], tmp_path / "out", tmp_path / "nowhere")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["claims"] == []
    assert "What was reproduced" not in (tmp_path / "out" / "table.md").read_text()


def test_verdicts_are_printed(
    collected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = Console(file=StringIO(), width=220)
    print_claims(collected, claims=CLAIMS, console=printed)
    text = printed.file.getvalue()  # type: ignore[attr-defined]
    assert "↯ unsettled" in text
    assert "none of the 2 claims to measure of Consistency Models was measured." in text
    assert "paired difference +5.005" in text
    assert "cannot be compared" in text
    render([collected], tmp_path / "out", CLAIMS)
    print_claims(tmp_path / "out" / "metrics.json", as_json=True, claims=CLAIMS)
    assert json.loads(capsys.readouterr().out) == json.loads((tmp_path / "out" / "metrics.json").read_text())["claims"]

    monkeypatch.chdir(tmp_path)
    print_claims(as_json=True, claims=CLAIMS)
    assert {claim["verdict"] for claim in json.loads(capsys.readouterr().out)} == {"not tested", "not run"}
    with pytest.raises(SfddmError, match="no such file"):
        print_claims(tmp_path / "other.json", claims=CLAIMS)


@pytest.mark.parametrize(
    "content", ['{"schema": 1}', "[]", "{", '{"schema": 1, "rows": [], "floor": [], "provenance": 3}']
)
def test_a_broken_metrics_file_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(SfddmError, match=r"metrics\.json: not a"):
        read_metrics(tmp_path)


def test_claims_are_counted_by_their_scale() -> None:
    def one(word: Word, grade: GradeWord | None) -> Verdict:
        cell = Cell("one", 1, "m", "M", word, "why", (), 1, 1, (), grade=grade)
        return Verdict("a", "SFDDM: Single-fold", "S.", "R", word, "why", () if grade is None else (cell,))

    toy = [one("reproduced", "toy"), one("reproduced", "toy"), one("contradicted", "toy"), one("not tested", None)]
    assert scales([*toy, one("reproduced", None)]) == (
        "2 of the 5 claims to measure of SFDDM reproduced, 1 contradicted at toy scale; none tested at full scale"
    )
    assert scales([*toy, one("inconclusive", "full")]) == (
        "0 of the 5 claims to measure of SFDDM reproduced, 1 inconclusive at full scale; "
        "2 reproduced, 1 contradicted at toy scale"
    )


def test_what_may_turn_is_counted_apart() -> None:
    difference = Estimate(-1.0, -2.0, -0.5)
    cell = Cell("one", 1, "m", "M", "reproduced", "why", (), 1, 1, (), difference=difference)
    settled = Verdict("a", "P", "S.", "R", "reproduced", "why", (replace(cell, seeds=3),))
    once = Verdict("b", "P", "S.", "R", "reproduced", "why", (cell,))
    unsettled = Verdict("c", "P", "S.", "R", "unsettled", "why", (replace(cell, verdict="unsettled", turns="x"),))
    assert (settled.open_to, once.open_to, unsettled.open_to) == ("", "a single training", "")
    assert tally([settled, once, unsettled]) == "3 claims to measure: 2 reproduced (1 not settled), 1 unsettled"


def test_hyphens_stay_and_minus_signs_are_true() -> None:
    assert typeset("list-8 [-1.5, -2] of a-3; x -4") == "List-8 [−1.5, −2] of a-3; x −4"


def test_the_example_in_the_documentation_is_a_claim(tmp_path: Path) -> None:
    text = Path("docs/claims.md").read_text()
    (tmp_path / "example.yaml").write_text(text.split("```yaml\n")[1].split("```")[0])
    (claim,) = load_claims(tmp_path)
    (real,) = (one for one in load_claims(CLAIMS) if one.id == claim.id)
    assert claim.test == real.test


def test_the_report_folds_published_figures_behind_the_papers_table(collected: Path, tmp_path: Path) -> None:
    render([collected], tmp_path / "out", CLAIMS)
    text = (tmp_path / "out" / "table.html").read_text()
    place = text.index('<section id="landscape"')
    assert text.index('<section id="table"') < place < text.index('<section id="protocol"')
    section = text[place : text.index("</section>", place)]
    tables = section.split("<details>")[1:]
    assert tables
    assert section.count("<table") == len(tables)
    assert all(table.index("<table") < table.index("</details>") for table in tables)
    cifar = next(table for table in tables if "CIFAR-10: published figures" in table)
    assert "none comparable here" in cifar
    assert 'value="13.36"' in cifar
    assert "DDIM, eta 0" in cifar
    assert "cannot be compared: tiny: data " in cifar
    assert "arXiv 2010.02502; Table 1 (paper)" in cifar
