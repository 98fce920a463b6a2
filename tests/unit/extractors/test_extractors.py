"""The extractors on real digits: layers, weights, and one of a plug-in."""

from __future__ import annotations

from urllib.error import URLError

import numpy as np
import pytest

from sfddm.extractors.base import extract_features, extract_layers
from sfddm.extractors.efficientnet_lite0 import EfficientNetLite0
from sfddm.extractors.inception_v3_compat import InceptionV3
from sfddm.extractors.spec import Extraction
from sfddm.runtime.errors import SfddmError


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    return np.round(load_digits().images[:13] * (255 / 16)).astype(np.uint8)[..., None]


def test_features_do_not_depend_on_the_batch_and_grey_is_grey_in_colour(digits):
    some = digits[:13]
    one = extract_features(some, Extraction(batch_size=1))
    many = extract_features(some, Extraction(batch_size=8))
    colour = extract_features(np.repeat(some, 3, axis=3), Extraction(batch_size=8))
    assert one.shape == (13, 1280)
    assert one.dtype == np.float32
    np.testing.assert_allclose(one, many, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(many, colour)
    assert np.abs(one[0] - one[1]).max() > 0.1


def test_every_layer_has_the_width_of_its_name_and_the_last_is_the_classifiers_input(digits):
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    layers = ("16", "24", "40", "80", "112", "192", "320", "672", "1152", "1280")
    features = extract_layers(digits[:4], Extraction(), layers)
    assert {name: values.shape[1] for name, values in features.items()} == {name: int(name) for name in layers}
    plain = EfficientNet.from_name("efficientnet-lite0", image_size=64)  # as its package has it
    plain.load_state_dict(torch.load(EfficientNetLite0.find_weights(), weights_only=True))
    plain.eval()
    pixels = torch.from_numpy(digits[:4]).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).float()
    resized = torch.nn.functional.interpolate(pixels, size=(64, 64), mode="bilinear", align_corners=False)
    with torch.no_grad():
        logits = plain((resized - 127) / 128)
        ours = plain._fc(torch.from_numpy(features["1280"]))
    torch.testing.assert_close(ours, logits, rtol=1e-3, atol=1e-3)


def test_foreign_weights_are_refused_before_they_are_opened(tmp_path, monkeypatch):
    import torch

    def never(*_, **__):
        raise AssertionError("unpickled before its digest was checked")

    monkeypatch.setattr(torch, "load", never)
    path = tmp_path / "weights.pth"
    path.write_bytes(b"cos\nsystem\n")
    for kind in (EfficientNetLite0, InceptionV3):
        with pytest.raises(SfddmError, match=r"weights\.pth: not the weights of .*must be [0-9a-f]{64}"):
            kind(Extraction(extractor_weights=path), (kind.layer,))
    with pytest.raises(SfddmError, match=r"none\.pth: evaluation.extractor_weights cannot be read"):
        EfficientNetLite0.find_weights(tmp_path / "none.pth")


def test_without_a_network_inceptions_weights_are_asked_for_by_name(tmp_path, monkeypatch):
    import torch

    def offline(*_, **__):
        raise URLError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    expected = r"checkpoints/weights-inception-2015-12-05-6726825d\.pth: .* cannot be downloaded .*no route to host"
    with pytest.raises(SfddmError, match=expected):
        InceptionV3.find_weights()


def test_inception_gives_2048_features_of_grey_images(tmp_path, monkeypatch, digits):
    """Random weights stand for the real ones, which are not shipped."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = tmp_path / "random.pth"
    torch.save({}, path)
    monkeypatch.setattr(InceptionV3, "find_weights", lambda *_: path)
    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    torch.manual_seed(0)
    features = extract_features(digits[:3], Extraction(extractor="inception-v3-compat", batch_size=2))
    assert features.shape == (3, 2048)
    assert np.isfinite(features).all()
