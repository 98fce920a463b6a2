"""Agreement with the teacher from the same noise: image k of one set beside image k of the other.

Every row's sample k starts from the same noise (``initial_noise``), so a student that computes what
its teacher computes gives the same image at the same index. How near the two come says little by itself: small grey
images of one data set resemble each other anyway. Each figure therefore stands beside its control, the same figure
against the teacher's images from *other* noise, moved by one index.

Of points, images of one pixel, only the distance between coordinates is taken; PSNR, SSIM and a network's features say
nothing of them.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.intervals import Blocks, Replicated, interval
from sfddm.evaluation.score import open_samples
from sfddm.extractors.extract import EXTRACTORS, extract_features, resize_of
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import write_json

if TYPE_CHECKING:
    from sfddm.spec.experiment import Spec

Images = NDArray[np.uint8]
Float64 = NDArray[np.float64]

METRICS = ("psnr_teacher", "ssim_teacher", "feature_distance_teacher", "l1_teacher")
#: Appended to a metric's name: the same figure against the teacher's images from other noise.
CONTROL = "_control"

#: Mean squared error of rounding to whole levels. Images that are nearer than this cannot be told apart as uint8.
ROUNDING_ERROR = 1 / 12
#: Thus the greatest PSNR that is given, in dB: 58.92.
PSNR_CEILING = float(10 * np.log10(255**2 / ROUNDING_ERROR))
SSIM_WINDOW = 7
_CHUNK = 256
_RANGES = {
    "psnr_teacher": (0.0, PSNR_CEILING),
    "ssim_teacher": (-1.0, 1.0),
    "feature_distance_teacher": (0.0, np.inf),
    "l1_teacher": (0.0, 2.0),
}
_COVERS = (
    "variation of the images with the sampling noise, given one student, one teacher and this number of images; the "
    "figures are means over images, so a small sample does not bias them; not the variation between trainings"
)


def agreement_rows(
    samples: Images,
    teacher: Images,
    features: NDArray[np.float32] | None,
    teacher_features: NDArray[np.float32] | None,
    blocks: Blocks,
    confidence: float,
    extractor: str = "EfficientNet-Lite0",
) -> list[dict[str, Any]]:
    """Return a row ``{"metric", "label", "value", "low", "high"}`` for each of ``METRICS``, then each one's control.

    Without features, of points, ``l1_teacher`` is the only metric.

    Args:
        samples: (N, H, W, C) uint8; image k starts from noise k.
        teacher: (N, H, W, C) uint8, the teacher's images from the same noise.
        features: (N, D) float32 of ``samples``; None for points.
        teacher_features: (N, D) float32 of ``teacher``; None for points.
        blocks: how the N images are cut for the jackknife.
        confidence: of the intervals, in (0, 1).
        extractor: how the label names what the features come from.

    Raises:
        ValueError: the two sets differ in shape.
    """
    if samples.shape != teacher.shape:
        raise ValueError(f"{samples.shape} images cannot be paired with {teacher.shape}")
    rows = []
    for suffix, shift in (("", 0), (CONTROL, -1)):
        images = np.roll(teacher, shift, axis=0)
        figures = [("l1_teacher", "L1 distance to the teacher", l1_of_pairs(samples, images))]
        if features is not None and teacher_features is not None:
            distances = distance_of_pairs(features, np.roll(teacher_features, shift, axis=0))
            figures = [
                ("psnr_teacher", "PSNR to the teacher (dB)", psnr_of_pairs(samples, images)),
                ("ssim_teacher", "SSIM to the teacher", ssim_of_pairs(samples, images)),
                ("feature_distance_teacher", f"Distance to the teacher, {extractor} features", distances),
                *figures,
            ]
        for metric, label, values in figures:
            low, high = interval(_mean(values, blocks), blocks, confidence, *_RANGES[metric])
            shown = f"{label}, other noise" if suffix else label
            figure = {"value": float(values.mean()), "low": low, "high": high}
            rows.append({"metric": metric + suffix, "label": shown} | figure)
    return rows


def _mean(values: Float64, blocks: Blocks) -> Replicated:
    """Return the mean of (N,) values and its replicates without one block each."""
    kept = [(values.sum() - values[place].sum()) / blocks.kept for place in blocks.slices()]
    return Replicated(float(values.mean()), np.array(kept))


def psnr_of_pairs(x: Images, y: Images) -> Float64:
    """Return (N,) the peak signal-to-noise ratio of each pair in dB: 10 log10(255^2 / mean squared error).

    The squared error counts as at least that of rounding, 1/12, so that identical uint8 images, which real numbers
    that differ may well have been rounded to, give 58.92 dB and not infinity.

    Args:
        x: (N, H, W, C) uint8.
        y: the same.
    """
    errors = [
        np.square(x[place].astype(np.float64) - y[place]).mean(axis=(1, 2, 3)) for place in _chunks(len(x))
    ]  # (N,) in parts
    mse: Float64 = np.concatenate(errors)
    return 10 * np.log10(255**2 / np.maximum(mse, ROUNDING_ERROR))


def ssim_of_pairs(x: Images, y: Images) -> Float64:
    """Return (N,) the structural similarity of each pair, in [-1, 1]: Wang et al. 2004, equation 13, K = (.01, .03).

    A uniform window of 7x7 pixels (the whole side where an image is smaller) slides over the places where it fits
    entirely; variances are divided by n - 1, as in the paper's equation 4; the mean is taken over the places and the
    channels. Window sums are whole numbers and exact.

    Args:
        x: (N, H, W, C) uint8.
        y: the same.
    """
    return np.concatenate([_ssim(x[place].astype(np.int64), y[place].astype(np.int64)) for place in _chunks(len(x))])


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
    mean: Float64 = similarity.mean(axis=(1, 2, 3))
    return mean


def _window_sums(values: NDArray[np.int64], height: int, width: int) -> NDArray[np.int64]:
    """Return (N, H - height + 1, W - width + 1, C) sums over every window that fits, from running sums."""
    for axis, size in ((1, height), (2, width)):
        padding = [(1 if a == axis else 0, 0) for a in range(values.ndim)]
        running = np.pad(np.cumsum(values, axis=axis), padding)
        last = running.shape[axis]
        values = running.take(range(size, last), axis) - running.take(range(last - size), axis)
    return values


def distance_of_pairs(x: NDArray[np.float32], y: NDArray[np.float32]) -> Float64:
    """Return (N,) the Euclidean distance between the (N, D) features of each pair."""
    return np.concatenate([np.linalg.norm(x[place].astype(np.float64) - y[place], axis=1) for place in _chunks(len(x))])


def l1_of_pairs(x: Images, y: Images) -> Float64:
    """Return (N,) the mean absolute difference of each pair, per pixel or coordinate, in units of [-1, 1]: 0 to 2.

    The images stay rounded to 256 levels, 2/255 apart.

    Args:
        x: (N, H, W, C) uint8.
        y: the same.
    """
    parts = [np.abs(x[place].astype(np.float64) - y[place]).mean(axis=(1, 2, 3)) for place in _chunks(len(x))]
    return np.concatenate(parts) / 127.5


def _chunks(count: int) -> list[slice]:
    return [slice(first, first + _CHUNK) for first in range(0, count, _CHUNK)]


def measure_agreement(spec: Spec, samples: Path, teacher_samples: Path, out: Path, device: str = "cpu") -> None:
    """Write how far samples agree with the teacher's from the same noise, whole or not at all.

    The file is ``{"schema": 1, "rows": [{"metric", "label", "value", "low", "high"}], "protocol": {...}}``.

    Args:
        spec: the experiment.
        samples: .npy file, uint8 (N, H, W, C); its first ``evaluation.samples`` images are used.
        teacher_samples: the same from the teacher, sampled under the same ``evaluation.seed``.
        out: the JSON file.
        device: where the extractor runs.

    Raises:
        SfddmError: a file is missing, too short, of another type or shape; the extractor's weights cannot be had.
    """
    evaluation = spec.evaluation
    images, teacher = np.asarray(open_samples(samples, spec)), np.asarray(open_samples(teacher_samples, spec))
    if len(images) < 2:
        raise SfddmError(f"{samples}: the control needs at least two images, there is {len(images)}")
    blocks = Blocks(len(images), evaluation.blocks)
    extractor = EXTRACTORS[evaluation.extractor]
    features = teacher_features = None
    if evaluation.extractor != "points":
        features, teacher_features = (
            extract_features(some, evaluation, device)[extractor.layer] for some in (images, teacher)
        )
    rows = agreement_rows(images, teacher, features, teacher_features, blocks, evaluation.confidence, extractor.title)
    protocol = _protocol(spec, blocks) | {"identical_images": int((images == teacher).all(axis=(1, 2, 3)).sum())}
    write_json(out, {"schema": 1, "rows": rows, "protocol": protocol})


def _protocol(spec: Spec, blocks: Blocks) -> dict[str, Any]:
    evaluation = spec.evaluation
    extractor = EXTRACTORS[evaluation.extractor]
    settings = {"l1_teacher": "mean over images, pixels and channels of the absolute difference, in units of [-1, 1]"}
    if evaluation.extractor != "points":
        settings = _image_settings(spec) | settings
    return {
        "kind": "each generated image against the teacher's from the same noise",
        "control": "each generated image against the teacher's from the next noise; the last against the first",
        "data_label": spec.data.label,
        "generated_images": blocks.images,
        "sampling_seed": evaluation.seed,
        "extractor": evaluation.extractor,
        "extractor_sha256": extractor.sha256,
        "feature_layer": extractor.layer,
        "resize": resize_of(evaluation),
        "dtype": "uint8, as sampled",
        "settings": settings,
        "interval": {
            "method": "delete-one-block jackknife, Student's t",
            "blocks": blocks.count,
            "images_per_block": blocks.size,
            "confidence": evaluation.confidence,
            "covers": _COVERS,
        },
        "versions": {package: version(package) for package in ("numpy", "torch", *extractor.packages[:1])},
    }


def _image_settings(spec: Spec) -> dict[str, str]:
    side = min(SSIM_WINDOW, spec.data.image_size)
    return {
        "psnr_teacher": f"mean over images of 10 log10(255^2 / max(MSE, 1/12)); identical images count as the "
        f"error of rounding, {PSNR_CEILING:.2f} dB",
        "ssim_teacher": f"Wang et al. 2004, K = (0.01, 0.03), uniform {side}x{side} window inside the image, "
        "variances divided by n - 1, mean over places, channels and images",
        "feature_distance_teacher": "mean over images of the Euclidean distance of their features",
    }
