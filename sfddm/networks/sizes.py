"""Whether a file of weights can hold a network, asked before memory is taken for the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What the first layers are wide by, besides the first level's width.
_BESIDE = ("in_channels", "out_channels", "num_class_embeds", "time_embedding_dim", "num_train_timesteps")


def check_holds(config: Mapping[str, Any], size: int) -> None:
    """Raise a ValueError where a network of this configuration has more weights than a file of ``size`` bytes.

    What is counted is less than any such network has: one square matrix for each of its layers, and one matrix for each
    of the numbers that its first layers are as wide as. A configuration that passes is of a network not much larger
    than the file.
    """
    widths = [_number(width) for width in config.get("block_out_channels", [config.get("width", 1)])]
    layers = _number(config.get("layers_per_block", config.get("depth", 1)))
    first = widths[0] * max(_number(config.get(key) or 0) for key in _BESIDE)
    least = max(layers * sum(width**2 for width in widths), first)
    if least > size:
        raise ValueError(f"a network of its configuration has at least {least:,} weights, its file {size:,} bytes")


def _number(value: Any) -> int:
    if not isinstance(value, int):
        raise ValueError(f"its configuration states {value!r} where a whole number must stand")
    return value
