"""What a row cost, as the report shows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.pages import parse
from support.report_runs import make_runs, make_spec, put_json

from sfddm.report.collect import collect
from sfddm.report.content import read_content
from sfddm.report.costs import costs_of
from sfddm.report.render import render


def test_a_guided_step_costs_two_evaluations(tmp_path: Path) -> None:
    """100 images in 2 s: 20 ms each; 4 steps of 5 ms, whether a step asks the network once or twice."""
    spec = make_spec()
    make_runs(spec, tmp_path / "runs")
    for row, nfe in (("ddim", 8), ("sfddm", 4)):
        sampling = {"images": 100, "seconds": 2.0, "nfe": nfe, "hardware": "2 cores", "flops_per_evaluation": 3_000_000}
        put_json(tmp_path / "runs" / "seed-0" / row / "steps-4" / "samples.json", sampling)
    collect(spec, tmp_path / "runs", tmp_path / "collected")
    content = read_content([tmp_path / "collected"])
    groups = costs_of(content.frame, content.means, "frechet_distance")
    costs = {(cost.method, cost.steps): cost for group in groups for cost in group}
    guided, plain = costs["ddim", 4], costs["sfddm", 4]
    assert (guided.nfe, plain.nfe) == (8, 4)
    assert guided.step_seconds == plain.step_seconds == pytest.approx(0.005)
    assert (guided.step_flops, plain.step_flops) == (6e6, 3e6)
    assert costs["ddim", 16].step_flops is None
    render([tmp_path / "collected"], tmp_path / "out")
    page = parse((tmp_path / "out" / "table.html").read_text())
    (shown,) = page.one("section", id="costs").every("data", value="6000000.0")
    assert shown.text == "6.00"
