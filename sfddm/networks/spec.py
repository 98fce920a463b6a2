"""The network's section of a spec: a U-Net for images, or a multilayer perceptron for points."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from sfddm.runtime.strict import Strict


class _AnyNetworkSpec(Strict):
    """What both kinds state.

    Attributes:
        prediction: what the raw output is.
        classes: None: unconditional; n: the network takes class labels 0..n-1, and label n means "no class".
    """

    prediction: Literal["epsilon", "v", "x0"] = "epsilon"
    classes: Annotated[int, Field(ge=1)] | None = None


class UNetSpec(_AnyNetworkSpec):
    """The U-Net, which is meant where ``kind`` is absent. Attention stands at the listed resolutions."""

    kind: Literal["unet"] = "unet"
    channels: Annotated[int, Field(ge=4)] = 64
    channel_multipliers: tuple[Annotated[int, Field(ge=1)], ...] = (1, 2, 4, 8)
    blocks_per_level: Annotated[int, Field(ge=1)] = 2
    attention_resolutions: tuple[int, ...] = ()
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class MLPSpec(_AnyNetworkSpec):
    """A perceptron of ``depth`` residual blocks, each ``width`` wide: for points, it knows nothing of neighbourhood."""

    kind: Literal["mlp"]
    width: Annotated[int, Field(ge=4)] = 128
    depth: Annotated[int, Field(ge=1)] = 3


def _kind_of(value: Any) -> str:
    kind = value.get("kind", "unet") if isinstance(value, dict) else getattr(value, "kind", "unet")
    return kind if isinstance(kind, str) else ""


NetworkSpec = Annotated[
    Annotated[UNetSpec, Tag("unet")] | Annotated[MLPSpec, Tag("mlp")],
    Discriminator(
        _kind_of, custom_error_type="network_kind", custom_error_message="kind: must be unet (the default) or mlp"
    ),
]
"""Either kind of network, for a field of a spec."""
