"""Networks from their configurations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sfddm.diffusion.randomness import initialisation_generator
from sfddm.networks.base import Network
from sfddm.networks.spec import NetworkOptions
from sfddm.networks.times import SECOND_TIME, check_second_time
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
        SfddmError: there is no such kind of network, or it takes no second time where the configuration states one.
    """
    kind = find("sfddm.networks.kinds", NetworkOptions, config.get("kind", "unet"), "network.kind")  # type: ignore[type-abstract]
    with first_weights_of(seed):
        network = kind.build(config)
    check_second_time(config, network.takes_arrival)
    return network


def with_second_time(network: Network, seed: int) -> Network:
    """Return a copy that has a second time, too, and whose answers do not depend on it before training.

    Args:
        network: whose weights it gets.
        seed: of the weights that the second time adds.

    Raises:
        SfddmError: its kind takes no second time.
    """
    copy = build_network(network.config | {SECOND_TIME: True}, seed)
    copy.load_state_dict(copy.state_dict() | network.state_dict())
    return copy
