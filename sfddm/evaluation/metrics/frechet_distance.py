"""The Frechet distance between two sets of features as if both were Gaussian (Heusel et al. 2017, equation 6).

The figure is the definition's. Without each block, of few images in many dimensions, and under the protocols of the
audit, the same number comes faster from symmetric matrices no larger than the number of images, to within 1e-7 of it.
The tests hold all of them against torch-fidelity.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.intervals import Blocks, Replicated
from sfddm.evaluation.metrics.base import Compared, Metric, Reference
from sfddm.evaluation.pairwise import chunks
from sfddm.extractors.base import Features

if TYPE_CHECKING:
    from torch import Tensor

Float64 = NDArray[np.float64]
#: Features no wider than this take the replicates' algorithm for the figure, too.
_NARROW = 128


class FrechetDistance(Metric):
    """|m - m_r|^2 + tr(S + S_r - 2 (S S_r)^(1/2)); it falls as images are added."""

    name = "frechet_distance"
    title = "FD"
    title_of_inception = "FID"
    better = "lower"
    lowest = 0.0
    definition = "float64, covariance divided by N - 1; biased upwards by a small sample"

    def value(self, generated: Features, reference: Reference, device: str = "cpu") -> float:
        """Return the distance; the trace of the root is the sum of the roots of the eigenvalues of S S_r."""
        mean, covariance = moments(generated, device)
        shift = mean - reference.mean
        eigenvalues = np.linalg.eigvals(covariance.dot(reference.covariance)).astype("complex128")
        roots = np.sum(np.sqrt(eigenvalues).real)
        return float(shift.dot(shift) + np.trace(covariance) + np.trace(reference.covariance) - 2 * roots)

    def by_block(self, compared: Compared) -> Replicated:
        """Return the figure and its replicates."""
        generated, figure = compared.generated, compared.once(frechet_of_all)
        if generated.shape[1] <= _NARROW:
            return figure
        return replace(figure, value=self.value(generated, compared.reference, compared.device))


def moments(features: Features, device: str = "cpu") -> tuple[Float64, Float64]:
    """Return (D,) the mean and (D, D) the covariance, divided by N - 1, of (N, D) features."""
    import torch

    mean = torch.from_numpy(features.mean(axis=0, dtype=np.float64)).to(device)
    scatter = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=device)
    for _, chunk in chunks(features, device):
        centred = chunk - mean
        scatter.addmm_(centred.T, centred)
    return mean.cpu().numpy(), (scatter / (len(features) - 1)).cpu().numpy()


@dataclass(frozen=True)
class RealSide:
    """What a Frechet distance needs to know of (M, D) real features."""

    count: int  # M
    mean: Float64  # (D,)
    trace: float  # of the covariance
    root: Float64  # (D, D), the symmetric square root of the covariance

    @classmethod
    def of(cls, features: Features) -> RealSide:
        """Compute it."""
        mean = features.mean(axis=0, dtype=np.float64)
        if len(features) < len(mean):
            # Eigenvectors of a covariance of low rank may not converge; singular vectors of features do, and sooner.
            _, roots, rows = np.linalg.svd((features - mean) / np.sqrt(len(features) - 1), full_matrices=False)
            return cls(len(features), mean, float((roots**2).sum()), (rows.T * roots) @ rows)
        scatter = np.zeros((len(mean), len(mean)))
        for first in range(0, len(features), 4096):
            centred = features[first : first + 4096] - mean
            scatter += centred.T @ centred
        values, columns = np.linalg.eigh(scatter / (len(features) - 1))
        return cls(len(features), mean, float(values.sum()), (columns * np.sqrt(np.maximum(values, 0))) @ columns.T)

    @classmethod
    def of_reference(cls, reference: Reference) -> RealSide:
        """Take it from the reference, which has it."""
        return cls(len(reference.features), reference.mean, float(np.trace(reference.covariance)), reference.root)


def frechet_by_block(features: Features, real: RealSide, blocks: Blocks, device: str = "cpu") -> Replicated:
    """Return the Frechet distance between (N, D) features and real ones, and without each block.

    With R the root of the real covariance and A the centred features over the root of N - 1, tr (S S_r)^(1/2) is the
    sum of the roots of the eigenvalues of (A R)'(A R), or of (A R)(A R)' where that is smaller. X R is computed once.
    """
    import torch

    values = torch.from_numpy(np.asarray(features)).to(device, torch.float64)
    turned = values @ torch.from_numpy(real.root).to(device)  # (N, D)
    real_mean, owner = torch.from_numpy(real.mean).to(device), torch.from_numpy(blocks.labels()).to(device)
    few = blocks.kept < values.shape[1]

    def distance(sums: _Sums) -> float:
        roots = torch.linalg.eigvalsh(sums.scatter / (sums.count - 1)).clamp(min=0).sqrt()
        shift = sums.mean - real_mean
        return float(shift @ shift + sums.spread / (sums.count - 1) - 2 * roots.sum()) + real.trace

    def part(kept: Tensor) -> _Sums:
        return _Sums.of(values[kept], turned[kept], few)

    whole, every = _Sums.of(values, turned, few), range(blocks.count)
    without = [part(owner != block) if few else whole.without(part(owner == block)) for block in every]
    return Replicated(distance(whole), np.array([distance(sums) for sums in without]))


def frechet_of_all(compared: Compared) -> Replicated:
    """Return :func:`frechet_by_block` of all generated features beside the reference's."""
    real = RealSide.of_reference(compared.reference)
    return frechet_by_block(compared.generated, real, compared.blocks, compared.device)


@dataclass(frozen=True)
class _Sums:
    """What a Frechet distance needs to know of some features and of ``turned``, their products with the real root."""

    count: int
    mean: Tensor  # (D,)
    spread: Tensor  # sum of squared distances to the mean
    turned_mean: Tensor  # (D,)
    scatter: Tensor  # (D, D) of the products about their mean; (N, N) with the same eigenvalues for few features

    @classmethod
    def of(cls, values: Tensor, turned: Tensor, few: bool) -> _Sums:
        mean, turned_mean = values.mean(dim=0), turned.mean(dim=0)
        centred = turned - turned_mean
        scatter = centred @ centred.T if few else centred.T @ centred
        return cls(len(values), mean, (values - mean).square().sum(), turned_mean, scatter)

    def without(self, part: _Sums) -> _Sums:
        """Return the sums of what is left without ``part`` (Chan, Golub & LeVeque 1979, backwards)."""
        count = self.count - part.count
        mean = (self.count * self.mean - part.count * part.mean) / count
        turned_mean = (self.count * self.turned_mean - part.count * part.turned_mean) / count
        share, shift, turned = count * part.count / self.count, mean - part.mean, turned_mean - part.turned_mean
        spread = self.spread - part.spread - share * (shift @ shift)
        scatter = self.scatter - part.scatter - share * turned[:, None] * turned[None, :]
        return _Sums(count, mean, spread, turned_mean, scatter)


def frechet_of_few(x: Features, y: Features) -> float:
    """Return the Frechet distance between (N, D) and (M, D) features, exact also where N or M is less than D.

    With centred features A and B, divided by the roots of N - 1 and M - 1, the covariances are A'A and B'B, and
    tr (A'A B'B)^(1/2) is the sum of the singular values of A B', an N x M matrix.
    """
    parts = []
    for features in (x, y):
        values = features.astype(np.float64)
        mean = values.mean(axis=0)
        parts.append((mean, (values - mean) / np.sqrt(len(values) - 1)))
    (mean_x, a), (mean_y, b) = parts
    roots = np.linalg.svd(a @ b.T, compute_uv=False)
    return float(((mean_x - mean_y) ** 2).sum() + (a**2).sum() + (b**2).sum() - 2 * roots.sum())
