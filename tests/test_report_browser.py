"""The page in a real browser: it fits the screen at four widths, its pictures load, and nothing else is asked for.

Skipped without chromium.
"""

import html
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from test_report_runs import make_runs, make_spec

from sfddm.report.collect import collect
from sfddm.report.render import render

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = (320, 390, 768, 1280)
# Variants give the page its ablations, which become cards on a phone: a variant's three figures stay on the screen.
METHODS = {
    "teacher": {"reference_steps": 32},
    "ddim": {},
    "ddim-released": {"method": "ddim", "index_set": "uniform-released", "title": "DDIM, released alignment"},
    "progressive": {"start": 32},
    "sfddm": {},
    "sfddm-l1": {"method": "sfddm", "norm": "l1", "title": "SFDDM with a title that takes more than one line"},
}
PROBE = """<script>addEventListener("load", () => {
  const page = document.documentElement;
  const pictures = [...document.images].every(image => image.naturalWidth > 0);
  const drawn = [...document.querySelectorAll("svg")].every(plot => plot.getBoundingClientRect().height > 100);
  const figures = [...document.querySelectorAll(".ablation td[data-label]")];
  const seen = innerWidth > 640 || figures.every(cell => cell.getBoundingClientRect().right <= innerWidth);
  const asked = performance.getEntriesByType("resource").filter(entry => !entry.name.startsWith("data:")).length;
  const fits = page.scrollWidth <= page.clientWidth;
  parent.document.title += `[${innerWidth} ${fits} ${pictures} ${drawn} ${figures.length > 4 && seen} ${asked}]`;
})</script>"""


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_the_page_fits_every_screen(tmp_path: Path) -> None:
    spec = make_spec(title="A rather long title of an experiment on images", steps=[16, 8, 4], methods=METHODS)
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "collected")
    render([tmp_path / "collected"], tmp_path / "out")
    # The probe is the test's own: the page itself forbids every script by its content security policy.
    page = re.sub("<meta http-equiv[^>]*>", "", (tmp_path / "out" / "table.html").read_text())
    page = page.replace("</body>", PROBE + "</body>")
    frames = [
        f'<iframe style="width:{width}px;height:900px;border:0" srcdoc="{html.escape(page)}"></iframe>'
        for width in WIDTHS
    ]
    (tmp_path / "frames.html").write_text("<title></title>" + "".join(frames))
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000", "--dump-dom"]
    address = (tmp_path / "frames.html").as_uri()
    done = subprocess.run([*command, address], capture_output=True, text=True, timeout=60, check=True)
    title = re.search("<title>(.*?)</title>", done.stdout)
    assert title is not None
    wanted = [f"{width} true true true true 0" for width in WIDTHS]
    assert sorted(re.findall(r"\[(.*?)\]", title.group(1))) == sorted(wanted)
