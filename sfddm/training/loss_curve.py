"""How the loss fell: its means over equal parts of a training, summed where the loss lies, so that nothing waits."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

#: Parts of a training; a shorter one has a part for each step.
PARTS = 24
#: Significant digits that are kept.
_DIGITS = 4


class LossCurve:
    """The loss of each part of a training of ``total`` steps, in the first process of several.

    Every step counts, also those in which the student rests and another network has its turn.

    Attributes:
        sums: (parts,) float32 on the loss's device; part of the running state.
    """

    def __init__(self, total: int, device: torch.device) -> None:
        self.total, self.parts = total, min(PARTS, total)
        self.sums = torch.zeros(self.parts, device=device)

    def add(self, step: int, loss: Tensor) -> None:
        """Take the loss of step ``step`` in [0, total)."""
        self.sums[step * self.parts // self.total] += loss.detach()

    def load(self, sums: Tensor) -> None:
        """Go on from the sums of an interrupted training.

        Raises:
            ValueError: they are of a training of another length.
        """
        if sums.shape != self.sums.shape:
            raise ValueError("the losses are those of another training")
        self.sums.copy_(sums)

    def means(self) -> tuple[float, ...]:
        """Return the mean loss of each part, to four significant digits; of a training without steps nothing."""
        first = [-(-part * self.total // max(self.parts, 1)) for part in range(self.parts + 1)]  # step of each part
        counts = (after - before for before, after in pairwise(first))
        return tuple(float(f"{one / count:.{_DIGITS}g}") for one, count in zip(self.sums.tolist(), counts, strict=True))
