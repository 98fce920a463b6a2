"""``collect``: a folder of runs becomes rows, samples and provenance. Also makes such folders for others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.report_runs import LABEL, make_runs, make_spec, only, put_json, read

from sfddm.report.collect import collect
from sfddm.runtime.errors import SfddmError


def test_rows_carry_figures_protocol_and_costs(tmp_path: Path) -> None:
    spec = make_spec()
    collect(spec, make_runs(spec, tmp_path / "runs"), tmp_path / "out")
    content = read(tmp_path / "out")
    assert content["schema"] == 1
    assert len(content["rows"]) == 2 * len(spec.rows())

    distance = {"metric": "frechet_distance"}
    progressive = only(content, method="progressive", steps=4, **distance)
    assert (progressive["value"], progressive["low"], progressive["high"]) == (80.0, 79.0, 81.0)
    assert (progressive["label"], progressive["nfe"], progressive["seed"]) == (LABEL, 4, 0)
    # 32 -> 16 -> 8 -> 4: three folds of 500 images, one student and two teacher evaluations each.
    assert (progressive["folds"], progressive["images_seen"]) == (3, 1500)
    assert progressive["network_evaluations"] == 1500 * 3
    assert progressive["train_seconds"] == pytest.approx(15.0)
    assert progressive["sample_seconds_per_image"] == pytest.approx(0.02)
    assert progressive["protocol"]["generated_images"] == 100

    ddim = only(content, method="ddim", steps=4, **distance)
    assert (ddim["folds"], ddim["images_seen"], ddim["network_evaluations"]) == (0, 0, 0)
    teacher = only(content, method="teacher", **distance)
    assert (teacher["steps"], teacher["folds"], teacher["images_seen"]) == (32, 0, 1000)
    assert teacher["network_evaluations"] == 1000
    assert teacher["parameters"] == 700
    assert only(content, method="sfddm", steps=16, metric="recall")["low"] is None


def test_the_size_that_the_sampling_states_is_the_one_shown(tmp_path: Path) -> None:
    spec = make_spec()
    runs = make_runs(spec, tmp_path / "runs")
    path = runs / "seed-0" / "ddim" / "steps-4" / "samples.json"
    put_json(path, json.loads(path.read_text()) | {"parameters": 321})
    collect(spec, runs, tmp_path / "out")
    found = only(read(tmp_path / "out"), method="ddim", steps=4, metric="recall")
    assert found["parameters"] == 321


def test_floor_provenance_and_samples(tmp_path: Path) -> None:
    spec = make_spec(seeds=[0, 3])
    runs = make_runs(spec, tmp_path / "runs")
    collect(spec, runs, tmp_path / "out")
    content = read(tmp_path / "out")
    assert {(row["method"], row["role"], row["steps"]) for row in content["floor"]} == {("real", "real", None)}
    provenance = content["provenance"]
    assert provenance["spec"] == spec.model_dump(mode="json")
    assert provenance["spec_digest"] == spec.digest
    assert provenance["notes"] == ["A note of the spec."]
    assert (provenance["commit"], provenance["python"], provenance["hardware"]) == (
        "c0ffee",
        "3.12.1",
        "2 cores",
    )
    assert {row["seed"] for row in content["rows"]} == {0, 3}

    with np.load(tmp_path / "out" / "samples.npz", allow_pickle=False) as samples:
        assert set(samples.files) == {f"{row}/{steps}/{seed}" for row, steps in spec.rows() for seed in (0, 3)} | {
            "real"
        }
        whole = np.load(runs / "seed-3" / "sfddm" / "steps-4" / "samples.npy")
        assert samples["sfddm/4/3"].dtype == np.uint8
        np.testing.assert_array_equal(samples["sfddm/4/3"], whole[:64])
        assert samples["real"].shape == (64, 8, 8, 1)


@pytest.mark.parametrize(
    ("missing", "verb"),
    [
        ("seed-0/ddim/steps-4/score.json", "evaluate"),
        ("seed-0/ddim/steps-4/samples.json", "sample"),
        ("seed-0/ddim/steps-4/samples.npy", "sample"),
        ("seed-0/progressive/fold-8/card.json", "distill"),
        ("seed-0/teacher/model/card.json", "train"),
        ("reference/score.json", "reference"),
        ("data/train/images.npy", "fetch"),
    ],
)
def test_a_missing_file_is_named_with_its_verb(tmp_path: Path, missing: str, verb: str) -> None:
    spec = make_spec()
    runs = make_runs(spec, tmp_path / "runs")
    (runs / missing).unlink()
    with pytest.raises(SfddmError, match=f"{missing}: no such file; `sfddm {verb}` writes it"):
        collect(spec, runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bad", ["NaN", "Infinity", '"12"x', "null"])
def test_a_figure_that_is_no_number_is_refused(tmp_path: Path, bad: str) -> None:
    spec = make_spec()
    runs = make_runs(spec, tmp_path / "runs", {("ddim", 4, 0): 12345.0})
    score = runs / "seed-0" / "ddim" / "steps-4" / "score.json"
    score.write_text(score.read_text().replace("12345.0", bad))
    with pytest.raises(SfddmError, match=r"ddim/steps-4/score\.json: "):
        collect(spec, runs, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("images", "sentence"),
    [
        (np.zeros((99, 8, 8, 1), np.uint8), "holds 99 images"),
        (np.zeros((100, 8, 8, 1), np.float32), "uint8"),
        (np.zeros((100, 8, 8), np.uint8), "shape"),
    ],
)
def test_samples_that_do_not_fit_are_refused(tmp_path: Path, images: Any, sentence: str) -> None:
    spec = make_spec()
    runs = make_runs(spec, tmp_path / "runs")
    np.save(runs / "seed-0" / "sfddm" / "steps-4" / "samples.npy", images)
    with pytest.raises(SfddmError, match=sentence):
        collect(spec, runs, tmp_path / "out")


def test_collecting_twice_gives_the_same_bytes_and_spares_other_files(tmp_path: Path) -> None:
    spec = make_spec()
    runs = make_runs(spec, tmp_path / "runs")
    out = tmp_path / "out"
    put_json(out / "other.json", 1)
    collect(spec, runs, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    collect(spec, runs, out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert set(before) == {"metrics.json", "samples.npz", "other.json", ".sfddm-outputs"}
