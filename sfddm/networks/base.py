"""The interface of every network: what it is told, what it answers, and where its features are."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from sfddm.networks.steps import Steps


@dataclass(frozen=True)
class Condition:
    """What a network is told besides the noised image.

    Attributes:
        t: (B,) the numbers that the time embedding is computed from.
        labels: (B,) int64 classes in [0, n], where n means "no class"; None for a network without classes.
        arrival: (B,) likewise of where the step from here goes; None for a network without a second time.
    """

    t: Tensor
    labels: Tensor | None = None
    arrival: Tensor | None = None


class Network(nn.Module):
    """A network from a noised image and a condition to a raw output, whatever that predicts.

    Attributes:
        config: from which its kind builds the same network, as plain JSON.
        classes: n where it takes labels 0 .. n - 1, and n for "no class"; None where it takes none.
        feature_width: D of the features that enter the last layers.
        bottleneck_width: D of the features that leave the middle of the network.
        takes_arrival: whether it has a second time: it is told not only where a step leaves but also where it goes.
    """

    #: Where a model folder keeps the weights.
    weights_file = Path("network") / "model.safetensors"

    config: dict[str, Any]
    classes: int | None
    feature_width: int
    bottleneck_width: int
    takes_arrival: bool = False

    @abstractmethod
    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """Return the raw output, (B, C, H, W), of noised images (B, C, H, W) float32, about [-1, 1]."""

    @abstractmethod
    def last_layer(self) -> nn.Module:
        """Return the layer whose input are the features: (B, D, H, W), or (B, D) of a perceptron."""

    @abstractmethod
    def middle(self) -> nn.Module:
        """Return the layer whose output is the bottleneck: (B, D, h, w), or (B, D) of a perceptron."""

    @abstractmethod
    def linear_map(self, inputs: int, outputs: int) -> nn.Module:
        """Return a linear map between feature widths, one for all places."""

    @contextmanager
    def catching_features(self) -> Iterator[list[Tensor]]:
        """Yield a list that takes the features of each evaluation within."""
        caught: list[Tensor] = []
        handle = self.last_layer().register_forward_pre_hook(lambda module, inputs: caught.append(inputs[0]))
        try:
            yield caught
        finally:
            handle.remove()

    @contextmanager
    def catching_bottleneck(self) -> Iterator[list[Tensor]]:
        """Yield a list that takes the bottleneck of each evaluation within."""
        caught: list[Tensor] = []
        handle = self.middle().register_forward_hook(lambda module, inputs, output: caught.append(output))
        try:
            yield caught
        finally:
            handle.remove()

    def write(self, folder: Path, steps: Steps, prediction: str) -> None:
        """Write the weights, and what other libraries need to read them, into a model folder."""
        write_weights(folder / self.weights_file, self)

    def read(self, weights: dict[str, Tensor], steps: Steps) -> None:
        """Take the weights that :meth:`write` wrote.

        Raises:
            RuntimeError: they are another network's.
            ValueError: they are those of other steps.
        """
        self.load_state_dict(weights)


def write_weights(path: Path, module: nn.Module) -> None:
    """Write a module's weights as safetensors."""
    write_tensors(path, module.state_dict())


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors by name as safetensors."""
    from safetensors.torch import save_file

    path.parent.mkdir(exist_ok=True)
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, path)


def parameter_count(network: torch.nn.Module) -> int:
    """Return the number of weights."""
    return sum(parameter.numel() for parameter in network.parameters())
