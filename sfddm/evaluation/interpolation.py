"""Interpolation in noise: images along the way between two noises, student beside teacher, and how smooth the way is.

Two numbers describe a path of images x_0 .. x_8 under a Euclidean distance d, in pixels or in an extractor's features:

- ``path_length_ratio``: sum of d(x_k, x_{k+1}) over d(x_0, x_8). 1 is a straight line, a larger number a detour.
- ``path_largest_step``: the largest d(x_k, x_{k+1}) over their sum. 1/8 is perfectly even, 1 one sudden jump.

Neither says that the images on the way are any good: fading one end into the other scores 1 and 1/8 in pixels. So a
third compares how far images are from the nearest real one: ``intermediate_realism_ratio``, the mean over the seven
inner images over the mean over the two ends, in features. About 1: the way is as realistic as its ends. The cross-fade
of the same ends stands beside it as a control.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sfddm.diffusion.randomness import initial_noise, sample_labels, step_noise
from sfddm.evaluation.intervals import Blocks, Replicated, interval
from sfddm.evaluation.metrics import nearest_neighbours
from sfddm.extractors.extract import EXTRACTORS, extract_features, resize_of
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_folder, write_json
from sfddm.samplers.base import Sampler
from sfddm.samplers.ddim import DDIM

if TYPE_CHECKING:
    import torch

    from sfddm.networks.denoiser import Denoiser
    from sfddm.networks.ensemble import Ensemble
    from sfddm.spec.experiment import Spec

Kind = Literal["linear", "spherical"]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Images = NDArray[np.uint8]

#: Images on a path, both ends among them, and paths that are measured; pair p runs from noise 2p to noise 2p + 1.
POINTS = 9
PAIRS = 8
KINDS: tuple[Kind, ...] = ("linear", "spherical")
#: The control's kind: the two end images mixed pixel by pixel.
CROSS_FADE = "cross-fade"
_SHARES = np.arange(POINTS) / (POINTS - 1)
_LABELS = {
    "path_length_ratio": "Path length over end-to-end distance",
    "path_largest_step": "Largest step's share of the path",
    "intermediate_realism_ratio": "Distance to the nearest real image, inner over end images",
}
_RANGES = {
    "path_length_ratio": (1.0, np.inf),
    "path_largest_step": (1 / (POINTS - 1), 1.0),
    "intermediate_realism_ratio": (0.0, np.inf),
}


def linear(first: Float32, second: Float32) -> Float32:
    """Return (P, 9, ...) the mixtures (1 - k/8) first + k/8 second of (P, ...) noises, as SFDDM's released code does.

    Half way, independent noises give only half the variance that a model was trained to start from.
    """
    share = _shaped(_SHARES, first.ndim)
    one, other = first[:, None].astype(np.float64), second[:, None].astype(np.float64)
    return ((1 - share) * one + share * other).astype(np.float32)


def spherical(first: Float32, second: Float32) -> Float32:
    """Return (P, 9, ...) the points of each arc between (P, ...) noises: Shoemake 1985; DDIM (Song et al. 2021), D.5.

    sin((1 - l) a) / sin(a) first + sin(l a) / sin(a) second, with l = k/8 and a the angle between the two; noises that
    point the same way are mixed linearly.
    """
    flat = [noise.reshape(len(noise), -1).astype(np.float64) for noise in (first, second)]
    lengths = np.linalg.norm(flat[0], axis=1) * np.linalg.norm(flat[1], axis=1)
    angle = np.arccos(np.clip((flat[0] * flat[1]).sum(axis=1) / lengths, -1, 1))[:, None]  # (P, 1)
    sine = np.sin(angle)
    with np.errstate(invalid="ignore", divide="ignore"):
        weights = [
            np.where(sine > 1e-6, np.sin(share * angle) / sine, share) for share in (1 - _SHARES, _SHARES)
        ]  # 2 x (P, 9)
    rank = first.ndim + 1
    ones, others = (weight.reshape(*weight.shape, *(1,) * (rank - 2)) for weight in weights)
    return (ones * first[:, None] + others * second[:, None]).astype(np.float32)


def cross_fade(images: Images) -> Images:
    """Return (P, 9, H, W, C) the straight fade, rounded to uint8, between the ends of (P, 9, H, W, C) paths."""
    share = _shaped(_SHARES, images.ndim - 1)
    mixed = (1 - share) * images[:, :1] + share * images[:, -1:]
    return np.round(mixed).astype(np.uint8)


def _shaped(values: Float64, rank: int) -> Float64:
    """Return (9,) values shaped to go along the second axis of an array that has one axis more than ``rank``."""
    return values.reshape(1, -1, *(1,) * (rank - 1))


_MIXTURES: dict[Kind, Callable[[Float32, Float32], Float32]] = {"linear": linear, "spherical": spherical}


def path_numbers(points: NDArray[Any]) -> tuple[Float64, Float64]:
    """Return (P,) length ratios and (P,) shares of the largest step of (P, 9, ...) paths; NaN where undefined.

    The ratio is undefined where both ends are equal, the share where nothing moves.
    """
    flat = points.reshape(len(points), points.shape[1], -1).astype(np.float64)
    steps = np.linalg.norm(np.diff(flat, axis=1), axis=2)  # (P, 8)
    length, direct = steps.sum(axis=1), np.linalg.norm(flat[:, -1] - flat[:, 0], axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = np.where(direct > 0, length / direct, np.nan)
        return ratio, np.where(length > 0, steps.max(axis=1) / length, np.nan)


def _figure(metric: str, pairs: NDArray[Any], statistic: Callable[[NDArray[Any]], float], confidence: float) -> Any:
    """Return value, low, high and pairs of a statistic of (P, ...) pairs; None where it is undefined.

    The interval comes from leaving out one pair at a time; there is none for a single pair.
    """
    count = len(pairs)
    value = statistic(pairs) if count else np.nan
    if not np.isfinite(value):
        return None
    found: dict[str, Any] = {"metric": metric, "label": _LABELS[metric], "value": value, "pairs": count}
    if count < 2:
        return found | {"low": None, "high": None}
    without = np.array([statistic(np.delete(pairs, pair, axis=0)) for pair in range(count)])
    # A pair is a block of as many images as a path has.
    blocks = Blocks(count * POINTS, count)
    low, high = interval(Replicated(value, without), blocks, confidence, *_RANGES[metric])
    return found | {"low": low, "high": high}


def path_rows(
    images: Images,
    features: NDArray[np.float32],
    nearest: Float64,
    facts: dict[str, Any],
    confidence: float,
) -> list[dict[str, Any]]:
    """Return the figures of one set of paths: ``facts`` and metric, label, space, value, low, high and pairs.

    Args:
        images: (P, 9, H, W, C) uint8.
        features: (P, 9, D) float32 of the images.
        nearest: (P, 9) distance of the features to the nearest real image's.
        facts: keys that every row carries: whose paths, of which kind.
        confidence: of the intervals, which are over pairs, in (0, 1).
    """
    rows = []
    for space, points in (("pixels", images), ("features", features)):
        for metric, values in zip(("path_length_ratio", "path_largest_step"), path_numbers(points), strict=True):
            defined = values[np.isfinite(values)]
            figure = _figure(metric, defined, lambda some: float(some.mean()), confidence)
            rows.append((space, figure))

    def inner_over_ends(some: NDArray[Any]) -> float:
        ends = float(some[:, [0, -1]].mean())
        return float(some[:, 1:-1].mean()) / ends if ends > 0 else np.nan

    rows.append(("features", _figure("intermediate_realism_ratio", nearest, inner_over_ends, confidence)))
    return [facts | {"space": space} | figure for space, figure in rows if figure is not None]


@dataclass(frozen=True)
class Walker:
    """A model together with how it is sampled, under the name that its strips carry."""

    who: str
    denoiser: Denoiser | Ensemble
    index_set: tuple[int, ...]
    sampler: Sampler
    guidance_scale: float = 1.0

    def images(self, noise: Float32, seed: int, batch_size: int, device: torch.device) -> Images:
        """Return (P, 9, H, W, C) uint8 images from (P, 9, C, H, W) noises.

        Where the sampler draws noise at its steps, all images of a path draw that of the path's first sample, so that
        nothing but the initial noise changes along it. With classes, path p is of class p modulo their number.
        """
        import torch

        from sfddm.samplers.base import sample
        from sfddm.training.feed import to_uint8

        shape = noise.shape[2:]
        together = max(1, batch_size // POINTS)
        parts = []
        for first in range(0, len(noise), together):
            batch = noise[first : first + together]
            x = torch.from_numpy(batch.reshape(-1, *shape)).to(device)

            def noise_of_step(k: int, first: int = first, count: int = len(batch)) -> torch.Tensor:
                of_pairs = np.concatenate(
                    [step_noise(seed, k, 2 * pair, 1, shape) for pair in range(first, first + count)]
                )
                return torch.from_numpy(of_pairs).repeat_interleave(POINTS, dim=0).to(device)

            classes = torch.from_numpy(sample_labels(first, len(batch), self.denoiser.classes))
            labels = None if self.denoiser.classes is None else classes.repeat_interleave(POINTS).to(device)
            with torch.inference_mode():
                given = self.denoiser.given(labels, self.guidance_scale)
                images = sample(given, self.index_set, self.sampler, x, noise_of_step)
            parts.append(to_uint8(images).cpu().numpy())
        images_of_all = np.concatenate(parts)
        return images_of_all.reshape(*noise.shape[:2], *images_of_all.shape[1:])


def interpolate(
    spec: Spec,
    row: str,
    steps: int,
    student_models: Sequence[Path],
    teacher_model: Path,
    reference: Path,
    out: Path,
    device: torch.device,
    pairs: int = PAIRS,
) -> None:
    """Write ``out/strips.npz`` and ``out/interpolation.json`` for one row, both or none.

    ``strips.npz`` holds "{kind}/{who}" -> (pairs, 9, H, W, C) uint8, kind linear or spherical; who is "student",
    "teacher" (DDIM on the student's index set) and, where the spec has a teacher's row, "teacher-reference" (DDIM at
    that row's length); and "cross-fade/student". The JSON is ``{"schema": 1, "rows": [{"who", "kind", "space",
    "metric", "label", "value", "low", "high", "pairs"}], "protocol": {...}}``. The ends of path p are the samples 2p
    and 2p + 1 of the row.

    Args:
        spec: the experiment.
        row: the method's row in the spec.
        steps: T', the sampling steps.
        student_models: the model folders that the row samples.
        teacher_model: the teacher's model folder.
        reference: folder that ``write_reference`` wrote.
        out: the folder to write.
        device: where to compute.
        pairs: paths.

    Raises:
        SfddmError: a folder is missing, or the model does not stand for the row's steps.
    """
    from sfddm.evaluation.reference import load_reference

    evaluation = spec.evaluation
    shape = (spec.data.channels, spec.data.image_size, spec.data.image_size)
    noises = initial_noise(evaluation.seed, 0, 2 * pairs, shape)
    layer = EXTRACTORS[evaluation.extractor].layer
    real = load_reference(reference)[0].features
    strips: dict[str, Images] = {}
    for walker in _walkers(spec, row, steps, student_models, teacher_model, device):
        for kind in KINDS:
            path = _MIXTURES[kind](noises[::2], noises[1::2])
            strips[f"{kind}/{walker.who}"] = walker.images(path, evaluation.seed, evaluation.batch_size, device)
    strips[f"{CROSS_FADE}/student"] = cross_fade(strips["linear/student"])
    rows = []
    for name, images in strips.items():
        kind_name, who = name.split("/")
        features = extract_features(images.reshape(-1, *images.shape[2:]), evaluation, str(device))[layer]
        distances = nearest_neighbours(features, real)[0].reshape(pairs, POINTS)
        facts = {"who": who, "kind": kind_name}
        rows += path_rows(images, features.reshape(pairs, POINTS, -1), distances, facts, evaluation.confidence)
    with atomic_folder(out) as temporary:
        with (temporary / "strips.npz").open("wb") as file:
            np.savez_compressed(file, **strips)  # type: ignore[arg-type]
        protocol = _protocol(spec, row, steps, pairs, len(real))
        write_json(temporary / "interpolation.json", {"schema": 1, "rows": rows, "protocol": protocol})


def _walkers(
    spec: Spec, row: str, steps: int, student_models: Sequence[Path], teacher_model: Path, device: torch.device
) -> Iterator[Walker]:
    """Yield the student, its teacher on the same steps, and the teacher at its reference length."""
    from sfddm.networks.model_folder import load_model
    from sfddm.sampling.images import load_sampled

    method, plan = spec.method(row), spec.plan(row, steps)
    index_set = plan.index_set
    if index_set is None:
        raise SfddmError(f"evaluation.interpolation: {row} has no index set without its file; leave it out")
    student, _ = load_sampled(student_models, index_set, f"{row} at {steps}")
    teacher, _ = load_model(teacher_model)
    if not set(index_set) <= set(teacher.steps.index_set):
        raise SfddmError(f"{teacher_model}: does not stand for the steps of {row} at {steps}")
    guidance_scale = method.options.guidance_scale
    own = 1.0 if plan.trainings else guidance_scale
    deterministic = DDIM(clip=plan.sampler.clip)
    yield Walker("student", student.to(device).eval(), index_set, plan.sampler, own)
    yield Walker("teacher", teacher.to(device).eval(), index_set, deterministic, guidance_scale)
    length = reference_length(spec)
    if length is not None:
        yield Walker("teacher-reference", teacher, length, deterministic, guidance_scale)


def reference_length(spec: Spec) -> tuple[int, ...] | None:
    """Return the index set of the longest row that samples the teacher as reference; None where the spec has none."""
    found = [
        method.index_set(steps)
        for method in map(spec.method, spec.methods)
        if method.is_reference
        for steps in method.sampled_steps(spec.steps)
    ]
    return max(found, key=len, default=None)


def _protocol(spec: Spec, row: str, steps: int, pairs: int, real: int) -> dict[str, Any]:
    evaluation = spec.evaluation
    sampler = spec.plan(row, steps).sampler
    extractor = EXTRACTORS[evaluation.extractor]
    length = reference_length(spec)
    return {
        "pairs": pairs,
        "points": POINTS,
        "sampling_seed": evaluation.seed,
        "noises": "path p runs from the noise of sample 2p to that of sample 2p + 1; step noise, where the sampler "
        "draws any, is the first sample's all along the path",
        "student_sampler": {"kind": sampler.name, "eta": sampler.eta, "clip": sampler.clip, "steps": steps},
        "teacher_sampler": "DDIM, eta 0, on the student's index set",
        "teacher_reference_steps": None if length is None else len(length),
        "extractor": evaluation.extractor,
        "extractor_sha256": extractor.sha256,
        "feature_layer": extractor.layer,
        "resize": resize_of(evaluation),
        "data_label": spec.data.label,
        "reference_split": evaluation.reference_split,
        "reference_images": real,
        "settings": {
            "path_length_ratio": "mean over paths of summed consecutive distances over the end-to-end distance; paths "
            "with equal ends are left out; 1 is straight",
            "path_largest_step": f"mean over paths of the largest step's share of that sum; 1/{POINTS - 1} is even",
            "intermediate_realism_ratio": "mean distance to the nearest real image's features, inner images over ends",
            "cross-fade": "the student's two end images mixed pixel by pixel, rounded to uint8",
        },
        "interval": {
            "method": "delete-one-path jackknife, Student's t",
            "confidence": evaluation.confidence,
            "covers": "variation between paths, given one student and one teacher; not that between trainings",
        },
    }
