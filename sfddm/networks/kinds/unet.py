"""The U-Net of diffusers, for images."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from sfddm.networks.spec import NetworkOptions
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from sfddm.networks.unet import UNet

#: Of a level; a convolution between two of this width has 600 million weights.
WIDEST = 8192


class UNetOptions(NetworkOptions):
    """diffusers' UNet2DModel, which is meant where ``kind`` is absent. Attention stands at the listed resolutions."""

    name = "unet"
    takes_second_time = True

    kind: Literal["unet"] = "unet"
    channels: Annotated[int, Field(ge=4, le=4096)] = 64
    channel_multipliers: tuple[Annotated[int, Field(ge=1, le=64)], ...] = (1, 2, 4, 8)
    blocks_per_level: Annotated[int, Field(ge=1, le=64)] = 2
    attention_resolutions: tuple[int, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def config(self, image_size: int, channels: int) -> dict[str, Any]:
        """Return diffusers' own configuration, in which no key names the kind.

        Raises:
            SfddmError: the image cannot be halved as often as there are levels, or an attention resolution is no level.
        """
        levels = len(self.channel_multipliers)
        if image_size % 2 ** (levels - 1):
            raise SfddmError(
                f"network.channel_multipliers: {levels} levels halve the image {levels - 1} times, but data.image_size "
                f"is {image_size}; it must be divisible by {2 ** (levels - 1)}"
            )
        resolutions = [image_size // 2**level for level in range(levels)]
        unknown = set(self.attention_resolutions) - set(resolutions)
        if unknown:
            raise SfddmError(f"network.attention_resolutions: {sorted(unknown)} not among the levels {resolutions}")
        attention = [resolution in self.attention_resolutions for resolution in resolutions]
        widths = tuple(self.channels * multiplier for multiplier in self.channel_multipliers)
        if max(widths) > WIDEST:
            raise SfddmError(
                f"network.channels: times channel_multipliers it must be at most {WIDEST}; got {max(widths)}"
            )
        return {
            "sample_size": image_size,
            "in_channels": channels,
            "out_channels": channels,
            "block_out_channels": widths,
            "layers_per_block": self.blocks_per_level,
            "down_block_types": tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
            "up_block_types": tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
            "add_attention": any(attention),
            "norm_num_groups": gcd(32, *widths),
            "attention_head_dim": gcd(32, *widths),
            "dropout": self.dropout,
        } | ({} if self.classes is None else {"num_class_embeds": self.classes + 1})

    @classmethod
    def build(cls, config: dict[str, Any]) -> UNet:
        """Build the network of a configuration."""
        from sfddm.networks.times import SECOND_TIME
        from sfddm.networks.two_time_unet import TwoTimeUNet
        from sfddm.networks.unet import UNet

        if config.get(SECOND_TIME):
            return TwoTimeUNet.from_config({key: value for key, value in config.items() if key != SECOND_TIME})
        return UNet.from_config(config)
