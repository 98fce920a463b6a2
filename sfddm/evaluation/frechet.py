"""The Frechet distance computed for many protocols at once: fast, also of few images in many dimensions.

``metrics.frechet_distance`` is torch-fidelity's own. The same number comes from symmetric matrices no larger than the
number of images, and without a block from what is left of sums; the tests hold both against torch-fidelity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.intervals import Blocks, Replicated

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.evaluation.metrics import Features


@dataclass(frozen=True)
class RealSide:
    """What a Frechet distance needs to know of (M, D) real features.

    Attributes:
        count: M.
        mean: (D,) float64.
        trace: of the covariance.
        root: (D, D) float64, the symmetric square root of the covariance.
    """

    count: int
    mean: NDArray[np.float64]
    trace: float
    root: NDArray[np.float64]


def real_side(features: Features) -> RealSide:
    """Return what the Frechet distance needs of (M, D) features."""
    mean = features.mean(axis=0, dtype=np.float64)
    if len(features) < len(mean):
        # Eigenvectors of a covariance of low rank may not converge; singular vectors of the features do, and sooner.
        _, roots, rows = np.linalg.svd((features - mean) / np.sqrt(len(features) - 1), full_matrices=False)
        return RealSide(len(features), mean, float((roots**2).sum()), (rows.T * roots) @ rows)
    scatter = np.zeros((len(mean), len(mean)))
    for first in range(0, len(features), 4096):
        centred = features[first : first + 4096] - mean
        scatter += centred.T @ centred
    values, columns = np.linalg.eigh(scatter / (len(features) - 1))
    root = (columns * np.sqrt(np.maximum(values, 0))) @ columns.T
    return RealSide(len(features), mean, float(values.sum()), root)


def frechet_by_block(features: Features, real: RealSide, blocks: Blocks, device: str = "cpu") -> Replicated:
    """Return the Frechet distance between (N, D) features and real ones, and without each block.

    With R the root of the real covariance and A the centred features over the root of N - 1, tr (S S_r)^(1/2) is the
    sum of the roots of the eigenvalues of (A R)'(A R), or of (A R)(A R)' where that is smaller. X R is computed once.
    """
    import torch

    values = torch.from_numpy(np.asarray(features)).to(device, torch.float64)
    turned = values @ torch.from_numpy(real.root).to(device)  # (N, D)
    real_mean = torch.from_numpy(real.mean).to(device)

    def distance(count: int, mean: Tensor, spread: Tensor, products: Tensor) -> float:
        roots = torch.linalg.eigvalsh(products / (count - 1)).clamp(min=0).sqrt()
        shift = mean - real_mean
        return float(shift @ shift + spread / (count - 1) - 2 * roots.sum()) + real.trace

    def of_sums(sums: _Sums) -> float:
        return distance(sums.count, sums.mean, sums.spread, sums.scatter)

    def of_few(kept: Tensor) -> float:
        x, y = values[kept], turned[kept] - turned[kept].mean(dim=0)
        return distance(len(x), x.mean(dim=0), (x - x.mean(dim=0)).square().sum(), y @ y.T)

    owner = torch.from_numpy(blocks.labels()).to(device)
    if blocks.kept < values.shape[1]:
        without = [of_few(owner != block) for block in range(blocks.count)]
        return Replicated(of_few(torch.ones_like(owner, dtype=torch.bool)), np.array(without))
    whole = _Sums.of(values, turned)
    parts = [_Sums.of(values[owner == block], turned[owner == block]) for block in range(blocks.count)]
    return Replicated(of_sums(whole), np.array([of_sums(whole.without(part)) for part in parts]))


@dataclass(frozen=True)
class _Sums:
    """What a Frechet distance needs to know of some features and of their products with the real root.

    Attributes:
        count: n.
        mean: (D,) of the features.
        spread: sum of their squared distances to it.
        turned_mean: (D,) of the products.
        scatter: (D, D) of the products about their mean.
    """

    count: int
    mean: Tensor
    spread: Tensor
    turned_mean: Tensor
    scatter: Tensor

    @classmethod
    def of(cls, values: Tensor, turned: Tensor) -> _Sums:
        mean, turned_mean = values.mean(dim=0), turned.mean(dim=0)
        centred = turned - turned_mean
        return cls(len(values), mean, (values - mean).square().sum(), turned_mean, centred.T @ centred)

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


def stratified_interval(strata: NDArray[np.float64], confidence: float) -> tuple[float | None, float | None]:
    """Return the interval of the mean of (S, n) values that differ systematically between the S strata.

    Student's t with S (n - 1) degrees of freedom, the variance pooled within the strata; (None, None) for n = 1.
    """
    from scipy.special import stdtrit

    count, size = strata.shape
    if size < 2:
        return None, None
    error = float(np.sqrt(strata.var(axis=1, ddof=1).mean() / (count * size)))
    half = float(stdtrit(count * (size - 1), (1 + confidence) / 2)) * error
    return float(strata.mean()) - half, float(strata.mean()) + half
