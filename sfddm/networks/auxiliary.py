"""Networks that some losses train beside the student."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


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
