"""Agreement with the teacher from the same noise: image k of one set beside image k of the other.

Every row's sample k starts from the same noise (``initial_noise``), so a student that computes what its teacher does
gives the same image at the same index. How near the two come says little by itself: small grey images of one data set
resemble each other anyway. Each figure therefore stands beside its control, the same figure against the teacher's
images from *other* noise, moved by one index. Of points, only the distance between coordinates is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.compare import extraction_protocol, interval_protocol, versions_of
from sfddm.evaluation.intervals import Blocks, interval
from sfddm.evaluation.measurements.base import Arrays, Inputs, Measurement
from sfddm.evaluation.sections import Samples
from sfddm.extractors.base import Features, extract_features, find_extractor
from sfddm.results.measurements import Measured
from sfddm.results.score import Figure
from sfddm.results.styles import CONTROL

Images = NDArray[np.uint8]
Float64 = NDArray[np.float64]

#: Mean squared error of rounding to whole levels. Images that are nearer than this cannot be told apart as uint8.
ROUNDING_ERROR = 1 / 12
PSNR_CEILING = float(10 * np.log10(255**2 / ROUNDING_ERROR))  # thus the greatest PSNR that is given, in dB: 58.92
SSIM_WINDOW = 7
_CHUNK = 256
_RANGES = {
    "psnr_teacher": (0.0, PSNR_CEILING),
    "ssim_teacher": (-1.0, 1.0),
    "feature_distance_teacher": (0.0, np.inf),
    "l1_teacher": (0.0, 2.0),
}
_LABELS = {
    "psnr_teacher": "PSNR to the teacher (dB)",
    "ssim_teacher": "SSIM to the teacher",
    "feature_distance_teacher": "Distance to the teacher, {extractor} features",
    "l1_teacher": "L1 distance to the teacher",
}
METRICS = tuple(_RANGES)
_COVERS = (
    "variation of the images with the sampling noise, given one student, one teacher and this number of images; the "
    "figures are means over images, so a small sample does not bias them; not the variation between trainings"
)


class Agreement(Measurement):
    """How far a row's images lie from the teacher's from the same noise, and from its others."""

    name = "agreement"
    needs = ("samples", "teacher_samples")

    @classmethod
    def labels(cls, section: Samples) -> dict[str, str]:
        """Return the labels of the figures, then those of their controls."""
        extractor = find_extractor(section.extractor)
        known = _LABELS if not extractor.for_points else {"l1_teacher": _LABELS["l1_teacher"]}
        labels = {metric: text.format(extractor=extractor.title) for metric, text in known.items()}
        return labels | {f"{metric}{CONTROL}": f"{label}, other noise" for metric, label in labels.items()}

    def measure(self, inputs: Inputs) -> tuple[Measured, Arrays]:
        """Return each figure, then its control."""
        section, images, teacher = inputs.section, np.asarray(inputs.images), np.asarray(inputs.teacher_images)
        features = None
        if not find_extractor(section.extractor).for_points:
            features = inputs.features, extract_features(teacher, section, inputs.device)
        rows = agreement_rows(images, teacher, features, section)
        identical = {"identical_images": int((images == teacher).all(axis=(1, 2, 3)).sum())}
        return Measured(rows, _protocol(section) | identical), {}


def agreement_rows(
    samples: Images, teacher: Images, features: tuple[Features, Features] | None, section: Samples
) -> tuple[Figure, ...]:
    """Return a figure for each of ``METRICS``, then each one's control.

    ``samples`` and ``teacher`` are (N, H, W, C) uint8, image k of both from noise k, ``features`` (N, D) of both; None
    for points, of which ``l1_teacher`` is the only metric.
    """
    blocks, labels, rows = Blocks(len(samples), section.blocks), Agreement.labels(section), []
    for suffix, shift in (("", 0), (CONTROL, -1)):
        images = np.roll(teacher, shift, axis=0)
        figures = [("l1_teacher", l1_of_pairs(samples, images))]
        if features is not None:
            distances = distance_of_pairs(features[0], np.roll(features[1], shift, axis=0))
            figures = [
                ("psnr_teacher", psnr_of_pairs(samples, images)),
                ("ssim_teacher", ssim_of_pairs(samples, images)),
                ("feature_distance_teacher", distances),
                *figures,
            ]
        for metric, values in figures:
            mean = blocks.mean(values)
            low, high = interval(mean, blocks, section.confidence, *_RANGES[metric])
            rows.append(Figure(metric + suffix, labels[metric + suffix], mean.value, low, high))
    return tuple(rows)


def psnr_of_pairs(x: Images, y: Images) -> Float64:
    """Return (N,) the peak signal-to-noise ratio in dB of each pair of (N, H, W, C): 10 log10(255^2 / squared error).

    The mean squared error counts as at least that of rounding, 1/12, so that identical uint8 images, which real numbers
    that differ may well have been rounded to, give 58.92 dB and not infinity.
    """
    mse = _of_chunks(lambda a, b: np.square(a.astype(np.float64) - b).mean(axis=(1, 2, 3)), x, y)
    return 10 * np.log10(255**2 / np.maximum(mse, ROUNDING_ERROR))


def ssim_of_pairs(x: Images, y: Images) -> Float64:
    """Return (N,) the structural similarity of each pair, in [-1, 1]: Wang et al. 2004, equation 13, K = (.01, .03).

    A uniform window of 7x7 pixels (the whole side where an image is smaller) slides over the places where it fits
    entirely; variances are divided by n - 1, as in the paper's equation 4; the mean is taken over the places and the
    channels. Window sums are whole numbers and exact.
    """
    return _of_chunks(lambda a, b: _ssim(a.astype(np.int64), b.astype(np.int64)), x, y)


def _ssim(x: NDArray[np.int64], y: NDArray[np.int64]) -> Float64:
    height, width = min(SSIM_WINDOW, x.shape[1]), min(SSIM_WINDOW, x.shape[2])
    n = height * width
    of_x, of_y, of_xx, of_yy, of_xy = (_window_sums(v, height, width) for v in (x, y, x * x, y * y, x * y))
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_x, mean_y = of_x / n, of_y / n
    # A sum of squares about the mean, n * sum(x^2) - sum(x)^2, is a whole number too; a single pixel varies by 0.
    scale = n * max(n - 1, 1)
    variances = (n * of_xx - of_x**2 + n * of_yy - of_y**2) / scale
    covariance = (n * of_xy - of_x * of_y) / scale
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (variances + c2)
    )
    return np.asarray(similarity.mean(axis=(1, 2, 3)))


def _window_sums(values: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    """Return (N, H - height + 1, W - width + 1, C) sums over every window that fits, from running sums."""
    for axis, size in ((1, height), (2, width)):
        running = np.pad(np.cumsum(values, axis=axis), [(int(a == axis), 0) for a in range(values.ndim)])
        last = running.shape[axis]
        values = running.take(range(size, last), axis) - running.take(range(last - size), axis)
    return values


def distance_of_pairs(x: Features, y: Features) -> Float64:
    """Return (N,) the Euclidean distance between the (N, D) features of each pair."""
    return _of_chunks(lambda a, b: np.linalg.norm(a.astype(np.float64) - b, axis=1), x, y)


def l1_of_pairs(x: Images, y: Images) -> Float64:
    """Return (N,) the mean absolute difference of each pair, per pixel or coordinate, in units of [-1, 1]: 0 to 2."""
    return _of_chunks(lambda a, b: np.abs(a.astype(np.float64) - b).mean(axis=(1, 2, 3)), x, y) / 127.5


def _of_chunks(figure: Callable[[Any, Any], Float64], x: NDArray[Any], y: NDArray[Any]) -> Float64:
    places = [slice(first, first + _CHUNK) for first in range(0, len(x), _CHUNK)]
    return np.concatenate([figure(x[place], y[place]) for place in places])


def _protocol(section: Samples) -> dict[str, Any]:
    settings = {"l1_teacher": "mean over images, pixels and channels of the absolute difference, in units of [-1, 1]"}
    if not find_extractor(section.extractor).for_points:
        side = min(SSIM_WINDOW, section.image_size)
        settings |= {
            "psnr_teacher": f"mean over images of 10 log10(255^2 / max(MSE, 1/12)); identical images count as the "
            f"error of rounding, {PSNR_CEILING:.2f} dB",
            "ssim_teacher": f"Wang et al. 2004, K = (0.01, 0.03), uniform {side}x{side} window inside the image, "
            "variances divided by n - 1, mean over places, channels and images",
            "feature_distance_teacher": "mean over images of the Euclidean distance of their features",
        }
    return extraction_protocol(section) | {
        "kind": "each generated image against the teacher's from the same noise",
        "control": "each generated image against the teacher's from the next noise; the last against the first",
        "generated_images": section.samples,
        "sampling_seed": section.seed,
        "dtype": "uint8, as sampled",
        "settings": settings,
        "interval": interval_protocol(section, section.samples, _COVERS),
        "versions": versions_of(section, "numpy", "torch"),
    }
