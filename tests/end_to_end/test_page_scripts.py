"""The report in a real browser: the order of the page, its script, its links, the blind page.

Skipped without chromium.
"""

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.browser import BROWSER, Browser
from support.report_runs import make_runs, make_spec

from sfddm.report.collect import collect
from sfddm.report.render import render

pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")]
CLAIMS = Path(__file__).parents[2] / "params" / "claims"
METHODS = {
    "teacher": {"reference_steps": 32},
    "ddim": {},
    "ipndm": {"method": "ddim", "sampler": "ipndm", "title": "iPNDM"},
    "progressive": {"start": 32},
    "trajectory": {},
    "sfddm": {},
    "sfddm-l1": {"method": "sfddm", "norm": "l1", "title": "SFDDM, L1"},
}
VALUES = {("ddim", 16): 60.0, ("ipndm", 16): 55.0, ("progressive", 16): 61.5, ("trajectory", 16): 50.0}
#: Titles of the main table's rows in the order on the screen.
ORDER = (
    "[...document.querySelectorAll('#table tr[data-method]')]"
    ".filter(row => row.offsetParent).map(row => row.cells[0].innerText)"
)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    spec = make_spec(steps=[16, 8, 4], methods=METHODS, seeds=[0, 1])
    values = {(*place, seed): value + seed for place, value in VALUES.items() for seed in (0, 1)}
    collect(spec, make_runs(spec, folder / "runs", values), folder / "collected")
    render([folder / "collected"], folder / "out", CLAIMS)
    return folder / "out"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


def test_table_and_plot_stand_within_two_screens(report: Path, browser: Browser) -> None:
    browser.open(report / "table.html", 1200, 800)
    ends = browser.run(
        "['#table table', '#distances .plots figure']"
        ".map(one => document.querySelector(one).getBoundingClientRect().bottom)"
    )
    assert max(ends) <= 1600, ends
    assert browser.run("document.querySelector('#claims').getBoundingClientRect().top") >= max(ends)


def test_the_plot_for_the_choice_of_a_method_is_seen_at_once(report: Path, browser: Browser) -> None:
    """From its heading to its caption, in a window of 1200 by 800; on a phone it scrolls in a frame of its own."""
    browser.open(report / "table.html", 1200, 800)
    browser.run("document.querySelector('#choice').scrollIntoView({ behavior: 'instant' })")
    top = browser.run("document.querySelector('#choice h2').getBoundingClientRect().top")
    end = browser.run("document.querySelector('#choice figcaption').getBoundingClientRect().bottom")
    assert 0 <= top < end <= 800, (top, end)
    names = browser.run("[...document.querySelectorAll('#choice svg text')].map(one => one.textContent)")
    assert "trajectory" in names
    browser.open(report / "table.html", 390, 844)
    assert browser.run("document.querySelector('#choice svg').getBoundingClientRect().width") > 390


@pytest.mark.parametrize("scripts", [True, False])
def test_nothing_is_wider_than_a_phone(report: Path, browser: Browser, scripts: bool) -> None:
    browser.open(report / "table.html", 390, 844, scripts=scripts)
    browser.run("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    assert browser.run("innerWidth") == 390
    assert browser.run("document.documentElement.scrollWidth") <= 390


def test_sorting_goes_by_the_figures_and_comes_back(report: Path, browser: Browser) -> None:
    browser.open(report / "table.html")
    original = browser.run(ORDER)
    click = "document.querySelector('#table th.sorts[data-steps=\"16\"] button').click()"
    browser.run(click)
    ascending = browser.run(ORDER)
    assert ascending[:3] == ["Trajectory distillation, single fold", "iPNDM", "DDIM"]
    assert ascending != original
    browser.run(click)
    assert browser.run(ORDER) == ascending[::-1]
    browser.run(click)
    assert browser.run(ORDER) == original


@pytest.mark.parametrize("section", ["distances", "costs"])
def test_a_point_of_a_plot_tells_its_figure_and_interval(report: Path, browser: Browser, section: str) -> None:
    """What lies on top at each named point is that point, whose title the browser shows to who points at it."""
    browser.open(report / "table.html", scripts=False)
    told = browser.run(
        f"""[...document.querySelectorAll('#{section} svg g > title')].map(title => {{
          title.parentElement.scrollIntoView({{ block: 'center', behavior: 'instant' }});
          const box = title.parentElement.getBoundingClientRect();
          const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
          return [title.textContent, top.closest('g:has(> title)')?.firstElementChild.textContent];
        }})"""
    )
    assert len(told) >= 5
    # Points that nearly lie on each other cover each other; most must be free.
    assert sum(own == seen for own, seen in told) > 0.6 * len(told), told
    figures = [own for own, _ in told]
    assert any(re.fullmatch(r"iPNDM.*: 55\.50 \[.*, .*\]", one) for one in figures), figures


def choose(browser: Browser, name: str, value: str) -> None:
    browser.run(
        f"(() => {{ const one = document.querySelector('.choices [name={name}]'); one.value = '{value}';"
        "one.dispatchEvent(new Event('input', { bubbles: true })); })()"
    )


def test_filters_by_method_steps_metric_and_seed(report: Path, browser: Browser) -> None:
    browser.open(report / "table.html")
    choose(browser, "method", "ddim")
    assert "DDIM" in browser.run(ORDER)
    assert "Progressive distillation" not in browser.run(ORDER)
    choose(browser, "method", "")
    choose(browser, "steps", "8")
    heads = (
        "[...document.querySelectorAll('#table th[data-steps]')].filter(h => h.offsetParent).map(h => h.dataset.steps)"
    )
    assert browser.run(heads) == ["8"]
    choose(browser, "steps", "")
    assert browser.run(heads) == ["16", "8", "4"]
    figure = 'document.querySelector(\'#table tr[data-method="DDIM ddim"] td[data-steps="16"] data\').innerText'
    assert browser.run(figure) == "60.50"
    choose(browser, "seed", "1")
    assert browser.run(figure) == "61.00"
    choose(browser, "seed", "")
    choose(browser, "metric", "recall")
    caption = "document.querySelector('#table [data-metric]:not([hidden]) caption').innerText"
    assert "Recall" in browser.run(caption)
    # A link to a figure of the metric that was replaced brings that table back.
    name = browser.run("document.querySelector('[id^=\"cell-frechet_distance-sfddm-\"]').id")
    browser.run(f"location.hash = '{name}'")
    browser.wait(f"{caption}.includes('Fréchet distance')")


def test_pointing_at_a_figure_tells_its_interval_and_seeds(report: Path, browser: Browser) -> None:
    browser.open(report / "table.html")
    cell = 'document.querySelector(\'#table tr[data-method="DDIM ddim"] td[data-steps="16"]\')'
    browser.run(f"{cell}.scrollIntoView({{ behavior: 'instant', block: 'center', behavior: 'instant' }})")
    time.sleep(0.1)
    x, y = browser.run(
        f"(() => {{ const b = {cell}.getBoundingClientRect(); return [b.x + b.width - 30, b.y + 8]; }})()"
    )
    browser.mouse("mouseMoved", x, y)
    told = browser.run("document.querySelector('.tip:not([hidden])')?.innerText")
    assert told is not None
    assert told.startswith("DDIM, 16 steps: ")
    assert "seed 0 60.00 [59.00, 61.00]" in told
    assert browser.run("document.querySelector('.tip').getBoundingClientRect().right") <= 1200


@pytest.mark.parametrize("claim", ["sfddm-below-ddim", "ddim-reconstruction"])
def test_a_link_opens_what_is_folded(report: Path, browser: Browser, claim: str) -> None:
    """The second was not tested, so it lies in the line that folds all of these."""
    browser.open(report / "table.html")
    shown = f"document.querySelector('#claim-{claim}').checkVisibility({{ contentVisibilityAuto: true }})"
    unfolded = f"document.querySelector('#claim-{claim}').closest('details').open"
    assert not browser.run(unfolded)
    browser.run(f"document.querySelector('.strip-of-paper a[href=\"#claim-{claim}\"]').click()")
    browser.wait(unfolded)
    assert browser.run(shown)
    browser.open(report / "table.html", link=f"#claim-{claim}")
    browser.wait(unfolded)


def test_without_scripts_everything_is_shown(report: Path, browser: Browser) -> None:
    browser.open(report / "table.html", scripts=False)
    assert browser.run("document.querySelector('.choices').offsetParent === null"), "controls that would do nothing"
    assert browser.run("[...document.querySelectorAll('[data-metric]')].every(one => one.offsetParent)")
    assert browser.run("document.querySelectorAll('.tip, .sorts button').length") == 0
    # Whatever is folded is a details element, which opens without a script.
    hidden = "[...document.querySelectorAll('main *')].filter(one => !one.checkVisibility())"
    folded = f"{hidden}.filter(one => !one.closest('details, .choices, title'))"
    assert browser.run(f"{folded}.map(one => one.outerHTML.slice(0, 80))") == []


def test_print_unfolds_the_claims(report: Path, browser: Browser) -> None:
    browser.open(report / "table.html", scripts=False)
    shown = "document.querySelector('.claim .evidence').checkVisibility()"
    assert not browser.run(shown)
    browser.call("Emulation.setEmulatedMedia", media="print")
    try:
        assert browser.run(shown)
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_blind_votes_are_saved_as_a_file(report: Path, browser: Browser, tmp_path: Path) -> None:
    browser.open(report / "blind.html", 390, 844)
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    assert browser.run("document.documentElement.scrollWidth") <= 390
    browser.run("document.querySelector('form').requestSubmit()")
    ready = "document.querySelector('.judging').hidden"
    browser.wait(f"!{ready}")
    count = int(browser.run("document.querySelector('.progress').innerText").split()[-1])
    assert count == 64
    shown = browser.run("document.querySelector('canvas.left').getContext('2d').getImageData(0, 0, 8, 8).data[3]")
    assert shown == 255, "an image is drawn"
    assert "SFDDM" not in browser.run("document.querySelector('.judging').innerText")
    for k in range(count):
        browser.run(f"document.querySelector('.judging button[value={('left', 'right', 'neither')[k % 3]}]').click()")
    assert browser.run(ready), "after the last pair the outcome is told"
    assert "Undecided: 21." in browser.run("document.querySelector('.result').innerText")
    browser.run("document.querySelector('.save').click()")
    path = tmp_path / "votes-tiny.json"
    for _ in range(100):
        if path.exists():
            break
        time.sleep(0.05)
    saved = json.loads(path.read_text())
    assert saved["rows"] == ["teacher/32", "ddim/16"]
    assert sorted(vote["noise"] for vote in saved["votes"]) == list(range(64))
    assert {vote["left"] for vote in saved["votes"]} == set(saved["rows"]), "the sides are drawn by lot"
    for vote in saved["votes"]:
        assert {vote["left"], vote["right"]} == set(saved["rows"])
        assert vote["chosen"] == (None if vote["vote"] == "neither" else vote[vote["vote"]])
    chosen = [vote["chosen"] for vote in saved["votes"]]
    assert saved["counts"] == {row: chosen.count(row) for row in saved["rows"]}
