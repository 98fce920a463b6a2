"""What a row cost, as the report shows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sfddm.report.rows import Collected
from support.report_runs import make_runs, make_spec, put_json

from sfddm.report.collect import collect
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
    part = Collected.model_validate(json.loads((tmp_path / "collected" / "metrics.json").read_text()))
    costs = {(cost.method, cost.steps): cost for group in costs_of(part, "frechet_distance") for cost in group}
    guided, plain = costs["ddim", 4], costs["sfddm", 4]
    assert (guided.nfe, plain.nfe) == (8, 4)
    assert guided.step_seconds == plain.step_seconds == pytest.approx(0.005)
    assert (guided.step_flops, plain.step_flops) == (6e6, 3e6)
    assert costs["ddim", 16].step_flops is None
    render([tmp_path / "collected"], tmp_path / "out")
    assert '<data value="6000000.0">6.00</data>' in (tmp_path / "out" / "table.html").read_text()
