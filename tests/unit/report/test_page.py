"""``render``: the page, the Markdown and LaTeX tables, and ``metrics.json`` of one or several experiments."""

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.pages import latex_cells, parse
from support.report_runs import LABEL, make_runs, make_spec

from sfddm.claims import load_published
from sfddm.report.collect import collect
from sfddm.report.formats import count_text, duration_text, latex_text, markdown_text
from sfddm.report.render import render
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import LEDGER

VALUES = {
    ("teacher", 32, 0): 10.0,
    ("ddim", 16, 0): 60.0,
    ("progressive", 16, 0): 61.5,
    ("sfddm", 16, 0): 70.0,
    ("ddim", 4, 0): 123.456,
    ("progressive", 4, 0): 77.125,
    ("sfddm", 4, 0): 123.456,
}
HOSTILE = r"""<script>alert("1")</script> </style> & $x_1$ 100% \input{a} #1 ~ ^ | `c` *b* [l](javascript:0)"""


Make = Callable[..., Path]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Return a function that collects one experiment and gives its folder."""

    def one(values: dict[tuple[str, int, int], float] | None = None, name: str = "tiny", **changes: Any) -> Path:
        spec = make_spec(name, **changes)
        collect(spec, make_runs(spec, tmp_path / name, values), tmp_path / name / "collected")
        return tmp_path / name / "collected"

    return one


def markdown_cells(text: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first Markdown table below a heading: the cells after the title, by title."""
    table = text.split(f"## {heading}", 1)[1].split("| :-- |", 1)[1].split("\n\n", 1)[0]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in table.splitlines()[1:]]
    return {row[0]: row[1:] for row in rows}


def numbers(cell: str) -> list[float]:
    """Value, low and high of a printed cell."""
    cell = re.sub(r"\\multicolumn\{\d+\}|steps.*|at \d+", "", cell)
    return [float(number) for number in re.findall(r"-?\d+\.\d+", cell)]


@pytest.mark.parametrize("form", ["md", "tex"])
def test_printed_numbers_are_those_of_the_json(make: Make, tmp_path: Path, form: str) -> None:
    render([make(VALUES)], tmp_path / "out")
    content = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert content["schema"] == 1
    assert set(content["provenance"]) == {"tiny"}
    text = (tmp_path / "out" / f"table.{form}").read_text()
    for index, (metric, heading, decimals) in enumerate(
        [("frechet_distance", "Fréchet distance", 2), ("recall", "Recall", 3)]
    ):
        cells = markdown_cells(text, heading) if form == "md" else latex_cells(text, index)
        seen = 0
        for row in content["rows"] + content["floor"]:
            if row["metric"] == metric:
                column = {16: 0, 4: 1}.get(row["steps"], -1)
                wanted = [row[key] for key in ("value", "low", "high") if row[key] is not None]
                assert numbers(cells[row["title"]][column]) == [round(value, decimals) for value in wanted]
                seen += 1
        assert seen == 8
    assert re.search(r"\bFID\b", text) is None
    assert LABEL in text


def marks(page: str, metric_table: int) -> dict[str, list[str]]:
    """For each method of one of the page's tables, the marks of its cells: "best", "close" or "none"."""
    tables = [one for one in parse(page).every("table") if "metric" in one.attributes["class"].split()]
    rows = [row for row in tables[metric_table].every("tr") if row.every("th", scope="row")]
    return {
        str(row.one("th", scope="row").children[0]): [
            mark
            for figure in row.every("span", class_="figure")
            for mark in figure.attributes["class"].split()
            if mark != "figure"
        ]
        for row in rows
    }


def test_best_and_overlapping_are_marked_and_the_teacher_is_not(make: Make, tmp_path: Path) -> None:
    # The teacher is far ahead at 16 steps, and stays outside the contest.
    methods = {"teacher": {"reference_steps": 16}, "ddim": {}, "progressive": {"start": 32}, "sfddm": {}}
    render([make(VALUES | {("teacher", 16, 0): 10.0}, methods=methods)], tmp_path / "out")
    page = (tmp_path / "out" / "table.html").read_text()
    distance = marks(page, 0)
    # 16 steps: 60 +- 1 is best, 61.5 +- 1 overlaps it, 70 +- 1 does not. 4 steps: 77 is best alone.
    assert distance["DDIM"] == ["best", "none"]
    assert distance["Progressive distillation"] == ["close", "best"]
    assert distance["SFDDM"] == ["none", "none"]
    assert distance["Teacher, DDIM, 16 of 64 steps"] == ["none"]
    assert distance["Real against real"] == ["none"]
    # Recall is 1 / distance: higher is better, and without intervals nothing is called close.
    assert marks(page, 1)["Progressive distillation"] == ["none", "best"]
    assert "best at these steps" in page
    assert "not distinguishable from the best" in page
    assert "**60.00** ★" in (tmp_path / "out" / "table.md").read_text()
    assert "61.50 ≈" in (tmp_path / "out" / "table.md").read_text()
    assert r"\textbf{60.00}" in (tmp_path / "out" / "table.tex").read_text()
    assert r"$\approx$61.50" in (tmp_path / "out" / "table.tex").read_text()


def test_equal_figures_share_the_mark_and_one_alone_gets_none(make: Make, tmp_path: Path) -> None:
    methods = {"ddim": {"steps": [16, 8]}, "sfddm": {"steps": [16]}}
    render([make({("ddim", 16, 0): 5.0, ("sfddm", 16, 0): 5.0}, methods=methods)], tmp_path / "out")
    page = (tmp_path / "out" / "table.html").read_text()
    assert marks(page, 0) == {"DDIM": ["best", "none"], "SFDDM": ["best"], "Real against real": ["none"]}
    assert 'title="not measured"' in page
    assert "—" in (tmp_path / "out" / "table.md").read_text().split("SFDDM")[1].splitlines()[0]


def test_seeds_give_their_mean_and_students_interval(make: Make, tmp_path: Path) -> None:
    values = {("ddim", 4, seed): value for seed, value in zip((0, 1, 2), (60.0, 62.0, 64.0), strict=True)}
    render([make(values, seeds=[0, 1, 2])], tmp_path / "out")
    # t_{0.975, 2} = 4.3027, s = 2, n = 3: 62 +- 4.968.
    assert "62.00 ★" not in (tmp_path / "out" / "table.md").read_text()
    assert r"62.00** ★ \[57.03, 66.97\]" in (tmp_path / "out" / "table.md").read_text()
    page = (tmp_path / "out" / "table.html").read_text()
    assert "mean over 3 training seeds; intervals (95 %" in page


def test_the_page_is_balanced_self_contained_and_accessible(make: Make, tmp_path: Path) -> None:
    folders = [make(VALUES), make(name="other", title="Other images", seeds=[0, 1])]
    render(folders, tmp_path / "out")
    text = (tmp_path / "out" / "table.html").read_text()
    page = parse(text)
    tags = [one.tag for one in page.every()]
    assert not {"link", "iframe", "object", "embed", "base"} & set(tags)
    script = "".join(page.one("script").words())
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    (policy,) = (one.attributes["content"] for one in page.every("meta") if "http-equiv" in one.attributes)
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.count("script-src") == 1
    assert not page.one("script").attributes
    assert all(not name.startswith("on") for one in page.every() for name in one.attributes)
    loaded = page.values("src", "href", "xlink:href", "srcset", "data", "action", "poster")
    assert loaded
    assert all(address.startswith(("#", "data:image/png;base64,")) for address in loaded)
    assert all(address.startswith("#") for address in re.findall(r"url\(([^)]*)\)", text))
    assert "@import" not in text
    assert len(text.encode()) < 2_000_000

    identifiers = page.values("id")
    assert len(identifiers) == len(set(identifiers))
    assert {address[1:] for address in loaded if address.startswith("#")} <= set(identifiers)
    images = [one.attributes for one in page.every("img")]
    assert len(images) == 2 * (7 + 1)
    assert all(attrs["alt"] for attrs in images)
    assert all(one.attributes.get("scope") in ("col", "row", "colgroup", "rowgroup") for one in page.every("th"))
    published = {row.data for row in load_published().values()}
    assert tags.count("table") == tags.count("caption") == 4 + len(published)
    plots = [one.attributes for one in page.every("svg")]
    assert len(plots) == 2 + 2 * 2  # distance, and cost at two numbers of steps, of two experiments
    assert all(LABEL in attrs["aria-label"] and attrs["role"] == "img" for attrs in plots)
    assert "Other images" in page.text


def test_the_head_says_how_far_the_figures_reach(make: Make, tmp_path: Path) -> None:
    """The general sentence and each spec's notes stand before the first figure."""
    folders = [make(VALUES, notes=["Toy scale.", "Small [budgets]."]), make(name="other", title="Others", notes=[])]
    render(folders, tmp_path / "out")
    page = parse((tmp_path / "out" / "table.html").read_text()).text
    head = " ".join(page.split("In ten seconds")[0].split())
    text = (tmp_path / "out" / "table.md").read_text().split("\n## ")[0]
    assert text.splitlines()[2:] == [
        "Figures and verdicts hold for these images, networks and budgets, and no further.",
        "",
        "- Tiny images: Toy scale.",
        r"- Tiny images: Small \[budgets\].",
    ]
    for sentence in ("hold for these images, networks and budgets", "Tiny images: Toy scale.", "Small [budgets]."):
        assert head.count(sentence) == 1


def test_hostile_titles_stay_text(make: Make, tmp_path: Path) -> None:
    methods = {"ddim": {"title": HOSTILE}, "sfddm": {}}
    render([make(title=HOSTILE, methods=methods, notes=[HOSTILE])], tmp_path / "out")
    text = (tmp_path / "out" / "table.html").read_text()
    page = parse(text)
    assert len(page.every("script")) == 1, "the page's own"
    assert sum(HOSTILE in words for words in page.words()) >= 4

    markdown = (tmp_path / "out" / "table.md").read_text()
    assert "<script" not in markdown
    assert markdown_text(HOSTILE) in markdown
    tables = re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE)
    widths = [{len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()} for table in tables]
    assert widths[:2] == [{6}, {6}]  # two metrics
    assert widths[2:]
    assert all(width == {6} for width in widths[2:])  # the verdicts, a table for each paper

    latex = (tmp_path / "out" / "table.tex").read_text()
    assert r"\input" not in latex
    assert latex_text(HOSTILE) in latex
    assert r"\textless{}script\textgreater{}" in latex
    assert r"\$x\_1\$ 100\% \textbackslash{}input\{a\} \#1 \textasciitilde{} \textasciicircum{}" in latex


@pytest.mark.parametrize("bad", ["NaN", "-Infinity"])
def test_a_figure_that_is_not_finite_is_refused_and_nothing_written(make: Make, tmp_path: Path, bad: str) -> None:
    folder = make(VALUES)
    path = folder / "metrics.json"
    path.write_text(path.read_text().replace("123.456", bad, 1))
    (folder / LEDGER).unlink()  # which would tell of the change first
    with pytest.raises(SfddmError, match=r"metrics\.json: rows\.\d+\.\w+: .*finite"):
        render([folder], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_mistakes_in_the_call_are_told(make: Make, tmp_path: Path) -> None:
    folder = make()
    with pytest.raises(SfddmError, match="'tiny' is already in the report"):
        render([folder, folder], tmp_path / "out")
    with pytest.raises(SfddmError, match="at least one folder"):
        render([], tmp_path / "out")
    (folder / "samples.npz").write_bytes(b"PK nothing")
    (folder / LEDGER).unlink()
    with pytest.raises(SfddmError, match=r"samples\.npz: not an archive"):
        render([folder], tmp_path / "out")
    (folder / "metrics.json").unlink()
    with pytest.raises(SfddmError, match="`sfddm collect` writes it"):
        render([folder], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_same_input_gives_the_same_bytes(make: Make, tmp_path: Path) -> None:
    folder = make(VALUES)
    for name in ("one", "two"):
        render([folder], tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_counts_and_durations_read_well() -> None:
    assert [count_text(value) for value in (0, 815, 1797, 12_345, 999_000, 4e9)] == [
        "0",
        "815",
        "1.80 k",
        "12.3 k",
        "999 k",
        "4.00 G",
    ]
    assert [duration_text(value) for value in (0, 8.44, 59.7, 125, 12_000)] == [
        "0 s",
        "8.4 s",
        "1 min 00 s",
        "2 min 05 s",
        "3 h 20 min",
    ]
    assert count_text(None) == duration_text(None) == "—"
