"""Memorisation: copies of training images, held-out images, and who is nearest to whom."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.score_specs import SAMPLES, make_spec

from sfddm.data.store import write_store
from sfddm.evaluation.measurements.base import Inputs, write_measurement
from sfddm.evaluation.measurements.memorisation import (
    LABELS,
    Memorisation,
    distances_among,
    memorisation_rows,
    nearest_distances,
)
from sfddm.evaluation.reference import write_reference
from sfddm.evaluation.sections import Samples
from sfddm.runtime.errors import SfddmError
from sfddm.spec import stages

TRAINING = 400


def section(samples: int = 200, blocks: int = 5) -> Samples:
    shape = {"image_size": 8, "channels": 1}
    return Samples(data_label="x", seed=0, confidence=0.95, samples=samples, blocks=blocks, **shape)


def clouds(*sizes: int, width: int = 8) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [(5 + random.standard_normal((size, width))).astype(np.float32) for size in sizes]


def figures(generated: np.ndarray, training: np.ndarray, held_out: np.ndarray) -> dict[str, dict[str, float]]:
    distances = nearest_distances(generated, training), nearest_distances(held_out, training)
    return {row.metric: vars(row) for row in memorisation_rows(*distances, section(len(generated)))}


def test_copies_of_training_images_have_ratio_0_and_share_1() -> None:
    training, held_out = clouds(TRAINING, 200)
    found = figures(training[:200], training, held_out)
    assert list(found) == list(LABELS)
    for metric, value in (("nearest_training", 0.0), ("nearest_training_ratio", 0.0), ("nearer_than_held_out", 1.0)):
        assert (found[metric]["value"], found[metric]["low"], found[metric]["high"]) == (value, value, value)


def test_other_images_of_the_distribution_have_a_ratio_of_about_1() -> None:
    training, held_out, generated = clouds(TRAINING, 1000, 1000)
    found = figures(generated, training, held_out)
    assert found["nearest_training_ratio"]["value"] == pytest.approx(1.0, abs=0.05)
    assert found["nearest_training_ratio"]["low"] < 1 < found["nearest_training_ratio"]["high"]
    assert found["nearer_than_held_out"]["value"] < 0.03
    same = figures(held_out, training, held_out)
    assert same["nearest_training_ratio"]["value"] == 1.0
    assert same["nearer_than_held_out"]["value"] == 0.01


def test_it_looks_from_generated_to_training_images_and_not_back() -> None:
    training, held_out = clouds(TRAINING, 200)
    one = np.repeat(training[:1], 200, axis=0)  # all generated images are one copy; hardly a training image is near it
    assert figures(one, training, held_out)["nearest_training_ratio"]["value"] == 0.0
    assert np.median(nearest_distances(training, one)) > 1
    far = figures(held_out + 3, training, held_out)["nearest_training_ratio"]
    assert far["low"] > 1.5  # 1 over it where generated and held-out images change places


def test_a_few_copies_show_in_the_share_and_not_in_the_median() -> None:
    training, held_out, generated = clouds(TRAINING, 1000, 200)
    generated[::10] = training[:20]
    found = figures(generated, training, held_out)
    assert found["nearest_training_ratio"]["value"] > 0.9
    assert 0.1 <= found["nearer_than_held_out"]["value"] < 0.14
    assert found["nearer_than_held_out"]["low"] > 0.05


def test_distances_are_those_of_brute_force() -> None:
    training, generated = clouds(60, 40)
    apart = np.linalg.norm(generated[:, None].astype(float) - training[None], axis=2)
    np.testing.assert_allclose(nearest_distances(generated, training), apart.min(axis=1), rtol=1e-12)
    among = np.linalg.norm(training[:, None].astype(float) - training[None], axis=2)
    np.fill_diagonal(among, np.inf)
    np.testing.assert_allclose(distances_among(training), among.min(axis=1), rtol=1e-9)


def test_training_images_among_each_other_are_as_far_as_held_out_ones() -> None:
    training, held_out = clouds(2000, 2000)
    among, beside = distances_among(training), nearest_distances(held_out, training)
    assert np.median(among) == pytest.approx(np.median(beside), rel=0.03)
    assert np.quantile(among, 0.01) == pytest.approx(np.quantile(beside, 0.01), rel=0.1)


def test_held_out_images_that_are_copies_are_refused() -> None:
    training, _ = clouds(TRAINING, 1)
    with pytest.raises(SfddmError, match="memorisation needs held-out images that are not copies"):
        figures(training[:200], training, training[:100])


@pytest.fixture
def digits() -> np.ndarray:
    from sklearn.datasets import load_digits

    return np.round(load_digits().images[:260] * (255 / 16)).astype(np.uint8)[..., None]


def put_store(folder: Path, images: np.ndarray) -> None:
    write_store(folder, "digits 8x8", {}, (8, 8, 1), ((image, -1) for image in images), count=len(images))


def measured(place: Path, images: np.ndarray, **evaluation: object) -> dict[str, object]:
    """Measure images against the stores in ``place/data``, as the verb does; return the file and its rows by metric."""
    spec = make_spec(metrics=["precision"], **evaluation)
    write_reference(stages.scoring(spec), place / "data", place / "reference")
    np.save(place / "samples.npy", images)
    given = {"samples": place / "samples.npy", "reference": place / "reference", "data": place / "data"}
    out = place / "memorisation.json"
    write_measurement(Memorisation, Inputs(stages.measurement(spec, "memorisation", "ddim", 4), **given), out)
    with np.load(place / "memorisation.npz") as arrays:
        assert arrays["distance"].shape == (SAMPLES,)
    written = json.loads(out.read_text())
    return written | {row["metric"]: row["value"] for row in written["rows"]}


def test_with_a_test_split_held_out_images_are_those(tmp_path: Path, digits: np.ndarray) -> None:
    put_store(tmp_path / "data" / "train", digits[:150])
    put_store(tmp_path / "data" / "test", digits[150:])
    # The features of the training images are taken out anew, or are the reference's.
    for evaluation in ({"reference_images": 100}, {}):
        copies = measured(tmp_path, digits[:SAMPLES], **evaluation)
        assert copies["nearest_training_ratio"] < 1e-4
        assert copies["nearer_than_held_out"] == 1.0
    protocol = copies["protocol"]
    assert protocol["control"] == "images of the split test, which were not trained on"
    assert (protocol["training_images"], protocol["held_out_images"], protocol["generated_images"]) == (150, 60, 60)
    held_out = measured(tmp_path, digits[150 : 150 + SAMPLES], reference_split="test")
    assert held_out["nearest_training_ratio"] == pytest.approx(1.0, abs=0.15)
    assert held_out["nearer_than_held_out"] < 0.1


def test_without_one_the_control_is_each_training_image_beside_the_others(tmp_path: Path, digits: np.ndarray) -> None:
    put_store(tmp_path / "data" / "train", digits[:200])
    found = measured(tmp_path, digits[200:])
    assert found["protocol"]["control"].endswith("the store has no held-out images")
    assert found["protocol"]["held_out_images"] == 200
    assert found["nearest_training_ratio"] == pytest.approx(1.0, abs=0.15)
    put_store(tmp_path / "other" / "train", digits[:199])
    given = {"samples": tmp_path / "samples.npy", "reference": tmp_path / "reference", "data": tmp_path / "other"}
    section = stages.measurement(make_spec(), "memorisation", "ddim", 4)
    with pytest.raises(SfddmError, match="the reference was made from other images than those of"):
        Memorisation().measure(Inputs(section, **given))


def test_points_are_refused() -> None:
    change = {
        "data": {"source": "gaussians-2d", "label": "Points"},
        "network": {"kind": "mlp"},
        "evaluation": {"samples": 60, "extractor": "points", "measurements": {"memorisation": ["ddim"]}},
    }
    from sfddm.spec.load import parse_spec

    with pytest.raises(SfddmError, match=r"evaluation\.memorisation: .*points"):
        parse_spec(make_spec().model_dump(mode="json") | change, "a test")
