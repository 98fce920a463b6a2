"""docs/extending.md followed literally: its files as plug-ins, its lines in a spec, and the table made with them."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.checkout import ROOT, ProjectCopy

pytestmark = pytest.mark.slow

PAGE = (ROOT / "docs" / "extending.md").read_text()
FILES = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", PAGE, flags=re.DOTALL))
LINES = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
INSTALLED = "ab2.py"  # as an installed distribution does it; the others are listed in SFDDM_PLUGINS
TABLE = ("snakemake", "--cores", "2", "reports/table.html", "--config", "experiments=extended")
RUN = "reports/runs/extended"
ROWS = ("ddim", "matched", "weighted", "ab2", "small")


def merged(whole: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    both = {key: merged(whole[key], part[key]) for key in whole.keys() & part.keys() if isinstance(part[key], dict)}
    return whole | part | both


class Extended(ProjectCopy):
    """A copy with the page's files beside it and an experiment, smoke at a tiny budget, with the page's lines."""

    def __init__(self, folder: Path) -> None:
        listed = [folder / self.place(name) for name in FILES if name != INSTALLED]
        super().__init__(folder, SFDDM_PLUGINS=os.pathsep.join(map(str, listed)))
        (folder / "mine").mkdir()
        for name, text in FILES.items():
            (folder / self.place(name)).write_text(text)
        distribution = folder / "mine-1.0.dist-info"
        distribution.mkdir()
        (distribution / "METADATA").write_text("Metadata-Version: 2.1\nName: mine\nVersion: 1.0\n")
        (distribution / "entry_points.txt").write_text(f"[sfddm.plugins]\nab2 = {INSTALLED.removesuffix('.py')}\n")
        self.spec = yaml.safe_load((ROOT / "params" / "smoke.yaml").read_text()) | {
            "name": "extended",
            "teacher": {"training": {"images": 128, "batch_size": 64}},
            "students": {"images": 128, "batch_size": 64},
            "methods": {"teacher": {"reference_steps": 8}, "ddim": {}},
            "steps": [4],
        }
        self.add("evaluation: {samples: 32, reference_images: 64}")

    @staticmethod
    def place(name: str) -> str:
        return name if name == INSTALLED else f"mine/{name}"

    def add(self, line: str) -> None:
        self.spec = merged(self.spec, yaml.safe_load(line))
        (self.folder / "params" / "extended.yaml").write_text(yaml.safe_dump(self.spec, sort_keys=False))

    def make_table(self) -> None:
        done = self.run(*TABLE)
        assert done.returncode == 0, done.stderr[-3000:]

    def dry_run(self) -> dict[str, int]:
        return self.planned(*TABLE[3:])

    def read(self, file: str) -> Any:
        return json.loads((self.folder / RUN / "seed-0" / file).read_text())


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Extended:
    """The run with every line of the page."""
    copy = Extended(tmp_path_factory.mktemp("extended"))
    for line in LINES:
        copy.add(line)
    copy.make_table()
    return copy


def test_every_addition_is_one_file_and_one_line() -> None:
    assert len(FILES) == len(LINES) == PAGE.count("```python") == 8
    assert all(line.count("\n") == 1 for line in LINES)


def test_rows_of_plug_ins_are_scored_and_stand_in_the_table(extended: Extended) -> None:
    for row in ROWS:
        assert len(extended.read(f"{row}/steps-4/score.json")["rows"]) == 2
    page = (extended.folder / "reports" / "table.html").read_text()
    for title in ("Output matching", "Learned weights", "AB2", "Small student", "Stripes"):
        assert title in page
    # The sampler's evaluations are counted, and it goes another way than DDIM from the same noise.
    images = [(extended.folder / RUN / f"seed-0/{row}/steps-4/samples.npy").read_bytes() for row in ("ddim", "ab2")]
    assert extended.read("ab2/steps-4/samples.json")["nfe"] == 4
    assert images[0] != images[1]
    assert (extended.folder / RUN / "seed-0/weighted/fold-4/auxiliary.safetensors").is_file()


@pytest.mark.parametrize(
    ("edits", "jobs"),
    [
        # Both rows of the method, "matched" and "small".
        (
            {"matched.py": ("x0).mean()\n", "x0).mean() * 2\n")},
            {"distill": 2, "sample": 2, "evaluate": 2, "further_evaluate": 2, "measure": 1},
        ),
        (
            {
                "weighted.py": ("(error * (-u)", "(2 * error * (-u)"),
                "ab2.py": ("1.5 * eps - 0.5 * before", "2 * eps - before"),
                "convolutions.py": ("silu(hidden)", "hidden"),
            },
            {"distill": 2, "sample": 3, "evaluate": 3, "further_evaluate": 3},
        ),
        (
            {"mean_shift.py": ("float(", "2 * float(")},
            {"reference": 1, "evaluate": len(ROWS) + 1, "further_reference": 1, "further_evaluate": len(ROWS) + 1},
        ),
        ({"thumbnail.py": ("means.re", "-means.re")}, {"reference": 1, "evaluate": len(ROWS) + 1, "measure": 2}),
        (
            {name: ("from __future__", "# A comment.\nfrom __future__") for name in FILES}
            | {"matched.py": ('"""Output matching: the', '"""Other words: the')},
            {},
        ),
    ],
    ids=["loss", "loss, sampler and network", "metric", "extractor", "comments and docstring"],
)
def test_an_edit_of_a_plug_in_reruns_what_depends_on_it(
    extended: Extended, edits: dict[str, tuple[str, str]], jobs: dict[str, int]
) -> None:
    try:
        for name, (old, new) in edits.items():
            extended.edit(extended.place(name), old, new)
        assert extended.dry_run() == (jobs | {"collect": 1, "report": 1} if jobs else {})
    finally:
        for name in edits:
            (extended.folder / extended.place(name)).write_text(FILES[name])


def test_without_the_plug_in_the_spec_is_refused_in_one_sentence(extended: Extended) -> None:
    kept, extended.variables = extended.variables, {}
    try:
        done = extended.run("sfddm", "spec", "check", "params/extended.yaml")
    finally:
        extended.variables = kept
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "stripes" in done.stderr


def test_metric_extractor_and_measurement_of_plug_ins(extended: Extended) -> None:
    for row in ROWS:
        score = extended.read(f"{row}/steps-4/score.json")
        labels = {figure["metric"]: figure["label"] for figure in score["rows"]}
        assert labels == {"frechet_distance": "FD thumbnails", "mean_shift": "Mean shift thumbnails"}
        assert score["protocol"]["extractor"] == "thumbnail"
        further = extended.read(f"{row}/steps-4/score-efficientnet-lite0.json")
        assert further["protocol"]["extractor"] == "efficientnet-lite0"
        figures = {figure["metric"]: figure for figure in score["rows"]}
        assert figures["mean_shift"]["low"] <= figures["mean_shift"]["value"] <= figures["mean_shift"]["high"]
        assert figures["mean_shift"]["value"] ** 2 <= figures["frechet_distance"]["value"]
    measured = [row for row in ROWS if (extended.folder / RUN / f"seed-0/{row}/steps-4/brightness.json").is_file()]
    assert measured == ["ddim", "matched"]
    assert 0 < extended.read("ddim/steps-4/brightness.json")["rows"][0]["value"] < 255
    page = (extended.folder / "reports" / "table.html").read_text()
    assert "Mean shift" in page
    assert "Brightness" in page
    assert "By extractor" in page
