"""``collect``: a folder of runs becomes rows, samples and provenance. Also makes such folders for others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfddm.errors import SfddmError
from sfddm.report.collect import collect
from sfddm.spec import Spec, parse_spec

LABEL = "FD of a test"
SIZES = {"teacher": 50.0, "ddim": 90.0, "progressive": 80.0, "sfddm": 70.0}


def make_spec(name: str = "tiny", title: str = "Tiny images", **changes: Any) -> Spec:
    content: dict[str, Any] = {
        "name": name,
        "title": title,
        "notes": ["A note of the spec."],
        "data": {"source": "sklearn-digits", "label": "digits 8x8", "image_size": 8, "channels": 1},
        "schedule": {"kind": "cosine", "timesteps": 64},
        "network": {"channels": 8},
        "teacher": {"training": {"images": 1000}},
        "students": {"images": 500},
        "methods": {
            "teacher": {"reference_steps": 32},
            "ddim": {},
            "progressive": {"start": 32},
            "sfddm": {},
        },
        "steps": [16, 4],
        "seeds": [0],
        "evaluation": {"samples": 100},
    }
    return parse_spec(content | changes, "test")


def figures(value: float, width: float = 1.0, label: str = LABEL) -> list[dict[str, Any]]:
    """Two metrics, one for each direction."""
    return [
        {
            "metric": "frechet_distance",
            "label": label,
            "value": value,
            "low": value - width,
            "high": value + width,
        },
        {"metric": "recall", "label": "Recall", "value": 1 / value, "low": None, "high": None},
    ]


def card(images: int, evaluations: tuple[int, int]) -> dict[str, Any]:
    return {
        "schema": 1,
        "experiment": "tiny",
        "method": "m",
        "fold": "f",
        "seed": 0,
        "spec_digest": "ab" * 32,
        "commit": "c0ffee",
        "index_set": [0, 1],
        "prediction": "epsilon",
        "data": {"label": "digits 8x8", "sha256": "cd" * 32},
        "versions": {"python": "3.12.1", "torch": "2.0"},
        "hardware": "2 cores",
        "images_seen": images,
        "steps": 10,
        "train_seconds": images / 100,
        "student_evaluations": evaluations[0],
        "teacher_evaluations": evaluations[1],
        "parameters": 700,
    }


def put_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def put_images(path: Path, count: int, seed: int, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(seed).integers(0, 256, (count, 8, 8, channels), np.uint8))


def make_runs(spec: Spec, runs: Path, values: dict[tuple[str, int, int], float] | None = None) -> Path:
    """Write a run whose distances are ``values[row, steps, seed]``, or made up where not given."""
    protocol = {"extractor": "test", "reference": {"images": 1797}, "generated_images": 100}
    for seed in spec.seeds:
        folder = runs / f"seed-{seed}"
        put_json(folder / "teacher" / "model" / "card.json", card(1000, (1, 0)))
        for row, steps in spec.rows():
            place = folder / row / f"steps-{steps}"
            method = spec.method(row)
            value = (values or {}).get((row, steps, seed), SIZES.get(row, 60.0) + seed)
            put_json(place / "score.json", {"schema": 1, "rows": figures(value), "protocol": protocol})
            put_images(place / "samples.npy", 100, steps)
            put_json(place / "samples.json", {"images": 100, "seconds": 2.0, "nfe": steps, "hardware": "2 cores"})
            for fold in method.folds(steps):
                evaluations = (method.student_evaluations, method.teacher_evaluations)
                put_json(folder / row / f"fold-{fold.name}" / "card.json", card(500, evaluations))
    floor = protocol | {"generated_images": 50}
    put_json(runs / "reference" / "score.json", {"schema": 1, "rows": figures(93.0), "protocol": floor})
    put_images(runs / "data" / "train" / "images.npy", 70, 9)
    return runs


def read(out: Path) -> dict[str, Any]:
    return json.loads((out / "metrics.json").read_text())


def only(content: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    found = [row for row in content["rows"] if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]


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
