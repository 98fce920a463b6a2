"""Degrees of freedom: the figure that the same training gives from other weights and from other sampling seeds.

Nothing is chosen here. Each attempt is a Frechet distance under the spec's own protocol, from as many images as the
spec's ``samples``; the report says what somebody who looks at all of them and keeps the lowest would have printed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import SkipValidation

from sfddm.diffusion.randomness import initial_noise, sample_labels
from sfddm.evaluation.compare import label_of
from sfddm.evaluation.intervals import Blocks, interval
from sfddm.evaluation.measurements.base import Arrays, Inputs, Measurement
from sfddm.evaluation.metrics.frechet_distance import FrechetDistance, RealSide, frechet_by_block
from sfddm.evaluation.sections import Comparison
from sfddm.extractors.base import extract_features, find_extractor
from sfddm.results.measurements import Attempt, Degree, Freedom
from sfddm.sampling.sections import RowSampling

if TYPE_CHECKING:
    from sfddm.networks.denoiser import Denoiser
    from sfddm.networks.ensemble import Ensemble

#: Sampling seeds that are tried, the spec's own among them.
SEEDS = 4


class Attempts(Comparison):
    """What degrees of freedom are computed with."""

    student: SkipValidation[RowSampling]  # how the row is sampled, along an index set of its own

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the figures are a function of, as plain JSON."""
        return self.model_dump(mode="json", exclude={"student"}) | {"student": self.student.key}


class DegreesOfFreedom(Measurement):
    """The row's Frechet distance from weights and sampling seeds that an eager protocol could have chosen among."""

    name = "freedom"
    needs = ("samples", "models", "reference")
    Section = Attempts
    every_seed = False
    every_steps = False
    for_points = False
    template = "audit.html"

    def measure(self, inputs: Inputs) -> tuple[Freedom, Arrays]:
        """Return the attempts, the row's own figure first; the models must stand for the row's steps."""
        from sfddm.networks.model_folder import snapshots_of

        folders = inputs.given("models")
        kept = [set(snapshots_of(folder)) for folder in folders]
        run = _Run(inputs, RealSide.of_reference(inputs.real[0]), folders)
        rows = [run.attempt("own", "as in every other figure", inputs.images)]
        rows += run.attempts(sorted(set.intersection(*kept)))
        return Freedom(tuple(rows), _left_out({row.degree for row in rows}, any(kept))), {}


def _left_out(degrees: set[Degree], has_snapshots: bool) -> dict[Degree, str]:
    """Return why a degree of freedom has no attempt."""
    why = {
        "weights": "the model that is sampled keeps no weights but its own (snapshots of its training)",
        "checkpoint": "the model that is sampled keeps no earlier weights (snapshots, 2 or more, of its training)",
    }
    if has_snapshots:
        why["weights"] = "the model that is sampled was trained without an average of its weights"
    return {degree: reason for degree, reason in why.items() if degree not in degrees}  # type: ignore[misc]


@dataclass(frozen=True)
class _Run:
    """Samples the row's models again and scores what comes."""

    inputs: Inputs
    real: RealSide
    folders: tuple[Path, ...]

    def attempts(self, snapshots: list[str]) -> Iterator[Attempt]:
        """Yield an attempt for each snapshot, from the spec's own sampling seed, and for each further seed."""
        from sfddm.networks.model_folder import RAW

        own = self.inputs.section.student
        for name in snapshots:
            words = ("weights", "not averaged") if name == RAW else ("checkpoint", f"after {_share(name)} of training")
            yield self.attempt(*words, self.sampled(own, name))  # type: ignore[arg-type]
        for seed in range(own.seed + 1, own.seed + SEEDS):
            yield self.attempt("sampling-seed", f"seed {seed}", self.sampled(replace(own, seed=seed)))

    def sampled(self, sampling: RowSampling, snapshot: str | None = None) -> NDArray[np.uint8]:
        """Return (N, H, W, C) uint8 images of the models, or of a snapshot of each."""
        from sfddm.sampling.images import load_sampled

        assert sampling.index_set is not None
        who = f"{sampling.row} at {sampling.steps}"
        denoiser, _ = load_sampled(self.folders, sampling.index_set, who, snapshot)
        return images_of(denoiser.to(self.inputs.device).eval(), sampling, self.inputs.device)

    def attempt(self, degree: Degree, choice: str, images: NDArray[np.uint8]) -> Attempt:
        """Return the Frechet distance of images with its interval, as the score computes them."""
        section, device = self.inputs.section, self.inputs.device
        features = extract_features(images, section, device)
        blocks = Blocks(len(features), section.blocks)
        figure = frechet_by_block(features, self.real, blocks, device)
        low, high = interval(figure, blocks, section.confidence, 0.0)
        label = label_of(FrechetDistance(), find_extractor(section.extractor))
        return Attempt(
            FrechetDistance.name, label, figure.value, low, high, degree=degree, choice=choice, images=len(images)
        )


def _share(snapshot: str) -> str:
    return snapshot.replace("-of-", "/")


def images_of(denoiser: Denoiser | Ensemble, sampling: RowSampling, device: str) -> NDArray[np.uint8]:
    """Return the row's (N, H, W, C) uint8 images, as ``sfddm sample`` makes them; an index set must be stated."""
    import torch

    from sfddm.sampling.images import draw
    from sfddm.training.feed import to_uint8

    labels, parts = sample_labels(0, sampling.count, denoiser.classes), []
    for first in range(0, sampling.count, sampling.batch_size):
        count = min(sampling.batch_size, sampling.count - first)
        x = torch.from_numpy(initial_noise(sampling.seed, first, count, sampling.shape)).to(device)
        chosen, indices = labels[first : first + count], sampling.index_set or ()
        made = draw(denoiser, indices, sampling.sampler, x, chosen, sampling.seed, first, sampling.guidance_scale)
        parts.append(to_uint8(made).cpu().numpy())
    return np.concatenate(parts)
