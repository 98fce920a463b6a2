"""Networks from a spec: diffusers' UNet2DModel for images, a small perceptron for points."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import gcd
from typing import TYPE_CHECKING, Any

import torch

from sfddm.diffusion.randomness import initialisation_generator
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from diffusers import UNet2DModel

    from sfddm.networks.denoiser import Denoiser
    from sfddm.networks.spec import NetworkSpec, UNetSpec


def network_config(network: NetworkSpec, image_size: int, channels: int) -> dict[str, Any]:
    """Return the configuration of the network that a spec describes, from which ``build_network`` builds it.

    A U-Net's has no key "kind", so that the cards of earlier U-Nets keep their meaning.

    Raises:
        SfddmError: as ``unet_config``.
    """
    if network.kind == "unet":
        return unet_config(network, image_size, channels)
    size = {"sample_size": image_size, "in_channels": channels}
    return {"kind": "mlp"} | size | network.model_dump(include={"width", "depth", "classes"})


@contextmanager
def first_weights_of(seed: int) -> Iterator[None]:
    """Let the first weights of the networks that are built within be a function of ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(initialisation_generator(seed).get_state())
        yield


def build_network(config: dict[str, Any], seed: int) -> torch.nn.Module:
    """Build the network of a configuration; its first weights are a function of ``seed``."""
    if config.get("kind") != "mlp":
        return build_unet(config, seed)
    from sfddm.networks.perceptron import MLP

    with first_weights_of(seed):
        return MLP(config)


def unet_config(network: UNetSpec, image_size: int, channels: int) -> dict[str, Any]:
    """Return the configuration of the U-Net that a spec describes.

    Raises:
        SfddmError: the image cannot be halved as often as there are levels, or an attention resolution is no level.
    """
    levels = len(network.channel_multipliers)
    if image_size % 2 ** (levels - 1):
        raise SfddmError(
            f"network.channel_multipliers: {levels} levels halve the image {levels - 1} times, but data.image_size is "
            f"{image_size}; it must be divisible by {2 ** (levels - 1)}"
        )
    resolutions = [image_size // 2**level for level in range(levels)]
    unknown = set(network.attention_resolutions) - set(resolutions)
    if unknown:
        raise SfddmError(f"network.attention_resolutions: {sorted(unknown)} not among the levels {resolutions}")
    attention = [resolution in network.attention_resolutions for resolution in resolutions]
    widths = tuple(network.channels * multiplier for multiplier in network.channel_multipliers)
    return {
        "sample_size": image_size,
        "in_channels": channels,
        "out_channels": channels,
        "block_out_channels": widths,
        "layers_per_block": network.blocks_per_level,
        "down_block_types": tuple("AttnDownBlock2D" if here else "DownBlock2D" for here in attention),
        "up_block_types": tuple("AttnUpBlock2D" if here else "UpBlock2D" for here in reversed(attention)),
        "add_attention": any(attention),
        "norm_num_groups": gcd(32, *widths),
        "attention_head_dim": gcd(32, *widths),
        "dropout": network.dropout,
    } | ({} if network.classes is None else {"num_class_embeds": network.classes + 1})


def build_unet(config: dict[str, Any], seed: int) -> UNet2DModel:
    """Build a U-Net whose first weights are a function of ``seed``."""
    from sfddm.networks.diffusers_unet import UNet2DModel

    with first_weights_of(seed):
        return UNet2DModel.from_config(config)


def parameter_count(network: torch.nn.Module) -> int:
    """Return the number of weights."""
    return sum(parameter.numel() for parameter in network.parameters())


def feature_projection(student: Denoiser, teacher: Denoiser) -> torch.nn.ModuleDict:
    """Return {"projection": a linear map from the student's features before the last layers to the teacher's}."""
    ours, theirs = feature_width(student.network), feature_width(teacher.network)
    is_unet = hasattr(student.network, "conv_norm_out")
    projection = torch.nn.Conv2d(ours, theirs, 1) if is_unet else torch.nn.Linear(ours, theirs)
    return torch.nn.ModuleDict({"projection": projection})


def feature_width(network: torch.nn.Module) -> int:
    """Return D of the features before the last layers."""
    config: Any = network.config
    return int(config["width"] if "width" in config else config["block_out_channels"][0])


class Critic(torch.nn.Module):
    """Scores features for being those of a real image: normalisation, SiLU, mean over places, one linear map.

    Args:
        width: D of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(width)
        self.out = torch.nn.Linear(width, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (B,) scores of (B, D, h, w) or (B, D) features."""
        pooled = features.flatten(2).mean(2) if features.ndim > 2 else features  # (B, D)
        scores: torch.Tensor = self.out(torch.nn.functional.silu(self.norm(pooled)))
        return scores.flatten()


def middle_width(network: torch.nn.Module) -> int:
    """Return D of the middle block's features."""
    config: Any = network.config
    return int(config["width"] if "width" in config else config["block_out_channels"][-1])


@contextmanager
def held_fixed(module: torch.nn.Module) -> Iterator[None]:
    """Let gradients pass through a module, but not into its weights, for what is computed within."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
