"""Improved precision (Kynkaanniemi et al. 2019), with what it shares with the recall."""

from __future__ import annotations

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
        return compared.once(precision_and_recall)[0]


def check_enough(images: int, k: int, whose: str) -> None:
    """Raise an SfddmError where there are not more images than k."""
    if images <= k:
        raise SfddmError(f"evaluation.nearest_neighbours: {k} needs more than {k} {whose} images, there are {images}")


def precision_and_recall(compared: Compared) -> tuple[Replicated, Replicated]:
    """Return improved precision and recall; the recall is the precision with the roles exchanged.

    Leaving out a block of generated images widens the balls of the others; each replicate of the recall takes that into
    account, from the same distances.

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
    inside = torch.zeros(len(generated), dtype=torch.bool, device=device)
    covered = torch.zeros(blocks.count + 1, dtype=torch.int64, device=device)
    for rows, distances in squared_distances(reference.features, generated, device):
        inside |= (distances <= reference_radii[rows, None]).any(dim=0)
        for replicate, squared in enumerate(radii):
            covered[replicate] += (distances <= squared).any(dim=1).sum()
    recall = covered.cpu().numpy() / len(reference.features)
    hits = inside.cpu().numpy().astype(np.float64)
    return blocks.mean(hits), Replicated(float(recall[-1]), recall[:-1])


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
