"""InceptionV3 as in TensorFlow 1.x, by torch-fidelity: the extractor behind every published FID."""

from __future__ import annotations

from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING

from sfddm.extractors.base import NetworkExtractor
from sfddm.extractors.spec import Extraction
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.torchvision_operators import declare_missing_operators

if TYPE_CHECKING:
    from torch import Tensor


class InceptionV3(NetworkExtractor):
    """Features of InceptionV3, each layer named by its width; ``"2048"`` is the pooled vector."""

    name = "inception-v3-compat"
    title = "InceptionV3"
    layer = "2048"
    resolution = 299
    resizing = "299x299, bilinear as in TensorFlow 1.x (inside the extractor)"
    is_inception = True
    narrow_layers = ("192", "768")
    sha256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"
    file = "weights-inception-2015-12-05-6726825d.pth"
    packages = ("torch-fidelity", "torchvision")

    def __init__(self, extraction: Extraction, layers: Sequence[str], device: str = "cpu") -> None:
        super().__init__(extraction, layers, device)
        weights = self.find_weights(extraction.extractor_weights)
        declare_missing_operators()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Network

        self.network = Network(self.name, list(layers), feature_extractor_weights_path=str(weights)).to(device)

    @classmethod
    def own_weights(cls) -> Path:
        """Return the file in torch.hub's cache, where a first use downloads it to."""
        import torch

        path = Path(torch.hub.get_dir()) / "checkpoints" / cls.file
        if path.exists():
            return path
        declare_missing_operators()
        from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(URL_INCEPTION_V3, str(path), hash_prefix=cls.sha256, progress=False)
        except (OSError, HTTPException, RuntimeError) as error:
            raise SfddmError(
                f"{path}: the weights of the extractor {cls.name} are not there and cannot be downloaded "
                f"({error}); put {cls.file} (sha256 {cls.sha256}) there, or name your copy in "
                "evaluation.extractor_weights"
            ) from None
        return path

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the layers' features."""
        return dict(zip(self.layers, self.network(images), strict=True))
