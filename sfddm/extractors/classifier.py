"""Features of a small classifier that the run trains itself, on its own labelled images (``sfddm classifier``).

Metrics ask it as the extractor ``classifier``, losses as a ``FrozenClassifier``, with gradients.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sfddm.extractors.base import Features, NetworkExtractor
from sfddm.extractors.spec import Extraction
from sfddm.results.classifier import ClassifierCard
from sfddm.results.files import read_result
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor, device, nn

CARD, WEIGHTS = "classifier.json", "weights.safetensors"
FEATURES = 128
_FIRST_WIDTH, _LARGEST_WIDTH = 32, 128
#: Of the network: ReLU, flattening, a linear map, ReLU, the last linear map.
_LAYERS_AFTER_MAP = 5


class Classifier(NetworkExtractor):
    """The layer before the last of a convolutional network that tells the classes of the real images apart."""

    name = "classifier"
    title = "classifier of these classes"
    layer = str(FEATURES)
    resizing = "none: the images as they are"
    trained = True
    file = WEIGHTS

    def __init__(self, extraction: Extraction, layers: Sequence[str], device: str = "cpu") -> None:
        super().__init__(extraction, layers, device)
        network, self.card = _read_network(self.find_weights(extraction.extractor_weights))
        self.network = network[:-1].requires_grad_(False).eval().to(device)

    @classmethod
    def own_weights(cls) -> Path:
        """Refuse: only the run has them."""
        raise SfddmError(f"extractor {cls.name}: needs --extractor-weights, the folder that `sfddm {cls.name}` wrote")

    @classmethod
    def find_weights(cls, chosen: Path | None = None) -> Path:
        """Return the file of weights in the folder ``chosen``, its sha256 checked.

        Raises:
            SfddmError: no folder was given, a file in it is missing, or the weights are not those of its card.
        """
        folder = cls.own_weights() if chosen is None else chosen
        path, expected = folder / WEIGHTS, _read_card(folder).weights_sha256
        if not path.is_file():
            raise SfddmError(f"{path}: no such file; `sfddm {cls.name}` writes it")
        if (found := hashlib.sha256(path.read_bytes()).hexdigest()) != expected:
            raise SfddmError(f"{path}: its sha256 is {found}, but {CARD} says {expected}; train it again")
        return path

    @classmethod
    def identity(cls, weights: Path | None) -> dict[str, Any]:
        """Return what a protocol says of the network: its weights, what it was trained on, and how good it is."""
        card = _read_card(cls.find_weights(weights).parent)
        return {
            "extractor_sha256": card.weights_sha256,
            "extractor_trained_on": card.data.sha256,
            "extractor_accuracy": card.accuracy,
        }

    def features(self, images: NDArray[np.uint8]) -> dict[str, Features]:
        """Return the features of (B, H, W, C) images of the shape that it was trained on."""
        channels, *sides = self.card.shape
        if images.shape[1:] != (*sides, channels):
            given = self.extraction.extractor_weights
            raise SfddmError(f"{given}: is for (H, W, C) {(*sides, channels)}, the images are {images.shape[1:]}")
        return super().features(images)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the features of (B, 3, H, W) images; of grey ones the channels are equal."""
        return {self.layer: self.network(normalised(images[:, : self.card.shape[0]]))}


class Answer(NamedTuple):
    """What a classifier says of B images.

    Attributes:
        map: (B, D, h, w) of the last convolution, after its normalisation and before its ReLU; h and w are 2 at most.
        features: (B, 128) the layer before the last.
        scores: (B, classes) the logarithms of the classes' probabilities, but for a constant.
    """

    map: Tensor
    features: Tensor
    scores: Tensor


class FrozenClassifier:
    """A classifier as a loss asks it: gradients pass through it to the images, and nothing in it changes.

    Args:
        network: of ``make_network``.
    """

    def __init__(self, network: nn.Sequential) -> None:
        self._network = network.eval().requires_grad_(False)

    def __call__(self, images: Tensor) -> Answer:
        """Return what it says of (B, C, H, W) float32 images in [-1, 1]."""
        of_map = self._network[:-_LAYERS_AFTER_MAP](images)
        features = self._network[-_LAYERS_AFTER_MAP:-1](of_map)
        return Answer(of_map, features, self._network[-1](features))


def load_classifier(folder: Path, device: device) -> tuple[FrozenClassifier, ClassifierCard]:
    """Read the folder that ``sfddm classifier`` wrote.

    Raises:
        SfddmError: a file in it is missing, or the weights are not those of its card.
    """
    network, card = _read_network(Classifier.find_weights(folder))
    return FrozenClassifier(network.to(device)), card


def normalised(images: Tensor) -> Tensor:
    """Return (B, C, H, W) uint8 images as float32 in [-1, 1]."""
    return images.float().div(127.5).sub(1.0)


def make_network(shape: tuple[int, int, int], classes: int) -> nn.Sequential:
    """Return a network from (B, C, H, W) to (B, classes): convolutions that halve the side until it is 2 at most."""
    from torch import nn

    channels, side, _ = shape
    widths = _widths(side)
    width = widths[0]
    layers = [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    for wider in widths[1:]:
        layers += [nn.Conv2d(width, wider, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(wider), nn.ReLU()]
        width, side = wider, (side + 1) // 2
    layers += [nn.Flatten(), nn.Linear(width * side * side, FEATURES), nn.ReLU(), nn.Linear(FEATURES, classes)]
    return nn.Sequential(*layers)


def map_width(side: int) -> int:
    """Return D of the last convolution's map, of images of this side."""
    return _widths(side)[-1]


def _widths(side: int) -> list[int]:
    widths = [_FIRST_WIDTH]
    while side > 2:
        widths.append(min(2 * widths[-1], _LARGEST_WIDTH))
        side = (side + 1) // 2
    return widths


def _read_network(weights: Path) -> tuple[nn.Sequential, ClassifierCard]:
    from safetensors.torch import load_file

    card = _read_card(weights.parent)
    network = make_network(card.shape, card.classes)
    try:
        network.load_state_dict(load_file(weights))
    except Exception as error:  # SafetensorError, and what torch says of other shapes
        raise SfddmError(f"{weights}: not the weights of its {CARD} ({str(error).splitlines()[0]})") from None
    return network, card


def _read_card(folder: Path) -> ClassifierCard:
    return read_result(folder / CARD, ClassifierCard, "classifier")
