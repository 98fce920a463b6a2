"""The kernel distance of Binkowski et al. 2018, from all images at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sfddm.evaluation.intervals import Blocks, Replicated
from sfddm.evaluation.metrics.base import Compared, Metric
from sfddm.evaluation.pairwise import chunks
from sfddm.extractors.base import Features

if TYPE_CHECKING:
    from torch import Tensor


class KID(Metric):
    """The unbiased estimate of MMD^2; it can be slightly negative."""

    name = "kid"
    title = "KID"
    better = "lower"
    definition = "U-statistic over all images, kernel (x.y / D + 1)^3, unbiased"

    def by_block(self, compared: Compared) -> Replicated:
        """Return the figure and its replicates from one pass over all pairs."""
        real, blocks = compared.reference, compared.blocks
        return kernel_distance(compared.generated, real.features, real.kernel_mean, blocks, compared.device)


def kernel_mean(features: Features, device: str = "cpu") -> float:
    """Return the mean of the kernel (x.y / D + 1)^3 over ordered pairs of different images, from (M, D) features."""
    import torch

    count = len(features)
    everything = torch.zeros(count, dtype=torch.int64, device=device)
    return float(_sums_within(features, everything, 1, device).sum()) / (count * (count - 1))


def kernel_distance(
    generated: Features, real: Features, kernel_mean_of_real: float, blocks: Blocks, device: str = "cpu"
) -> Replicated:
    """Return the unbiased estimate of MMD^2 between (N, D) and (M, D) features, and its replicates.

    It is the mean kernel over pairs of different generated images, plus that over pairs of different real ones,
    minus twice that over all mixed pairs: what torch-fidelity estimates from random subsets.
    """
    import torch

    labels = torch.from_numpy(blocks.labels()).to(device)
    within = _sums_within(generated, labels, blocks.count + 1, device)
    across = _sums_across(generated, real, device)
    of_block = torch.zeros(blocks.count + 1, dtype=torch.float64, device=device).index_add_(0, labels, across)

    def estimate(pairs: float, mixed: float, count: int) -> float:
        return pairs / (count * (count - 1)) + kernel_mean_of_real - 2 * mixed / (count * len(real))

    all_pairs, all_mixed = float(within.sum()), float(across.sum())
    without = [
        estimate(all_pairs - float(2 * within[b].sum() - within[b, b]), all_mixed - float(of_block[b]), blocks.kept)
        for b in range(blocks.count)
    ]
    return Replicated(estimate(all_pairs, all_mixed, blocks.images), np.array(without))


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T).div_(x.shape[1]).add_(1).pow_(3)


def _sums_within(features: Features, labels: Tensor, groups: int, device: str) -> Tensor:
    """Return (groups, groups) sums of the kernel over ordered pairs of different images, by label."""
    import torch

    sums = torch.zeros(groups, groups, dtype=torch.float64, device=device)
    member = torch.nn.functional.one_hot(labels, groups).to(torch.float64)
    for rows, x in chunks(features, device):
        for columns, y in chunks(features[: rows.stop], device):
            kernel = _kernel(x, y)
            if rows == columns:
                kernel.fill_diagonal_(0)
            part = member[rows].T @ kernel @ member[columns]
            sums += part if rows == columns else part + part.T
    return sums


def _sums_across(features: Features, others: Features, device: str) -> Tensor:
    """Return (N,) sums of the kernel between each image and all the others."""
    import torch

    sums = torch.zeros(len(features), dtype=torch.float64, device=device)
    for rows, x in chunks(features, device):
        for _, y in chunks(others, device):
            sums[rows] += _kernel(x, y).sum(dim=1)
    return sums
