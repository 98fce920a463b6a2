"""Reference and score on real digits, and the extractors behind them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.score_specs import SAMPLES, make_spec

from sfddm.data.store import write_store
from sfddm.evaluation.compare import label_of
from sfddm.evaluation.metrics.base import Metric, find_metric
from sfddm.evaluation.reference import load_reference, write_reference
from sfddm.evaluation.score import score
from sfddm.evaluation.sections import Scoring
from sfddm.extractors.base import extract_features, find_extractor
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.registry import entries
from sfddm.spec import stages


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    return np.round(load_digits().images[:200] * (255 / 16)).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def data(tmp_path_factory, digits):
    folder = tmp_path_factory.mktemp("data")
    write_store(folder / "train", "digits 8x8", {}, (8, 8, 1), ((image, -1) for image in digits), count=200)
    return folder


@pytest.fixture(scope="module")
def reference(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("reference")
    write_reference(make_section(reference_images=120, metrics=("precision",)), data, folder)
    return folder


def make_section(**evaluation) -> Scoring:
    return stages.scoring(make_spec(**evaluation))


def values_of(path):
    return {row["metric"]: row["value"] for row in json.loads(path.read_text())["rows"]}


def save(path, images):
    np.save(path, images)
    return path


def test_score_ranks_real_images_before_noisy_ones_and_says_how(tmp_path, digits, reference):
    section = make_section(reference_images=120)
    noise = np.random.default_rng(0).integers(0, 90, digits.shape)
    noisy = np.clip(digits.astype(int) + noise, 0, 255).astype(np.uint8)
    score(section, save(tmp_path / "noisy.npy", noisy), reference, tmp_path / "noisy.json")
    score(section, save(tmp_path / "real.npy", digits), reference, tmp_path / "real.json")
    noisy_figures, real_figures = values_of(tmp_path / "noisy.json"), values_of(tmp_path / "real.json")
    assert noisy_figures["frechet_distance"] > 1.5 * real_figures["frechet_distance"] > 0
    assert noisy_figures["kid"] > real_figures["kid"] + 0.01
    assert noisy_figures["precision"] < real_figures["precision"]
    written = json.loads((tmp_path / "noisy.json").read_text())
    assert written["schema"] == 1
    assert [row["metric"] for row in written["rows"]] == list(make_section().metrics)
    assert all(row["low"] <= row["value"] <= row["high"] for row in written["rows"])
    assert written["rows"][0]["label"] == "FD EfficientNet-Lite0"
    protocol = written["protocol"]
    assert (protocol["generated_images"], protocol["reference_images"]) == (SAMPLES, 120)
    assert protocol["extractor_sha256"].startswith("57934424")
    assert (protocol["sampling_seed"], protocol["data_label"]) == (7, "digits 8x8")
    assert protocol["interval"]["blocks"] == 3
    assert len(protocol["data_digest"]) == 64


def test_reference_holds_the_real_images_features_and_a_floor_from_others(data, digits, reference):
    statistics, protocol = load_reference(reference)
    section = make_section(reference_images=120)
    every = extract_features(digits, section)
    nearest = np.abs(statistics.features[:, None] - every[None]).max(axis=2)
    chosen = nearest.argmin(axis=1)
    assert nearest.min(axis=1).max() < 1e-4
    assert len(set(chosen)) == 120
    np.testing.assert_allclose(statistics.root @ statistics.root, statistics.covariance, atol=1e-9)
    assert protocol["reference_selection"] == "drawn once, with a fixed seed"
    floor = json.loads((reference / "score.json").read_text())
    assert floor["protocol"]["kind"] == "real images against other real images of the same split"
    assert (floor["protocol"]["generated_images"], floor["protocol"]["reference_images"]) == (SAMPLES, 120)
    # Other images, not the reference's own: those would have a precision of 1.
    assert 0.3 < values_of(reference / "score.json")["precision"] < 1


def test_without_other_images_the_floor_is_between_two_halves(tmp_path, data):
    write_reference(make_section(metrics=("kid",)), data, tmp_path)
    assert len(load_reference(tmp_path)[0].features) == 200
    protocol = json.loads((tmp_path / "score.json").read_text())["protocol"]
    assert protocol["kind"] == "real images against real images: two halves of the reference"
    assert (protocol["generated_images"], protocol["reference_images"]) == (100, 100)
    assert protocol["sampling_seed"] is None
    assert -0.1 < values_of(tmp_path / "score.json")["kid"] < 0.1


def test_too_many_reference_images_are_refused(tmp_path, data):
    with pytest.raises(SfddmError, match=r"evaluation.reference_images: 201 asked for, .* has 200 images"):
        write_reference(make_section(reference_images=201), data, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((60, 8, 8, 1), np.float32), r"holds float32 .* must be uint8 \(N, 8, 8, 1\)"),
        (np.zeros((60, 8, 8, 3), np.uint8), r"holds uint8 \(60, 8, 8, 3\), samples must be"),
        (np.zeros((59, 8, 8, 1), np.uint8), r"holds 59 images, evaluation.samples asks for 60"),
    ],
)
def test_samples_that_cannot_be_scored(tmp_path, reference, images, message):
    path = save(tmp_path / "samples.npy", images)
    with pytest.raises(SfddmError, match=message):
        score(make_section(reference_images=120), path, reference, tmp_path / "score.json")
    assert not (tmp_path / "score.json").exists()


def test_missing_or_broken_files_are_named(tmp_path, digits, reference):
    section = make_section(reference_images=120)
    with pytest.raises(SfddmError, match=r"none\.npy: no such file"):
        score(section, tmp_path / "none.npy", reference, tmp_path / "score.json")
    whole = save(tmp_path / "samples.npy", digits)
    (tmp_path / "cut.npy").write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(SfddmError, match=r"cut\.npy: not a whole \.npy file"):
        score(section, tmp_path / "cut.npy", reference, tmp_path / "score.json")
    with pytest.raises(SfddmError, match=r"features\.npz: no such file"):
        score(section, whole, tmp_path, tmp_path / "score.json")
    (tmp_path / "features.npz").write_bytes((reference / "features.npz").read_bytes()[:1000])
    with pytest.raises(SfddmError, match=r"features\.npz: not an archive of arrays"):
        score(section, whole, tmp_path, tmp_path / "score.json")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"extractor_resolution": 96}, "resize"),
        ({"nearest_neighbours": 5}, "neighbourhood"),
        ({"reference_images": 121}, "reference_requested"),
    ],
)
def test_a_reference_of_another_protocol_is_refused(tmp_path, digits, reference, change, key):
    path = save(tmp_path / "samples.npy", digits)
    with pytest.raises(SfddmError, match=f"made under another protocol: its {key} is"):
        score(make_section(**({"reference_images": 120} | change)), path, reference, tmp_path / "score.json")


def test_only_inception_may_say_fid():
    inception, efficientnet = find_extractor("inception-v3-compat"), find_extractor("efficientnet-lite0")
    assert label_of(find_metric("frechet_distance"), inception) == "FID"
    assert label_of(find_metric("kid"), inception) == "KID"
    for metric in entries("sfddm.evaluation.metrics", Metric):
        label = label_of(find_metric(metric), efficientnet)
        assert "FID" not in label
        assert label.endswith("EfficientNet-Lite0")
