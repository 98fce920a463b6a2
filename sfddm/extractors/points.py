"""Features of points in the plane, in which a Frechet distance sees more than their mean and covariance.

Two clouds of points with one mean and one covariance may still be ring and disc. Random Fourier features (Rahimi and
Recht 2007) tell them apart: over their number, the squared distance between the mean features of two clouds is their
maximum mean discrepancy under a Gaussian kernel, and the Frechet distance is at least as large.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sfddm.extractors.base import Extractor, Features

LENGTH = 0.1  # the kernel's deviation, in units of the coordinates: about two deviations of a component of ``petals``
FREQUENCIES = 64  # each gives a cosine and a sine
_SEED = 0


class Points(Extractor):
    """Random Fourier features of the points' coordinates."""

    name = "points"
    title = "points"
    layer = "128 random Fourier features"
    resizing = "none: the features are waves of the coordinates in [-1, 1]"  # as published records say it
    for_points = True

    def features(self, images: NDArray[np.uint8]) -> dict[str, Features]:
        """Return (B, 128) float32 features of (B, 1, 1, C) uint8 points."""
        return {self.layer: fourier_features(coordinates_of(images))}


def coordinates_of(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return (N, C) float32 coordinates in [-1, 1] of points stored as images of one pixel, (N, 1, 1, C) uint8."""
    return images.reshape(len(images), -1).astype(np.float32) / np.float32(127.5) - 1


def fourier_features(points: NDArray[np.float32]) -> Features:
    """Return (N, 128) float32 cosines and sines of (N, D) points at fixed random frequencies, of mean square 1.

    The mean product of two points' features is exp(-|x - y|^2 / (2 LENGTH^2)), but for the chance in 64 frequencies.
    """
    generator = np.random.Generator(np.random.Philox(_SEED))
    frequencies = generator.standard_normal((points.shape[1], FREQUENCIES)) / LENGTH  # (D, F)
    angles = points.astype(np.float64) @ frequencies  # (N, F)
    return (np.sqrt(2) * np.concatenate([np.cos(angles), np.sin(angles)], axis=1)).astype(np.float32)
