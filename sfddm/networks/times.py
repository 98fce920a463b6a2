"""Embeddings of times: sinusoids, and the second time of a network that is also told where a step goes."""

from __future__ import annotations

from math import log
from typing import Any

import torch
from torch import Tensor, nn

from sfddm.runtime.errors import SfddmError

FREQUENCIES = 32
_LONGEST_PERIOD = 10_000.0
#: In a network's configuration: whether it has a second time. Networks without one do not state it.
SECOND_TIME = "second_time"


def sinusoids(t: Tensor) -> Tensor:
    """Return (B, 64) the sines and cosines of (B,) numbers at frequencies from 1 to almost 1/10,000.

    Vaswani et al. 2017, section 3.5, as in Ho et al. 2020, appendix B.
    """
    places = torch.arange(FREQUENCIES, device=t.device, dtype=torch.float32)
    angles = t.float()[:, None] * torch.exp(-log(_LONGEST_PERIOD) / FREQUENCIES * places)  # (B, 32)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class SecondTime(nn.Module):
    """The embedding (B, width) of the time (B,) at which a step arrives, to be added to that of the time it leaves.

    Its last map starts at 0, so that before training a student with a second time answers as its teacher without one.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Linear(2 * FREQUENCIES, width)
        self.last = nn.Linear(width, width)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, arrival: Tensor | None) -> Tensor:
        """Return the embedding.

        Raises:
            ValueError: no time is given.
        """
        if arrival is None:
            raise ValueError("a network with a second time must be told where the step goes")
        embedding: Tensor = self.last(nn.functional.silu(self.first(sinusoids(arrival))))
        return embedding


def check_second_time(config: dict[str, Any], takes_arrival: bool) -> None:
    """Refuse a network that was built without the second time that its configuration states.

    Raises:
        SfddmError: its kind has none.
    """
    if config.get(SECOND_TIME) and not takes_arrival:
        kind = config.get("kind", "unet")
        raise SfddmError(f"network.kind: {kind} takes no second time, which the student of a two-time method needs")
