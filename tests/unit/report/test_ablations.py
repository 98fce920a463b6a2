"""Ablations: variants apart from the main table, what differs, and the control that was not trained."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from support.pages import latex_cells, parse, section
from support.report_runs import make_runs, make_spec

from sfddm.claims import load_claims
from sfddm.report.ablations import AblationTable, changes
from sfddm.report.collect import collect
from sfddm.report.content import Content, read_content
from sfddm.report.render import render

TRAINING = {"images": 500, "learning_rate": 1e-3}
METHODS: dict[str, Any] = {
    "teacher": {"reference_steps": 32},
    "ddim": {},
    "ddim-released": {"method": "ddim", "index_set": "uniform-released", "title": "DDIM, released_alignment"},
    "ddim-ancestral": {"method": "ddim", "sampler": "ancestral", "steps": [16], "title": "Ancestral"},
    "sfddm": {"training": TRAINING},
    "sfddm-l1": {"method": "sfddm", "norm": "l1", "training": TRAINING, "title": "SFDDM, L1"},
    "sfddm-longer": {"method": "sfddm", "training": {"images": 900, "learning_rate": 1e-3}, "title": "SFDDM, longer"},
    "sfddm-ancestral": {"method": "sfddm", "sampler": "ancestral", "steps": [16], "training": TRAINING},
    "sfddm-released": {
        "method": "sfddm",
        "index_set": "uniform-released",
        "training": TRAINING,
        "title": "[R] & SFDDM",
    },
    "sfddm-any": {"method": "sfddm", "index_set": "linspace", "steps": [10], "training": TRAINING, "title": "Any"},
    "sfddm-from-teacher": {"method": "sfddm", "initialisation": "teacher", "title": "SFDDM, at the teacher's weights"},
}
SEEDS = (0, 1, 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    spec = make_spec(methods=METHODS, seeds=list(SEEDS))
    base = {"ddim": 90.0, "ddim-released": 70.0, "ddim-ancestral": 200.0, "sfddm": 95.0, "sfddm-from-teacher": 90.0}
    base |= {
        "sfddm-l1": 97.0,
        "sfddm-longer": 94.0,
        "sfddm-ancestral": 190.0,
        "sfddm-released": 80.0,
        "sfddm-any": 60.0,
    }
    values = {(row, steps, s): value + s for row, value in base.items() for steps in (16, 10, 4) for s in SEEDS}
    # L1: the differences to SFDDM are 2, 4 and -1, so that their interval holds 0.
    values |= {("sfddm-l1", 16, 1): 100.0, ("sfddm-l1", 16, 2): 96.0}
    collect(spec, make_runs(spec, tmp_path / "runs", values), tmp_path / "collected")
    return tmp_path / "collected"


def the_table(folder: Path) -> tuple[Content, AblationTable]:
    content = read_content([folder])
    return content, next(table for table in content.ablations if table.metric == "frechet_distance")


def lines_of(table: AblationTable, steps: int) -> dict[str, Any]:
    return {line.method: line for block in table.blocks if block.steps == steps for line in block.lines}


def test_variants_leave_the_main_table_but_not_the_json_and_keep_an_anchor(folder: Path, tmp_path: Path) -> None:
    content, _ = the_table(folder)
    # Another sampler, untrained and at as many evaluations, competes: it is no variant of DDIM.
    assert [line.method for line in content.tables[0].lines] == ["ddim", "ddim-ancestral", "sfddm"]
    assert content.variants == set(METHODS) - {"teacher", "ddim", "ddim-ancestral", "sfddm"}
    assert {row.method for part in content.collected for row in part.rows} == set(METHODS)
    render([folder], tmp_path / "out")
    page = (tmp_path / "out" / "table.html").read_text()
    identifiers = parse(page).values("id")
    for method in set(METHODS):
        assert identifiers.count(f"row-frechet_distance-{method}") == 1
    # The best of the main rows is marked, and the variants that are ahead of it are told.
    ahead = "16 steps ★ best: DDIM 91.00 ahead of it among the variants : DDIM, released_alignment 71.00"
    assert ahead in section(page, "summary")
    assert "7 more rows are variants" in section(page, "table")


def test_each_variant_states_what_differs_from_the_main_row(folder: Path) -> None:
    _, table = the_table(folder)
    lines = lines_of(table, 16)
    assert [str(change) for change in lines["sfddm-l1"].changes] == ["norm: l1 instead of l2"]
    assert [str(change) for change in lines["sfddm-longer"].changes] == ["training images: 900 instead of 500"]
    assert [str(change) for change in lines["ddim-released"].changes] == [
        "index set: uniform-released instead of uniform"
    ]
    # Without a training of its own, a row has the one that the spec gives to all students.
    assert "training learning rate: 0.0002 instead of 0.001" in map(str, lines["sfddm-from-teacher"].changes)
    assert lines["sfddm"].main
    assert not lines["sfddm"].changes


def test_differences_are_paired_over_seeds_and_controls_take_the_same_steps(folder: Path) -> None:
    _, table = the_table(folder)
    lines = lines_of(table, 16)
    # 2, 4, -1: mean 5/3, s = 2.5166, t_{0.975, 2} = 4.3027: 1.667 +- 6.252.
    assert (lines["sfddm-l1"].to_main.text, lines["sfddm-l1"].to_main.interval) == ("+1.67", "[-4.58, 7.92]")
    assert lines["sfddm-l1"].to_main.sense == "unclear"
    assert (lines["sfddm-longer"].to_main.text, lines["sfddm-longer"].to_main.sense) == ("-1.00", "better")
    assert (lines["sfddm-ancestral"].to_main.text, lines["sfddm-ancestral"].to_main.sense) == ("+95.00", "worse")
    controls = {name: line.to_control and line.to_control.other.name for name, line in lines.items()}
    assert controls == {
        "ddim": None,
        "ddim-released": None,
        "sfddm": "DDIM",
        "sfddm-l1": "DDIM",
        "sfddm-longer": "DDIM",
        "sfddm-ancestral": "Ancestral",
        "sfddm-released": "DDIM, released_alignment",
        "sfddm-from-teacher": "DDIM",
    }
    alone = lines_of(table, 10)["sfddm-any"]
    assert (alone.to_main, alone.to_control) == (None, None)


def test_the_two_findings_are_told(folder: Path, tmp_path: Path) -> None:
    _, table = the_table(folder)
    same, indices, counts = table.findings
    assert same.items == (
        "SFDDM, at the teacher's weights, 16 steps: DDIM",
        "SFDDM, at the teacher's weights, 4 steps: DDIM",
    )
    assert indices.items[0] == (
        "DDIM, released_alignment, 16 steps: 71.00 against 91.00, difference -20.00 [-20.00, -20.00], better"
    )
    assert len(indices.items) == 2  # the ancestral sampler is no choice of indices
    # At 16 steps: longer, released and from the teacher are better, L1 is unclear, ancestral is worse.
    # At 4 steps: the same without ancestral, and L1 is worse by 2 for every seed.
    assert str(counts) == (
        "Of 9 trained variants beside a main row at the same steps: 6 better; 2 worse; 1 not distinguishable."
    )
    render([folder], tmp_path / "out")
    text = section((tmp_path / "out" / "table.html").read_text(), "ablations")
    assert "SFDDM, at the teacher's weights, 16 steps: DDIM" in text
    assert "difference −20.00" in text
    assert "mean over 3 training seeds" in text


def test_lists_of_indices_are_written_out() -> None:
    found = changes({"index_set": [0, 5, 9]}, {"index_set": "uniform"}, {})
    assert [str(change) for change in found] == ["index set: 0, 5, 9 instead of uniform"]
    assert changes({"title": "One", "method": "a"}, {"title": "Two", "method": "a"}, {}) == ()


def test_without_variants_there_is_no_such_section(tmp_path: Path) -> None:
    spec = make_spec()
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "collected")
    render([tmp_path / "collected"], tmp_path / "out")
    page = (tmp_path / "out" / "table.html").read_text()
    assert 'id="ablations"' not in page
    assert "#ablations" not in page


@pytest.mark.latex
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex here")
def test_the_latex_compiles_and_fits_the_page(folder: Path, tmp_path: Path) -> None:
    render([folder], tmp_path)
    (tmp_path / "paper.tex").write_text(
        r"\documentclass{article}\usepackage[T1]{fontenc}\usepackage{booktabs,graphicx}"
        r"\setlength{\textwidth}{7cm}\begin{document}\input{table}\end{document}"
    )
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, encoding="latin-1")
    assert done.returncode == 0, done.stdout[-2000:]
    wide = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt", done.stdout)]
    assert max(wide, default=0) < 50, "a table is wider than the line"


def test_the_latex_balances_and_escapes(folder: Path, tmp_path: Path) -> None:
    render([folder], tmp_path / "out")
    text = (tmp_path / "out" / "table.tex").read_text()
    bare = re.sub(r"\\[{}\\%&_#$]", "", text)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    stack: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    assert bare.count("$") % 2 == 0
    assert set(re.findall(r"[^\x00-\x7f]", text)) <= set("éè")
    body = "\n".join(line for line in bare.splitlines() if not line.startswith(("%", r"\providecommand")))
    assert "_" not in body
    assert "#" not in body
    assert "%" not in body
    # Every line of a table has as many cells as the table has columns.
    ablation = text.split(r"\begin{table}")[3]
    rows = [line for line in ablation.splitlines() if line.endswith(r" \\") and r"\multicolumn" not in line]
    assert {len(re.split(r"(?<!\\) & ", row)) for row in rows} == {5}
    assert r"    {[}R] \& SFDDM & " in ablation
    verdicts = latex_cells(text, 3)
    assert any("at least 0.7" in cell or "claimed" in cell for cells in verdicts.values() for cell in cells)
    for claim in load_claims():
        if claim.paper.startswith("SFDDM"):
            assert claim.statement.replace("%", r"\%").replace("é", "é") in text


def test_every_claim_says_how_it_is_tested() -> None:
    told = {claim.id: claim.test.describe() for claim in load_claims()}
    assert told["sfddm-below-ddim"] == (
        "Fréchet distance of sfddm against ddim at the same steps on the same indices of the teacher; claimed: lower"
    )
    assert told["sfddm-one-fold"] == "Number of trainings of the rows of the method sfddm; claimed: 1"
    assert told["sfddm-fewer-folds"] == "Number of trainings of sfddm; claimed: fewer than progressive"
    assert all(text and not text.endswith(".") for text in told.values())
