"""Frechet distance, KID, precision and recall of features, each with its delete-one-block replicates.

Definitions are torch-fidelity's. The Frechet distance of the whole sample is computed by torch-fidelity
itself; the sums and distance matrices behind the rest are computed block by block here, because
torch-fidelity would hold all pairs in memory and would compute them again for every replicate. The tests
hold each figure against torch-fidelity's. All arithmetic is in float64, so that figures do not depend on
the device; memory beyond the features is some hundred MB.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.frechet import RealSide, frechet_by_block, real_side
from sfddm.evaluation.intervals import Blocks, Replicated
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.torchvision_operators import declare_missing_operators

if TYPE_CHECKING:
    from torch import Tensor

Features = NDArray[np.float32]
_PAIRS = 1 << 24
"""Entries of a distance or kernel matrix held at once (128 MiB in float64)."""
_ROWS = 4096
"""Features held in float64 at once."""


@dataclass(frozen=True)
class ReferenceStatistics:
    """What the metrics need to know about the reference images; computed once.

    Attributes:
        features: (M, D) float32.
        mean: (D,) float64.
        covariance: (D, D) float64, divided by M - 1.
        root: (D, D) float64, the symmetric square root of ``covariance``.
        kernel_mean: mean kernel value over ordered pairs of different reference images.
        squared_radii: (M,) float64, squared distance to the k-th nearest other reference image.
        neighbourhood: k.
        labels: (M,) int64 classes of the reference images, -1 where there is none.
    """

    features: Features
    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    root: NDArray[np.float64]
    kernel_mean: float
    squared_radii: NDArray[np.float64]
    neighbourhood: int
    labels: NDArray[np.int64]

    @property
    def real_side(self) -> RealSide:
        """What a Frechet distance needs of them."""
        return RealSide(len(self.features), self.mean, float(np.trace(self.covariance)), self.root)


def reference_statistics(
    features: Features, neighbourhood: int, device: str = "cpu", labels: NDArray[np.int64] | None = None
) -> ReferenceStatistics:
    """Return the statistics of (M, D) float32 reference features, and their (M,) classes.

    Raises:
        SfddmError: there are not more images than ``neighbourhood``.
    """
    import torch

    _check_neighbourhood(len(features), neighbourhood, "reference")
    moments = _moments(features, device)
    covariance = moments.scatter / (moments.count - 1)
    everything = torch.zeros(len(features), dtype=torch.int64, device=device)
    count = len(features)
    return ReferenceStatistics(
        features=features,
        mean=moments.mean.cpu().numpy(),
        covariance=covariance.cpu().numpy(),
        root=real_side(features).root,
        kernel_mean=kernel_mean(features, device),
        squared_radii=_nearest_by_block(features, everything, 1, neighbourhood, device)[:, 0, -1].cpu().numpy(),
        neighbourhood=neighbourhood,
        labels=np.full(count, -1) if labels is None else np.asarray(labels, dtype=np.int64),
    )


def _check_neighbourhood(images: int, neighbourhood: int, whose: str) -> None:
    if images <= neighbourhood:
        raise SfddmError(
            f"evaluation.neighbourhood: {neighbourhood} needs more than {neighbourhood} {whose} images, "
            f"there are {images}"
        )


@dataclass(frozen=True)
class _Moments:
    count: int
    mean: Tensor
    scatter: Tensor


def _moments(features: Features, device: str) -> _Moments:
    import torch

    mean = torch.from_numpy(features.mean(axis=0, dtype=np.float64)).to(device)
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=device)
    for _, chunk in _chunks(features, _ROWS, device):
        centred = chunk - mean
        scatter.addmm_(centred.T, centred)
    return _Moments(len(features), mean, scatter)


def _chunks(features: Features, rows: int, device: str) -> Iterator[tuple[slice, Tensor]]:
    import torch

    for first in range(0, len(features), rows):
        place = slice(first, min(first + rows, len(features)))
        yield place, torch.from_numpy(np.asarray(features[place])).to(device, torch.float64)


def frechet_distance(
    generated: Features, reference: ReferenceStatistics, blocks: Blocks, device: str = "cpu"
) -> Replicated:
    """Return |m - m_r|^2 + tr(S + S_r - 2 (S S_r)^(1/2)) (Heusel et al. 2017, equation 6), from (N, D)
    features.

    The value is torch-fidelity's, the replicates are ``frechet_by_block``'s.
    """
    declare_missing_operators()
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    whole = _moments(generated, device)
    ours = {"mu": whole.mean.cpu().numpy(), "sigma": (whole.scatter / (whole.count - 1)).cpu().numpy()}
    theirs = {"mu": reference.mean, "sigma": reference.covariance}
    value = float(fid_statistics_to_metric(ours, theirs, False)[KEY_METRIC_FID])
    return Replicated(value, frechet_by_block(generated, reference.real_side, blocks, device).replicates)


def kernel_mean(features: Features, device: str = "cpu") -> float:
    """Return the mean of the kernel (x.y / D + 1)^3 over ordered pairs of different images, from (M, D) features."""
    import torch

    count = len(features)
    everything = torch.zeros(count, dtype=torch.int64, device=device)
    return float(_kernel_sums_within(features, everything, 1, device).sum()) / (count * (count - 1))


def kernel_inception_distance(
    generated: Features, real: Features, kernel_mean_of_real: float, blocks: Blocks, device: str = "cpu"
) -> Replicated:
    """Return the unbiased estimate of MMD^2 under the kernel (x.y / D + 1)^3 (Binkowski et al. 2018), from
    all images at once.

    It is the mean over pairs of different generated images, plus that over pairs of different real ones,
    minus twice that over all mixed pairs: what torch-fidelity estimates from random subsets, without their
    randomness. It can be slightly negative.

    Args:
        generated: (N, D).
        real: (M, D).
        kernel_mean_of_real: ``kernel_mean(real)``.
        blocks: of the N generated images.
        device: where to compute.
    """
    import torch

    labels = torch.from_numpy(blocks.labels()).to(device)
    within = _kernel_sums_within(generated, labels, blocks.count + 1, device)
    across = _kernel_sums_across(generated, real, device)
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


def _kernel_sums_within(features: Features, labels: Tensor, groups: int, device: str) -> Tensor:
    """Return (groups, groups) sums of the kernel over ordered pairs of different images, by label."""
    import torch

    sums = torch.zeros(groups, groups, dtype=torch.float64, device=device)
    member = torch.nn.functional.one_hot(labels, groups).to(torch.float64)
    for rows, x in _chunks(features, _ROWS, device):
        for columns, y in _chunks(features[: rows.stop], _ROWS, device):
            kernel = _kernel(x, y)
            if rows == columns:
                kernel.fill_diagonal_(0)
            part = member[rows].T @ kernel @ member[columns]
            sums += part if rows == columns else part + part.T
    return sums


def _kernel_sums_across(features: Features, others: Features, device: str) -> Tensor:
    """Return (N,) sums of the kernel between each image and all the others."""
    import torch

    sums = torch.zeros(len(features), dtype=torch.float64, device=device)
    for rows, x in _chunks(features, _ROWS, device):
        for _, y in _chunks(others, _ROWS, device):
            sums[rows] += _kernel(x, y).sum(dim=1)
    return sums


def precision_and_recall(
    generated: Features, reference: ReferenceStatistics, blocks: Blocks, device: str = "cpu"
) -> tuple[Replicated, Replicated]:
    """Return improved precision and recall (Kynkaanniemi et al. 2019) from (N, D) features.

    Precision is the share of generated images that lie within some reference image's distance to its k-th
    nearest other one; recall is the same with the roles exchanged. Leaving out a block of generated images
    widens the balls of the others; each replicate of the recall takes that into account, from the same
    distances.

    Raises:
        SfddmError: a replicate would hold no more images than k.
    """
    import torch

    k = reference.neighbourhood
    _check_neighbourhood(blocks.kept, k, "generated")
    labels = torch.from_numpy(blocks.labels()).to(device)
    radii = _radii_of_replicates(_nearest_by_block(generated, labels, blocks.count + 1, k, device), blocks)
    reference_radii = torch.from_numpy(reference.squared_radii).to(device)
    inside = torch.zeros(len(generated), dtype=torch.bool, device=device)
    covered = torch.zeros(blocks.count + 1, dtype=torch.int64, device=device)
    for rows, distances in _rows_of_distances(reference.features, generated, device):
        inside |= (distances <= reference_radii[rows, None]).any(dim=0)
        for replicate, squared in enumerate(radii):
            covered[replicate] += (distances <= squared).any(dim=1).sum()
    hits = inside.cpu().numpy().astype(np.float64)
    kept = [(hits.sum() - hits[place].sum()) / blocks.kept for place in blocks.slices()]
    recall = covered.cpu().numpy() / len(reference.features)
    return Replicated(float(hits.mean()), np.array(kept)), Replicated(float(recall[-1]), recall[:-1])


def nearest_neighbours(
    features: Features, others: Features, device: str = "cpu"
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return (N,) the distance from each of (N, D) features to the nearest of (M, D) others, and (N,) its row."""
    found = [distances.min(dim=1) for _, distances in _rows_of_distances(features, others, device)]
    squared = np.concatenate([part.values.cpu().numpy() for part in found])
    return np.sqrt(squared), np.concatenate([part.indices.cpu().numpy() for part in found])


def _radii_of_replicates(nearest: Tensor, blocks: Blocks) -> Tensor:
    """Return (B + 1, N) squared radii without each block, and last with all.

    An image that is left out gets a radius that holds nobody.
    """
    import torch

    k = nearest.shape[2]
    radii = []
    for block, place in enumerate(blocks.slices()):
        left = torch.cat([nearest[:, :block], nearest[:, block + 1 :]], dim=1).flatten(1)
        radius = left.kthvalue(k, dim=1).values
        radius[place] = -1
        radii.append(radius)
    return torch.stack([*radii, nearest.flatten(1).kthvalue(k, dim=1).values])


def _nearest_by_block(features: Features, labels: Tensor, groups: int, k: int, device: str) -> Tensor:
    """Return (N, groups, k) squared distances of each image to its k nearest others in each group,
    ascending.

    Where a group has fewer than k other images, the rest is infinite.
    """
    import torch

    members = [torch.nonzero(labels == group).flatten() for group in range(groups)]
    nearest = torch.full((len(features), groups, k), torch.inf, dtype=torch.float64, device=device)
    for rows, distances in _rows_of_distances(features, features, device):
        places = torch.arange(rows.start, rows.stop, device=device)
        distances[places - rows.start, places] = torch.inf
        for group, member in enumerate(members):
            found = min(k, len(member))
            if found:
                part = distances if groups == 1 else distances[:, member]
                nearest[rows, group, :found] = part.topk(found, dim=1, largest=False, sorted=True).values
    return nearest


def _rows_of_distances(x: Features, y: Features, device: str) -> Iterator[tuple[slice, Tensor]]:
    """Yield (rows, their squared distances to all of y), as many rows at a time as memory allows."""
    import torch

    squares = torch.cat([chunk.square().sum(dim=1) for _, chunk in _chunks(y, _ROWS, device)])
    for rows, part in _chunks(x, max(1, _PAIRS // len(y)), device):
        distances = squares + part.square().sum(dim=1, keepdim=True)
        for columns, others in _chunks(y, _ROWS, device):
            distances[:, columns].addmm_(part, others.T, alpha=-2)
        yield rows, distances.clamp_(min=0)
