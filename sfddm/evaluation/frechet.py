"""The Frechet distance computed for many protocols at once: fast, also of few images in many dimensions.

``metrics.frechet_distance`` is torch-fidelity's own and takes seconds in 1,280 dimensions. The same number comes from
symmetric matrices no larger than the number of images; the tests hold both against torch-fidelity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.intervals import Blocks, Replicated
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


def frechet_by_block(features: Features, real: RealSide, blocks: Blocks) -> Replicated:
    """Return the Frechet distance between (N, D) features and real ones, and without each block.

    With R the root of the real covariance and A the centred features over the root of N - 1, tr (S S_r)^(1/2) is the
    sum of the roots of the eigenvalues of (A R)'(A R), or of (A R)(A R)' where that is smaller. X R is computed once.
    """
    values = features.astype(np.float64)
    turned = values @ real.root

    def distance(kept: NDArray[np.bool_]) -> float:
        x, y = values[kept], turned[kept]
        mean, scale = x.mean(axis=0), len(x) - 1
        y -= y.mean(axis=0)
        products = y @ y.T if len(y) < y.shape[1] else y.T @ y
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(products / scale), 0))
        trace = float(((x - mean) ** 2).sum()) / scale
        return float(((mean - real.mean) ** 2).sum()) + trace + real.trace - 2 * float(roots.sum())

    labels = blocks.labels()
    without = [distance(labels != block) for block in range(blocks.count)]
    return Replicated(distance(np.ones(len(features), dtype=bool)), np.array(without))


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
