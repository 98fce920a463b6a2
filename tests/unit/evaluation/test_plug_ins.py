"""A metric, a measurement and an extractor of one temporary file each, from the spec to the files of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from support.score_specs import make_spec
from typer.testing import CliRunner

from sfddm.cli import app
from sfddm.data.store import write_store
from sfddm.evaluation.metrics.base import Metric, find_metric
from sfddm.results.styles import style_of
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.registry import PLUGINS, entries
from sfddm.spec.dependencies import of_measurement, of_score

METRIC = """
from sfddm.evaluation.metrics.base import Metric

class Spread(Metric):
    name = "spread"
    title = "Spread"
    better = "higher"
    lowest = 0.0
    definition = "standard deviation over images, k is {k}"

    def value(self, generated, reference):
        return float(generated.std(axis=0, dtype="float64").mean())
"""
EXTRACTOR = """
import numpy as np
from sfddm.extractors.base import Extractor

class Pixels(Extractor):
    name = "pixels"
    title = "pixels"
    layer = "pixels"

    def features(self, images):
        return {"pixels": images.reshape(len(images), -1)[:, ::4].astype(np.float32) / 255}
"""
MEASUREMENT = """
from sfddm.evaluation.measurements.base import Measurement
from sfddm.results.measurements import Measured
from sfddm.results.score import Figure

class Nearness(Measurement):
    name = "nearness"
    needs = ("samples", "teacher_samples")

    def measure(self, inputs):
        apart = abs(inputs.images.astype(float) - inputs.teacher_images).mean(axis=(1, 2, 3))
        figure = Figure("apart", "Apart", float(apart.mean()))
        return Measured((figure,), {"seed": inputs.section.seed}), {"apart": apart}
"""
EVALUATION = {
    "metrics": ["spread", "kid"],
    "extractor": "pixels",
    "reference_images": 100,
    "measurements": {"nearness": ["ddim"]},
}
METHODS = {"teacher": {"reference_steps": 8}, "ddim": {}}


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    texts = {"metric": METRIC, "extractor": EXTRACTOR, "measurement": MEASUREMENT}
    files = {name: tmp_path / f"my_{name}.py" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text)
    monkeypatch.setenv(PLUGINS, ":".join(map(str, files.values())))
    return files


def spec_content() -> dict[str, Any]:
    plain = make_spec().model_dump(mode="json")
    return plain | {"methods": METHODS, "evaluation": {"samples": 60, "blocks": 3, "seed": 7} | EVALUATION}


def run(*arguments: str | Path) -> None:
    result = CliRunner().invoke(app, list(map(str, arguments)))
    assert result.exit_code == 0, (result.output, result.exception)


def test_each_runs_through_its_verb(plugins: dict[str, Path], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    real = random.integers(0, 256, (100, 8, 8, 1), np.uint8)
    write_store(tmp_path / "data" / "train", "random", {}, (8, 8, 1), ((image, -1) for image in real), count=100)
    samples = random.integers(0, 256, (2, 60, 8, 8, 1), np.uint8)
    for name, images in zip(("mine", "teacher"), samples, strict=True):
        np.save(tmp_path / f"{name}.npy", images)
    spec, mine, reference = tmp_path / "tiny.yaml", tmp_path / "mine.npy", tmp_path / "reference"
    spec.write_text(yaml.safe_dump(spec_content()))
    run("reference", spec, "--data", tmp_path / "data", "--out", reference)
    run("evaluate", spec, "--samples", mine, "--reference", reference, "--out", tmp_path / "score.json")
    score = json.loads((tmp_path / "score.json").read_text())
    spread, kid = score["rows"]
    assert (spread["label"], kid["label"]) == ("Spread pixels", "KID pixels")
    features = samples[0].reshape(60, -1)[:, ::4] / 255
    assert spread["value"] == pytest.approx(features.std(axis=0).mean(), rel=1e-6)
    # The interval is Student's over the replicates without each block.
    without = [np.delete(features, np.r_[20 * b : 20 * b + 20], axis=0).std(axis=0).mean() for b in range(3)]
    half = 4.3026527 * np.sqrt(2 / 3 * np.sum((without - np.mean(without)) ** 2))
    assert spread["high"] - spread["value"] == pytest.approx(half, rel=1e-4)
    assert score["protocol"]["settings"]["spread"] == "standard deviation over images, k is 3"
    row = ("--method", "ddim", "--steps", "4", "--out", tmp_path / "nearness.json")
    run("measure", spec, "--measurement", "nearness", *row, "--samples", mine, "--teacher-samples",
        tmp_path / "teacher.npy")  # fmt: skip
    written = json.loads((tmp_path / "nearness.json").read_text())
    apart = np.abs(samples[0].astype(float) - samples[1])
    assert written["rows"][0]["value"] == pytest.approx(apart.mean())
    assert written["protocol"] == {"seed": 7}
    with np.load(tmp_path / "nearness.npz") as arrays:
        np.testing.assert_allclose(arrays["apart"], apart.mean(axis=(1, 2, 3)))


def test_their_code_counts_where_they_are_used_and_nowhere_else(plugins: dict[str, Path]) -> None:
    spec = make_spec(**EVALUATION | {"measurements": {}})
    score, nearness = set(of_score(spec).modules), set(of_measurement(spec, "nearness", "ddim", 4).modules)
    assert {"sfddm_plugin_my_metric", "sfddm_plugin_my_extractor"} <= score
    assert {"sfddm_plugin_my_measurement", "sfddm_plugin_my_extractor"} <= nearness
    assert "sfddm_plugin_my_metric" not in nearness
    assert "sfddm_plugin_my_measurement" not in score
    assert "sfddm_plugin_my_metric" not in of_score(make_spec()).modules


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"metrics": ["fid"]}, r"evaluation\.metrics: must be one of .*frechet_distance, kid, .*; got 'fid'"),
        ({"extractor": "vgg"}, r"evaluation\.extractors: must be one of .*inception-v3-compat.*; got 'vgg'"),
        ({"measurements": {"sharpness": ["ddim"]}}, r"evaluation\.measurements: must be one of agreement.*'sharpness'"),
        ({"measurements": {"audit": ["nobody"]}}, r"evaluation\.audit: no such row under methods: nobody"),
        ({"measurements": {"agreement": ["ddim"]}}, r"evaluation\.agreement: needs a row of the method teacher"),
    ],
)
def test_a_name_that_there_is_not_is_refused_with_those_that_there_are(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SfddmError, match=sentence):
        make_spec(**change)


def test_every_metric_says_what_the_report_needs() -> None:
    for name in entries("sfddm.evaluation.metrics", Metric):
        metric = find_metric(name)
        assert metric.better in ("lower", "higher")
        assert metric.lowest < metric.highest
        assert metric.definition.format(k=3)
        assert style_of(name).better == metric.better
