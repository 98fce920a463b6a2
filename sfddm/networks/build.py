"""Networks from their configurations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sfddm.diffusion.randomness import initialisation_generator
from sfddm.networks.base import Network
from sfddm.networks.spec import NetworkOptions
from sfddm.runtime.registry import find


@contextmanager
def first_weights_of(seed: int) -> Iterator[None]:
    """Let the first weights of the networks that are built within be a function of ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(initialisation_generator(seed).get_state())
        yield


def build_network(config: dict[str, Any], seed: int) -> Network:
    """Build the network of a configuration; its first weights are a function of ``seed``.

    Raises:
        SfddmError: there is no such kind of network.
    """
    kind = find("sfddm.networks.kinds", NetworkOptions, config.get("kind", "unet"), "network.kind")  # type: ignore[type-abstract]
    with first_weights_of(seed):
        return kind.build(config)
