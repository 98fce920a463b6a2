"""The Frechet distance extrapolated to infinitely many generated images (Chong & Forsyth 2020)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sfddm.diffusion.randomness import derived_seed, epoch_order
from sfddm.evaluation.intervals import Blocks, Replicated
from sfddm.evaluation.metrics.base import Compared, Metric
from sfddm.evaluation.metrics.frechet_distance import RealSide, frechet_by_block, frechet_of_all
from sfddm.runtime.errors import SfddmError

#: Into how many parts the images are cut, besides the whole: points at N, N/2 and N/3 are evenly spaced in 1/N.
PARTS = (2, 3)


class FDInfinity(Metric):
    """The value at 1/N = 0 of a line through Frechet distances of fewer and fewer images against 1/N.

    The images are drawn without replacement into two, and into three, parts of equal size, with a fixed seed; a size's
    distance is the mean over its parts. The bias is linear in 1/N where a part has more images than the features have
    directions of notable variance; with fewer, the line falls too low, below 0 even. The number of reference images
    stays what it is, and so does the bias that it brings.
    """

    name = "fd_infinity"
    title = "FD-infinity"
    title_of_inception = "FID-infinity"
    better = "lower"
    definition = "intercept at 1/N = 0 of a least-squares line through the Frechet distances of N, N/2 and N/3 images"

    def by_block(self, compared: Compared) -> Replicated:
        """Return the figure and its replicates; each part loses its share of the block that is left out."""
        blocks, real = compared.blocks, RealSide.of_reference(compared.reference)
        numbers, found = [(blocks.images, blocks.kept)], [compared.once(frechet_of_all)]
        for count in sizes(blocks):
            parts = [
                frechet_by_block(compared.generated[rows], real, Blocks(len(rows), blocks.count), compared.device)
                for rows in drawn_parts(blocks, count)
            ]
            size = blocks.count * (blocks.size // count)
            numbers.append((size, size - size // blocks.count))
            replicates = np.mean([part.replicates for part in parts], axis=0)
            found.append(Replicated(float(np.mean([part.value for part in parts])), replicates))
        whole, kept = np.array(numbers).T
        values, without = np.array([one.value for one in found]), np.stack([one.replicates for one in found])
        return Replicated(float(intercept(whole, values)), np.asarray(intercept(kept, without)))


def sizes(blocks: Blocks) -> list[int]:
    """Return into how many parts the images can be cut, so that each has two images or more of each block.

    Raises:
        SfddmError: not even into two.
    """
    found = [count for count in PARTS if blocks.size // count >= 2]
    if not found:
        least = 4 * blocks.count
        raise SfddmError(
            f"evaluation.metrics: fd_infinity needs at least {least} images for {blocks.count} blocks, there are "
            f"{blocks.images}"
        )
    return found


def drawn_parts(blocks: Blocks, count: int) -> Iterator[NDArray[np.int64]]:
    """Yield the rows of each of ``count`` parts, in the order of the blocks, as many of each block."""
    size, shares = blocks.size // count, []
    for block, place in enumerate(blocks.slices()):
        order = epoch_order(derived_seed("evaluation", "fd_infinity", count), block, blocks.size)
        shares.append(place.start + order[: count * size].reshape(count, size))
    yield from np.stack(shares, axis=1).reshape(count, -1)


def intercept(numbers: NDArray[np.int64], distances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the value at 1/N = 0 of the least-squares lines through (S,) or (S, B) distances at (S,) numbers N."""
    design = np.stack([np.ones(len(numbers)), 1 / numbers], axis=1)  # (S, 2)
    return np.asarray(np.linalg.lstsq(design, distances, rcond=None)[0][0])
