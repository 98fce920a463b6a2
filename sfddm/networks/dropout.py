"""Evaluations of one network that have to drop out the same units."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def same_dropout(device: torch.device) -> Iterator[None]:
    """Within, a network drops out the units that it will drop out next, after it; no gradient is kept.

    A target that is compared with the student's own answer must not differ by its dropout mask alone.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), torch.no_grad():
        yield
