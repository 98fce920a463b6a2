"""The page in a real browser: it fits the screen at four widths, its pictures load, and nothing else is asked for.

Skipped without chromium.
"""

import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.point_runs import collected as collected_points
from support.report_runs import make_runs, make_spec

from sfddm.report.collect import collect
from sfddm.report.content import read_content
from sfddm.report.render import render, render_html

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.browser, pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")]
WIDTHS = (320, 390, 768, 1280)
# Variants give the page its ablations, which become cards on a phone: a variant's three figures stay on the screen.
METHODS = {
    "teacher": {"reference_steps": 32},
    "ddim": {},
    "ddim-released": {"method": "ddim", "index_set": "uniform-released", "title": "DDIM, released alignment"},
    "progressive": {"start": 32},
    "sfddm": {"budgets": [1, 3, 9]},
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


def browse(folder: Path, *arguments: str) -> str:
    """Run the browser without a window; return what it prints."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    command += [f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def test_points_are_seen_beside_the_plots(tmp_path: Path) -> None:
    """In pixels: a style of another picture on the page must not make them invisible."""
    content = read_content([collected_points(tmp_path)], tmp_path / "none")
    page = render_html(content)
    assert 'class="plot"' in page, "the plots whose style could interfere"
    # Only the panels stay, so that they are at the top of the picture.
    alone = "section:not(#samples) { display: none } .panels path { stroke: #ff00ff !important; opacity: 1 !important }"
    (tmp_path / "page.html").write_text(page.replace("</style>", f"{alone}</style>", 1))
    picture = tmp_path / "page.png"
    browse(tmp_path, f"--screenshot={picture}", "--window-size=1280,1200", (tmp_path / "page.html").as_uri())
    pixels = np.asarray(Image.open(picture).convert("RGB")).astype(int)
    assert int(((pixels[..., 0] > 200) & (pixels[..., 1] < 100) & (pixels[..., 2] > 200)).sum()) > 2000


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
    done = browse(tmp_path, "--virtual-time-budget=5000", "--dump-dom", (tmp_path / "frames.html").as_uri())
    title = re.search("<title>(.*?)</title>", done)
    assert title is not None
    wanted = [f"{width} true true true true 0" for width in WIDTHS]
    assert sorted(re.findall(r"\[(.*?)\]", title.group(1))) == sorted(wanted)
