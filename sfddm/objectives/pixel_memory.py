"""A memory of the teacher's feature pixels beside a loss, which compares student and teacher by what they are like."""

from __future__ import annotations

from typing import Any

import torch
from accelerate.utils import gather
from torch import Tensor, nn
from torch.nn.functional import normalize

from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.objective import LossFunction, Objective


class PixelMemory(nn.Module):
    """A queue of unit vectors, first in first out, and a trained head for the student's pixels.

    Both are in the module's state: the head's weights as parameters, the queue and the place of its oldest entry as
    buffers. Until it has gone round once, it holds random unit vectors.

    Args:
        width: D of a pixel.
        size: entries of the queue.
        contrast: how many of them pixels are compared with: evenly spaced places, always the same.
    """

    queue: Tensor
    oldest: Tensor
    compared: Tensor

    def __init__(self, width: int, size: int, contrast: int) -> None:
        super().__init__()
        self.head = nn.Sequential(
            nn.Conv2d(width, width, 1, bias=False),
            nn.BatchNorm2d(width, track_running_stats=False),  # by the batch's own statistics, as in training
            nn.ReLU(),
            nn.Conv2d(width, width, 1, bias=False),
        )
        places = torch.linspace(0, size - 1, contrast, dtype=torch.float64).round().long()
        self.register_buffer("queue", normalize(torch.randn(size, width)))  # (N, D)
        self.register_buffer("oldest", torch.zeros((), dtype=torch.long))
        self.register_buffer("compared", places, persistent=False)  # (contrast,)
        self._offered: tuple[Tensor, Tensor] | None = None

    def likeness(self, pixels: Tensor) -> Tensor:
        """Return the cosines (P, contrast) of unit pixels (P, D) with the entries that are compared."""
        return pixels @ self.queue[self.compared].T

    def offer(self, pixels: Tensor, keys: Tensor) -> None:
        """Keep unit pixels (P, D) in mind for ``take``; ``keys`` (P,), random numbers, say which go first."""
        self._offered = pixels.detach().float(), keys

    @torch.no_grad()
    def take(self, count: int) -> None:
        """Put ``count`` of the pixels that all processes offered last, or all if they are fewer, in the oldest places.

        Which these are does not depend on how the batch was shared among processes.
        """
        if self._offered is None:
            return
        pixels, keys = (gather(values.contiguous()) for values in self._offered)
        self._offered = None
        self.enqueue(pixels[keys.argsort(stable=True)[:count]])

    @torch.no_grad()
    def enqueue(self, pixels: Tensor) -> None:
        """Put (n, D) pixels in the places of the n oldest entries, n at most the queue's size."""
        size = len(self.queue)
        places = (self.oldest + torch.arange(len(pixels), device=pixels.device)) % size
        self.queue[places] = pixels
        self.oldest.copy_((self.oldest + len(pixels)) % size)


class MemoryObjective(Objective):
    """An objective with a ``PixelMemory``, which takes what the loss offered once a step is done.

    So the loss stays a function of the state and the batch, and a step compares with pixels of earlier steps only.

    Args:
        memory: trained beside the student; the loss finds it as ``auxiliary["memory"]``.
        taken: pixels a step.
        further: as for ``Objective``.
    """

    def __init__(
        self,
        student: Denoiser,
        teacher: FrozenDenoiser,
        loss: LossFunction,
        memory: PixelMemory,
        taken: int,
        **further: Any,
    ) -> None:
        super().__init__(student, teacher, loss, auxiliary=nn.ModuleDict({"memory": memory}), **further)
        self._taken = taken

    @torch.no_grad()
    def after_step(self) -> None:
        """Let the memory take the teacher's pixels of this step."""
        super().after_step()
        memory = self.auxiliary["memory"]
        assert isinstance(memory, PixelMemory)
        memory.take(self._taken)
