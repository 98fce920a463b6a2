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

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import SkipValidation

from sfddm.data.spec import Split
from sfddm.diffusion.randomness import initial_noise, sample_labels, step_noise
from sfddm.evaluation.compare import extraction_protocol
from sfddm.evaluation.intervals import Blocks, Replicated, interval
from sfddm.evaluation.measurements.base import Arrays, Inputs, Measurement
from sfddm.evaluation.pairwise import nearest
from sfddm.evaluation.reference import load_reference
from sfddm.evaluation.sections import Section
from sfddm.extractors.base import Features, extract_features
from sfddm.results.measurements import Interpolation, PathFigure
from sfddm.results.styles import REALISM
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM
from sfddm.sampling.sections import RowSampling

if TYPE_CHECKING:
    import torch

    from sfddm.networks.denoiser import Denoiser
    from sfddm.networks.ensemble import Ensemble

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Images = NDArray[np.uint8]

#: Images on a path, both ends among them, and paths that are measured; pair p runs from noise 2p to noise 2p + 1.
POINTS = 9
PAIRS = 8
_SHARES = np.arange(POINTS) / (POINTS - 1)
#: Of each metric its label, least and greatest value, and how it is computed.
_METRICS = {
    "path_length_ratio": ("Path length over end-to-end distance", 1.0, np.inf, "mean over paths of summed consecutive "
        "distances over the end-to-end distance; paths with equal ends are left out; 1 is straight"),
    "path_largest_step": ("Largest step's share of the path", 1 / (POINTS - 1), 1.0,
        f"mean over paths of the largest step's share of that sum; 1/{POINTS - 1} is even"),
    "intermediate_realism_ratio": ("Distance to the nearest real image, inner over end images", 0.0, np.inf,
        "mean distance to the nearest real image's features, inner images over ends"),
}  # fmt: skip


class Paths(Section):
    """What an interpolation computes with."""

    reference_split: Split
    student: SkipValidation[RowSampling]  # how the row is sampled, along an index set of its own
    teacher_guidance_scale: float
    teacher_index_set: tuple[int, ...] | None  # of the longest row of the teacher, where the spec has one
    pairs: int = PAIRS

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the figures are a function of, as plain JSON."""
        student = {name: value for name, value in self.student.key.items() if name != "count"}
        return self.model_dump(mode="json", exclude={"student"}) | {"student": student}

    @property
    def samplings(self) -> dict[str, RowSampling]:
        """How the student is sampled; its teacher, by DDIM on the same steps; and the teacher at its own length."""
        deterministic, scale = DDIM(clip=self.student.sampler.clip), self.teacher_guidance_scale
        teacher = replace(self.student, sampler=deterministic, guidance_scale=scale)
        found = {"student": self.student, "teacher": teacher}
        if self.teacher_index_set is not None:
            found["teacher-reference"] = replace(teacher, index_set=self.teacher_index_set)
        return found


class NoiseInterpolation(Measurement):
    """How smooth the ways between two noises are, student beside teacher; the arrays are the strips of images.

    A strip "{kind}/{who}" is (pairs, 9, H, W, C) uint8, kind linear or spherical; who is "student", "teacher" or
    "teacher-reference"; and "cross-fade/student". The ends of path p are the samples 2p and 2p + 1 of the row.
    """

    name = "interpolation"
    needs = ("models", "teacher", "reference")
    Section = Paths
    every_seed = False
    for_points = False
    template = "interpolation.html"

    @classmethod
    def labels(cls, section: Paths) -> dict[str, str]:
        """Return the label of each kind of the student's paths, in the figure that claims can speak of."""
        return dict.fromkeys(("linear", "spherical", "cross-fade"), _METRICS[REALISM][0])

    def measure(self, inputs: Inputs) -> tuple[Interpolation, Arrays]:
        """Return the figures and the strips; the models must stand for the row's steps."""
        section, strips, rows = inputs.section, _strips(inputs), []
        real = load_reference(inputs.given("reference"))[0].features
        for name, images in strips.items():
            kind, who = name.split("/")
            features = extract_features(images.reshape(-1, *images.shape[2:]), section, inputs.device)
            distances = nearest(features, real)[0].reshape(section.pairs, POINTS)
            features = features.reshape(section.pairs, POINTS, -1)
            rows += path_figures(images, features, distances, who, kind, section.confidence)
        return Interpolation(tuple(rows), _protocol(section, len(real))), strips


def _strips(inputs: Inputs) -> Arrays:
    """Return the strips of each way of sampling, and the cross-fade of the student's ends."""
    from sfddm.sampling.images import load_sampled

    section, device, student = inputs.section, inputs.device, inputs.section.student
    folders, row = (inputs.given("models"), [inputs.given("teacher")]), f"{student.row} at {student.steps}"
    models = [load_sampled(some, student.index_set, row)[0].to(device).eval() for some in folders]
    noises = initial_noise(section.seed, 0, 2 * section.pairs, student.shape)
    strips: Arrays = {}
    for who, sampling in section.samplings.items():
        for kind, mixture in (("linear", linear), ("spherical", spherical)):
            path = mixture(noises[::2], noises[1::2])
            strips[f"{kind}/{who}"] = images_of_paths(models[who != "student"], sampling, path, device)
    strips["cross-fade/student"] = cross_fade(strips["linear/student"])
    return strips


def linear(first: Float32, second: Float32) -> Float32:
    """Return (P, 9, ...) the mixtures (1 - k/8) first + k/8 second of (P, ...) noises, as SFDDM's released code does.

    Half way, independent noises give only half the variance that a model was trained to start from.
    """
    share = _along_paths(_SHARES[None], first.ndim)
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
        weights = (np.where(sine > 1e-6, np.sin(share * angle) / sine, share) for share in (1 - _SHARES, _SHARES))
        one, other = (_along_paths(weight, first.ndim) for weight in weights)
    return (one * first[:, None] + other * second[:, None]).astype(np.float32)


def cross_fade(images: Images) -> Images:
    """Return (P, 9, H, W, C) the straight fade, rounded to uint8, between the ends of (P, 9, H, W, C) paths."""
    share = _along_paths(_SHARES[None], images.ndim - 1)
    return np.round((1 - share) * images[:, :1] + share * images[:, -1:]).astype(np.uint8)


def _along_paths(weights: Float64, rank: int) -> Float64:
    """Return (P, 9) weights shaped for paths whose images are one axis less than ``rank``: (P, 9, 1, ...)."""
    return weights.reshape(*weights.shape, *(1,) * (rank - 1))


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


def path_figures(
    images: Images, features: Features, nearest_real: Float64, who: str, kind: str, confidence: float
) -> list[PathFigure]:
    """Return the figures of one set of paths; one that is undefined, as where no path moves, has none.

    ``images`` are (P, 9, H, W, C) uint8, ``features`` (P, 9, D) of them, and ``nearest_real`` (P, 9) the distances of
    these to the nearest real image's. The intervals come from leaving out one path at a time.
    """
    found: list[tuple[str, str, NDArray[Any], Callable[[NDArray[Any]], float]]] = []
    for space, points in (("pixels", images), ("features", features)):
        for metric, values in zip(("path_length_ratio", "path_largest_step"), path_numbers(points), strict=True):
            found.append((metric, space, values[np.isfinite(values)], lambda some: float(some.mean())))
    found.append(("intermediate_realism_ratio", "features", nearest_real, _inner_over_ends))
    rows = []
    for metric, space, paths, statistic in found:
        count, value = len(paths), statistic(paths) if len(paths) else np.nan
        if not np.isfinite(value):
            continue
        label, *bounds, _ = _METRICS[metric]
        low, high = None, None
        if count > 1:
            without = np.array([statistic(np.delete(paths, path, axis=0)) for path in range(count)])
            # A path is a block of as many images as it has.
            blocks = Blocks(count * POINTS, count)
            low, high = interval(Replicated(value, without), blocks, confidence, *bounds)
        rows.append(PathFigure(metric, label, value, low, high, who=who, kind=kind, space=space, pairs=count))
    return rows


def _inner_over_ends(nearest_real: NDArray[Any]) -> float:
    ends = float(nearest_real[:, [0, -1]].mean())
    return float(nearest_real[:, 1:-1].mean()) / ends if ends > 0 else np.nan


def images_of_paths(denoiser: Denoiser | Ensemble, sampling: RowSampling, noise: Float32, device: str) -> Images:
    """Return (P, 9, H, W, C) uint8 images from (P, 9, C, H, W) noises.

    Where the sampler draws noise at its steps, all images of a path draw that of the path's first sample, so that
    nothing but the initial noise changes along it. With classes, path p is of class p modulo their number.
    """
    import torch

    from sfddm.training.feed import to_uint8

    index_set, seed, shape, parts = sampling.index_set or (), sampling.seed, noise.shape[2:], []
    together = max(1, sampling.batch_size // POINTS)
    for first in range(0, len(noise), together):
        batch = noise[first : first + together]
        x = torch.from_numpy(batch.reshape(-1, *shape)).to(device)

        def noise_of_step(k: int, first: int = first, count: int = len(batch)) -> torch.Tensor:
            of_pairs = [step_noise(seed, k, 2 * pair, 1, shape) for pair in range(first, first + count)]
            return torch.from_numpy(np.concatenate(of_pairs)).repeat_interleave(POINTS, dim=0).to(device)

        classes = torch.from_numpy(sample_labels(first, len(batch), denoiser.classes))
        labels = None if denoiser.classes is None else classes.repeat_interleave(POINTS).to(device)
        with torch.inference_mode():
            given = denoiser.given(labels, sampling.guidance_scale)
            images = sample(given, index_set, sampling.sampler, x, noise_of_step)
        parts.append(to_uint8(images).cpu().numpy())
    together_again = np.concatenate(parts)
    return together_again.reshape(*noise.shape[:2], *together_again.shape[1:])


def _protocol(section: Paths, real: int) -> dict[str, Any]:
    student, sampler, longest = section.student, section.student.sampler, section.teacher_index_set
    return extraction_protocol(section) | {
        "pairs": section.pairs,
        "points": POINTS,
        "sampling_seed": section.seed,
        "noises": "path p runs from the noise of sample 2p to that of sample 2p + 1; step noise, where the sampler "
        "draws any, is the first sample's all along the path",
        "student_sampler": {"kind": sampler.name, "eta": sampler.eta, "clip": sampler.clip, "steps": student.steps},
        "teacher_sampler": "DDIM, eta 0, on the student's index set",
        "teacher_reference_steps": longest and len(longest),
        "reference_split": section.reference_split,
        "reference_images": real,
        "settings": {name: how for name, (*_, how) in _METRICS.items()}
        | {"cross-fade": "the student's two end images mixed pixel by pixel, rounded to uint8"},
        "interval": {
            "method": "delete-one-path jackknife, Student's t",
            "confidence": section.confidence,
            "covers": "variation between paths, given one student and one teacher; not that between trainings",
        },
    }
