"""A U-Net with a second time: the student of a two-time method.

Stock diffusers knows no second time beside classes, so that its folder is no pipeline but holds our own weights.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from sfddm.networks.base import Condition, Network
from sfddm.networks.diffusers_unet import UNet2DModel
from sfddm.networks.steps import Steps
from sfddm.networks.times import SECOND_TIME, SecondTime
from sfddm.networks.unet import UNet


class TwoTimeUNet(UNet):
    """UNet2DModel whose time embedding gets that of a second time added; classes stay as they are."""

    weights_file = Network.weights_file
    takes_arrival = True

    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__(unet)
        self.config[SECOND_TIME] = True
        self.arrival = SecondTime(unet.time_embedding.linear_2.out_features)

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """Return the raw output, (B, C, H, W)."""
        added = self.arrival(condition.arrival)  # (B, width)
        handle = self.unet.time_embedding.register_forward_hook(lambda module, inputs, output: output + added)
        try:
            return super().forward(x, condition)
        finally:
            handle.remove()

    def write(self, folder: Path, steps: Steps, prediction: str) -> None:
        """Write the weights alone: a pipeline would leave out the second time."""
        Network.write(self, folder, steps, prediction)

    def read(self, weights: dict[str, Tensor], steps: Steps) -> None:
        """Take the weights that :meth:`write` wrote."""
        Network.read(self, weights, steps)
