"""What else could have been reported of the same training: other weights of it, other sampling seeds.

Each figure is the Frechet distance under the spec's own protocol. A protocol that takes the best of several
checkpoints, or of several draws of the sampling noise, prints the least of them; the report says which that is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import SkipValidation

from sfddm.diffusion.randomness import derived_seed, initial_noise, sample_labels
from sfddm.evaluation.compare import label_of
from sfddm.evaluation.intervals import Blocks, interval
from sfddm.evaluation.measurements.base import Arrays, Inputs, Measurement
from sfddm.evaluation.metrics.frechet_distance import FrechetDistance, RealSide, frechet_by_block
from sfddm.evaluation.sections import Comparison
from sfddm.extractors.base import extract_features, find_extractor
from sfddm.results.measurements import Audit, AuditFigure
from sfddm.sampling.sections import RowSampling

if TYPE_CHECKING:
    from sfddm.networks.denoiser import Denoiser
    from sfddm.networks.ensemble import Ensemble

#: Draws of the sampling noise, the spec's own among them.
SAMPLING_SEEDS = 4
_NOTE = "Figures under the spec's own protocol, of other weights of the same training and of other sampling noise."


class Freedom(Comparison):
    """What the other figures of a row are a function of."""

    student: SkipValidation[RowSampling]

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the figures are a function of, as plain JSON."""
        return self.model_dump(mode="json", exclude={"student"}) | {"student": self.student.key}


class DegreesOfFreedom(Measurement):
    """The row's Frechet distance with other sampling seeds, and with earlier weights where one model is sampled."""

    name = "freedom"
    needs = ("models", "reference")
    Section = Freedom
    every_seed = False
    for_points = False
    template = "audit.html"

    def measure(self, inputs: Inputs) -> tuple[Audit, Arrays]:
        """Return a row for each; earlier weights are there where the training's ``snapshots`` asked for them."""
        from sfddm.networks.model_folder import load_snapshots
        from sfddm.sampling.images import load_sampled

        models, student = inputs.given("models"), inputs.section.student
        denoiser, _ = load_sampled(models, student.index_set, f"{student.row} at {student.steps}")
        rows = []
        for number in range(1, SAMPLING_SEEDS):
            again = replace(student, seed=derived_seed("evaluation", "freedom", student.seed, number))
            names = (f"seed-{number}", f"Sampling seed {number + 1}", f"images from other noise, draw {number + 1}")
            rows.append(_row(inputs, denoiser, again, *names))
        for name, earlier in (load_snapshots(models[0]) if len(models) == 1 else {}).items():
            title = "Not averaged" if name == "not averaged" else f"After {name}"
            names = (f"weights-{name.replace(' ', '-')}", title, f"the weights {title[:1].lower()}{title[1:]}")
            rows.append(_row(inputs, earlier, student, *names))
        return Audit(tuple(rows), _NOTE), {}


def _row(
    inputs: Inputs, denoiser: Denoiser | Ensemble, sampling: RowSampling, name: str, title: str, description: str
) -> AuditFigure:
    section: Freedom = inputs.section
    images = sampled_images(denoiser, sampling, inputs.device)
    features = extract_features(images, section, inputs.device)
    real, blocks = RealSide.of_reference(inputs.real[0]), Blocks(len(features), section.blocks)
    figure = frechet_by_block(features, real, blocks, inputs.device)
    low, high = interval(figure, blocks, section.confidence, 0.0)
    extractor = find_extractor(section.extractor)
    return AuditFigure(
        metric=FrechetDistance.name,
        label=label_of(FrechetDistance(), extractor),
        value=figure.value,
        low=low,
        high=high,
        protocol_name=name,
        title=title,
        description=description,
        images=len(features),
        reference_images=real.count,
        layer=extractor.layer,
        resize=extractor.resize(section.extractor_resolution),
        reference_split=section.reference_split,
    )


def sampled_images(denoiser: Denoiser | Ensemble, sampling: RowSampling, device: str) -> NDArray[np.uint8]:
    """Return (N, H, W, C) uint8 images of a row, as ``sfddm sample`` makes them."""
    import torch

    from sfddm.sampling.images import draw
    from sfddm.training.feed import to_uint8

    assert sampling.index_set is not None
    denoiser.to(torch.device(device)).eval()
    labels = sample_labels(0, sampling.count, denoiser.classes)
    batches = []
    for first in range(0, sampling.count, sampling.batch_size):
        count = min(sampling.batch_size, sampling.count - first)
        x = torch.from_numpy(initial_noise(sampling.seed, first, count, sampling.shape)).to(device)
        chosen = labels[first : first + count]
        made = draw(
            denoiser, sampling.index_set, sampling.sampler, x, chosen, sampling.seed, first, sampling.guidance_scale
        )
        batches.append(to_uint8(made).cpu().numpy())
    return np.concatenate(batches)
