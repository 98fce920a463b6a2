"""Reference and score on real digits, and the extractors behind them."""

from __future__ import annotations

import json
from urllib.error import URLError

import numpy as np
import pytest
from support.score_specs import SAMPLES, make_spec

from sfddm.data.store import write_store
from sfddm.evaluation.figures import label_of
from sfddm.evaluation.reference import load_reference, write_reference
from sfddm.evaluation.score import score
from sfddm.evaluation.spec import EvaluationSpec
from sfddm.extractors.extract import EXTRACTORS, extract_features, find_weights, make_extractor
from sfddm.runtime.errors import SfddmError


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
    write_reference(make_spec(reference_images=120, metrics=("precision",)), data, folder)
    return folder


def values_of(path):
    return {row["metric"]: row["value"] for row in json.loads(path.read_text())["rows"]}


def save(path, images):
    np.save(path, images)
    return path


def test_score_ranks_real_images_before_noisy_ones_and_says_how(tmp_path, digits, reference):
    spec = make_spec(reference_images=120)
    noise = np.random.default_rng(0).integers(0, 90, digits.shape)
    noisy = np.clip(digits.astype(int) + noise, 0, 255).astype(np.uint8)
    score(spec, save(tmp_path / "noisy.npy", noisy), reference, tmp_path / "noisy.json")
    score(spec, save(tmp_path / "real.npy", digits), reference, tmp_path / "real.json")
    noisy_figures, real_figures = values_of(tmp_path / "noisy.json"), values_of(tmp_path / "real.json")
    assert noisy_figures["frechet_distance"] > 1.5 * real_figures["frechet_distance"] > 0
    assert noisy_figures["kid"] > real_figures["kid"] + 0.01
    assert noisy_figures["precision"] < real_figures["precision"]
    written = json.loads((tmp_path / "noisy.json").read_text())
    assert written["schema"] == 1
    assert [row["metric"] for row in written["rows"]] == ["frechet_distance", "kid", "precision", "recall"]
    assert all(row["low"] <= row["value"] <= row["high"] for row in written["rows"])
    assert written["rows"][0]["label"] == "FD EfficientNet-Lite0"
    protocol = written["protocol"]
    assert (protocol["generated_images"], protocol["reference_images"]) == (SAMPLES, 120)
    assert protocol["extractor_sha256"].startswith("57934424")
    assert (protocol["sampling_seed"], protocol["data_label"]) == (7, "digits 8x8")
    assert protocol["interval"]["blocks"] == 3
    assert len(protocol["data_digest"]) == 64


def test_reference_holds_the_real_images_features_and_a_floor_from_others(data, digits, reference):
    statistics, ruler = load_reference(reference)
    spec = make_spec(reference_images=120)
    every = extract_features(digits, spec.evaluation)["1280"]
    nearest = np.abs(statistics.features[:, None] - every[None]).max(axis=2)
    chosen = nearest.argmin(axis=1)
    assert nearest.min(axis=1).max() < 1e-4
    assert len(set(chosen)) == 120
    np.testing.assert_allclose(statistics.root @ statistics.root, statistics.covariance, atol=1e-9)
    assert ruler["reference_selection"] == "drawn once, with a fixed seed"
    floor = json.loads((reference / "score.json").read_text())
    assert floor["protocol"]["kind"] == "real images against other real images of the same split"
    assert (floor["protocol"]["generated_images"], floor["protocol"]["reference_images"]) == (SAMPLES, 120)
    # Other images, not the reference's own: those would have a precision of 1.
    assert 0.3 < values_of(reference / "score.json")["precision"] < 1


def test_without_other_images_the_floor_is_between_two_halves(tmp_path, data):
    write_reference(make_spec(metrics=("kid",)), data, tmp_path)
    assert len(load_reference(tmp_path)[0].features) == 200
    protocol = json.loads((tmp_path / "score.json").read_text())["protocol"]
    assert protocol["kind"] == "real images against real images: two halves of the reference"
    assert (protocol["generated_images"], protocol["reference_images"]) == (100, 100)
    assert protocol["sampling_seed"] is None
    assert -0.1 < values_of(tmp_path / "score.json")["kid"] < 0.1


def test_too_many_reference_images_are_refused(tmp_path, data):
    with pytest.raises(SfddmError, match=r"evaluation.reference_images: 201 asked for, .* has 200 images"):
        write_reference(make_spec(reference_images=201), data, tmp_path)
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
        score(make_spec(reference_images=120), path, reference, tmp_path / "score.json")
    assert not (tmp_path / "score.json").exists()


def test_missing_or_broken_files_are_named(tmp_path, digits, reference):
    spec = make_spec(reference_images=120)
    with pytest.raises(SfddmError, match=r"none\.npy: no such file"):
        score(spec, tmp_path / "none.npy", reference, tmp_path / "score.json")
    whole = save(tmp_path / "samples.npy", digits)
    (tmp_path / "cut.npy").write_bytes(whole.read_bytes()[:-100])
    with pytest.raises(SfddmError, match=r"cut\.npy: not a whole \.npy file"):
        score(spec, tmp_path / "cut.npy", reference, tmp_path / "score.json")
    with pytest.raises(SfddmError, match=r"features\.npz: no such file"):
        score(spec, whole, tmp_path, tmp_path / "score.json")
    (tmp_path / "features.npz").write_bytes((reference / "features.npz").read_bytes()[:1000])
    with pytest.raises(SfddmError, match=r"features\.npz: not a reference"):
        score(spec, whole, tmp_path, tmp_path / "score.json")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"extractor_resolution": 96}, "resize"),
        ({"neighbourhood": 5}, "neighbourhood"),
        ({"reference_images": 121}, "reference_requested"),
    ],
)
def test_a_reference_of_another_protocol_is_refused(tmp_path, digits, reference, change, key):
    path = save(tmp_path / "samples.npy", digits)
    with pytest.raises(SfddmError, match=f"made under another protocol: its {key} is"):
        score(make_spec(**({"reference_images": 120} | change)), path, reference, tmp_path / "score.json")


def test_only_inception_may_say_fid():
    assert label_of("frechet_distance", "inception-v3-compat") == "FID"
    assert label_of("kid", "inception-v3-compat") == "KID"
    for metric in ("frechet_distance", "kid", "precision", "recall"):
        label = label_of(metric, "efficientnet-lite0")
        assert "FID" not in label
        assert label.endswith("EfficientNet-Lite0")


def test_features_do_not_depend_on_the_batch_and_grey_is_grey_in_colour(digits):
    some = digits[:13]
    one = extract_features(some, EvaluationSpec(samples=13, batch_size=1))["1280"]
    many = extract_features(some, EvaluationSpec(samples=13, batch_size=8))["1280"]
    colour = extract_features(np.repeat(some, 3, axis=3), EvaluationSpec(samples=13, batch_size=8))["1280"]
    assert one.shape == (13, 1280)
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(many, colour)
    assert np.abs(one[0] - one[1]).max() > 0.1


def test_every_layer_has_the_width_of_its_name_and_the_last_is_the_classifiers_input(digits):
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    evaluation = EvaluationSpec(samples=4)
    layers = ("16", "24", "40", "80", "112", "192", "320", "672", "1152", "1280")
    features = extract_features(digits[:4], evaluation, layers=layers)
    assert {name: values.shape[1] for name, values in features.items()} == {name: int(name) for name in layers}
    plain = EfficientNet.from_name("efficientnet-lite0", image_size=64)  # as its package has it
    plain.load_state_dict(torch.load(find_weights("efficientnet-lite0"), weights_only=True))
    plain.eval()
    pixels = torch.from_numpy(digits[:4]).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).float()
    resized = torch.nn.functional.interpolate(pixels, size=(64, 64), mode="bilinear", align_corners=False)
    with torch.no_grad():
        logits = plain((resized - 127) / 128)
        ours = plain._fc(torch.from_numpy(features["1280"]))
    torch.testing.assert_close(ours, logits, rtol=1e-3, atol=1e-3)


def test_the_extractor_is_registered_with_torch_fidelity():
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    make_extractor(EvaluationSpec(samples=4), ("1280",))
    kind = FEATURE_EXTRACTORS_REGISTRY["efficientnet-lite0"]
    assert kind.get_default_feature_layer_for_metric("fid") == "1280"


def test_foreign_weights_are_refused_before_they_are_opened(tmp_path, monkeypatch):
    import torch

    def never(*_, **__):
        raise AssertionError("unpickled before its digest was checked")

    monkeypatch.setattr(torch, "load", never)
    path = tmp_path / "weights.pth"
    path.write_bytes(b"cos\nsystem\n")
    for extractor in (name for name, one in EXTRACTORS.items() if one.sha256):
        with pytest.raises(SfddmError, match=r"weights\.pth: not the weights of .*must be [0-9a-f]{64}"):
            make_extractor(EvaluationSpec(samples=4, extractor=extractor, extractor_weights=path), ("1280",))
    with pytest.raises(SfddmError, match=r"none\.pth: evaluation.extractor_weights cannot be read"):
        find_weights("efficientnet-lite0", tmp_path / "none.pth")


def test_without_a_network_inceptions_weights_are_asked_for_by_name(tmp_path, monkeypatch):
    import torch

    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    expected = r"checkpoints/weights-inception-2015-12-05-6726825d\.pth: .* cannot be downloaded .*no route to host"
    with pytest.raises(SfddmError, match=expected):
        find_weights("inception-v3-compat")


def test_inception_gives_2048_features_of_grey_images(tmp_path, monkeypatch, digits):
    """Random weights stand for the real ones, which are not shipped."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    from sfddm.extractors import extract as extractors

    path = tmp_path / "random.pth"
    torch.save({}, path)
    monkeypatch.setattr(extractors, "find_weights", lambda *_: path)
    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    torch.manual_seed(0)
    evaluation = EvaluationSpec(samples=4, extractor="inception-v3-compat", batch_size=2)
    features = extract_features(digits[:3], evaluation)
    assert {name: values.shape for name, values in features.items()} == {"2048": (3, 2048)}
    assert np.isfinite(features["2048"]).all()
