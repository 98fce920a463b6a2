"""Improved precision (Kynkaanniemi et al. 2019), with what it shares with recall, density and coverage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sfddm.evaluation.intervals import Blocks, Replicated
from sfddm.evaluation.metrics.base import Compared, Metric
from sfddm.evaluation.pairwise import nearest_by_group, squared_distances
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from torch import Tensor


class Precision(Metric):
    """The share of generated images that lie within some reference image's distance to its k-th nearest other one."""

    name = "precision"
    title = "Precision"
    better = "higher"
    lowest, highest = 0.0, 1.0
    definition = "nearest neighbours: {k}"

    def by_block(self, compared: Compared) -> Replicated:
        """Return the figure and its replicates."""
        return compared.once(neighbours).precision


def check_enough(images: int, k: int, whose: str) -> None:
    """Raise an SfddmError where there are not more images than k."""
    if images <= k:
        raise SfddmError(f"evaluation.nearest_neighbours: {k} needs more than {k} {whose} images, there are {images}")


@dataclass(frozen=True)
class Neighbours:
    """What the distances between generated and reference images, and those within each set, give."""

    precision: Replicated
    recall: Replicated
    density: Replicated
    coverage: Replicated


def neighbours(compared: Compared) -> Neighbours:
    """Return improved precision and recall, density and coverage from one pass over the pairs.

    The recall is the precision with the roles exchanged. Leaving out a block of generated images widens the balls of
    the others; each replicate of the recall takes that into account, from the same distances. A replicate of the
    coverage leaves out what the block alone covers.

    Raises:
        SfddmError: a replicate would hold no more images than k.
    """
    import torch

    generated, reference, blocks, device = compared.generated, compared.reference, compared.blocks, compared.device
    k = reference.nearest_neighbours
    check_enough(blocks.kept, k, "generated")
    labels = torch.from_numpy(blocks.labels()).to(device)
    radii = _radii_of_replicates(nearest_by_group(generated, labels, blocks.count + 1, k, device), blocks)
    reference_radii = torch.from_numpy(reference.squared_radii).to(device)
    member = torch.nn.functional.one_hot(labels, blocks.count + 1).to(torch.float32)  # (N, B + 1)
    balls = torch.zeros(len(generated), dtype=torch.int64, device=device)
    recalled = torch.zeros(blocks.count + 1, dtype=torch.int64, device=device)
    covered = torch.zeros(blocks.count + 1, dtype=torch.int64, device=device)
    for rows, distances in squared_distances(reference.features, generated, device):
        held = distances <= reference_radii[rows, None]  # (rows, N)
        balls += held.sum(dim=0)
        by_block = held.to(torch.float32) @ member  # (rows, B + 1) generated images in each reference image's ball
        others = by_block.sum(dim=1, keepdim=True) - by_block
        others[:, -1] = by_block.sum(dim=1)  # last: with all
        covered += (others > 0).sum(dim=0)
        for replicate, squared in enumerate(radii):
            recalled[replicate] += (distances <= squared).any(dim=1).sum()
    count, held_by = len(reference.features), balls.cpu().numpy().astype(np.float64)
    recall, coverage = (shares.cpu().numpy() / count for shares in (recalled, covered))
    return Neighbours(
        precision=blocks.mean((held_by > 0).astype(np.float64)),
        recall=Replicated(float(recall[-1]), recall[:-1]),
        density=blocks.mean(held_by / k),
        coverage=Replicated(float(coverage[-1]), coverage[:-1]),
    )


def _radii_of_replicates(found: Tensor, blocks: Blocks) -> Tensor:
    """Return (B + 1, N) squared radii without each block, and last with all.

    An image that is left out gets a radius that holds nobody.
    """
    import torch

    k = found.shape[2]
    radii = []
    for block, place in enumerate(blocks.slices()):
        left = torch.cat([found[:, :block], found[:, block + 1 :]], dim=1).flatten(1)
        radius = left.kthvalue(k, dim=1).values
        radius[place] = -1
        radii.append(radius)
    return torch.stack([*radii, found.flatten(1).kthvalue(k, dim=1).values])
