"""Memorisation: how near generated images come to training images, beside how near other real images come to them.

A distance to the nearest training image says little by itself: all images of one data set resemble each other. It
stands beside the same distance of real images that were not trained on, those of the split ``test``. Where a store has
none, the control is each training image against the nearest *other* one; if images are drawn independently, a held-out
image is as far from so many training images. Which control it was is in the protocol.

Nearness is that of the extractor's features, so what the extractor does not see does not count, and mirrored copies are
not looked for. A model that memorises a few images shows in the share rather than in the medians.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfddm.data.spec import Split
from sfddm.data.store import Store, open_store
from sfddm.diffusion.randomness import derived_seed, epoch_order
from sfddm.evaluation.compare import extraction_protocol, interval_protocol, versions_of
from sfddm.evaluation.intervals import Blocks, Replicated, interval
from sfddm.evaluation.measurements.agreement import distance_of_pairs
from sfddm.evaluation.measurements.base import Arrays, Inputs, Measurement
from sfddm.evaluation.pairwise import nearest, nearest_by_group
from sfddm.evaluation.reference import RowsOf
from sfddm.evaluation.sections import Comparison, Samples
from sfddm.extractors.base import Features, extract_features, find_extractor
from sfddm.results.measurements import Measured
from sfddm.results.score import Figure
from sfddm.runtime.errors import SfddmError

Float64 = NDArray[np.float64]

#: The share of the control's images that are nearer than the threshold of "nearer than held-out images are".
THRESHOLD = 0.01
LABELS = {
    "nearest_training": "Distance to the nearest training image, median",
    "nearest_training_held_out": "The same of held-out real images",
    "nearest_training_ratio": "Ratio of the two medians",
    "nearer_than_held_out": f"Share nearer than {THRESHOLD:.0%} of held-out images are",
}
_COVERS = (
    "variation of the generated images with the sampling noise, given one model, one set of training images and one of "
    "held-out ones; for the held-out images' own median, variation of those; not the variation between trainings"
)


class Memorisation(Measurement):
    """Median distances to the nearest training image, their ratio, and how many generated images are unusually near."""

    name = "memorisation"
    needs = ("samples", "reference", "data")
    Section = Comparison
    for_points = False  # coordinates have 256 levels, so that points of any two sets coincide

    @classmethod
    def labels(cls, section: Samples) -> dict[str, str]:
        """Return the labels of the figures."""
        title = find_extractor(section.extractor).title
        return {metric: f"{label}, {title} features" for metric, label in LABELS.items()}

    def measure(self, inputs: Inputs) -> tuple[Measured, Arrays]:
        """Return the figures; the array holds each generated image's distance."""
        section, device = inputs.section, inputs.device if inputs.device.startswith("cuda") else "cpu"
        train = open_store(inputs.given("data") / "train")
        training = _features(inputs, train, "train")
        generated = nearest_distances(inputs.features, training, device)
        folder = inputs.given("data") / "test"
        if folder.is_dir():
            store = open_store(folder)
            order = epoch_order(derived_seed("evaluation", "held-out"), 0, len(store.images))[: section.samples]
            held_out = nearest_distances(_features(inputs, store, "test", np.sort(order)), training, device)
            control = "images of the split test, which were not trained on"
        else:
            held_out = distances_among(training, device)
            control = "each training image against the nearest other one; the store has no held-out images"
        rows = memorisation_rows(generated, held_out, section)
        numbers = {"control": control, "training_images": len(training), "held_out_images": len(held_out)}
        digests = {"data_digest": train.digest}
        return Measured(rows, _protocol(section) | numbers | digests), {"distance": generated}


def _features(inputs: Inputs, store: Store, split: Split, rows: NDArray[np.int64] | None = None) -> Features:
    """Return features of a store's images, of all or of some; the reference's where it is of the whole split."""
    section = inputs.section
    every = np.arange(len(store.images)) if rows is None else rows
    if section.reference_split == split and section.reference_images in (None, len(store.images)):
        reference, protocol = inputs.real
        if protocol.get("data_digest") != store.digest:
            raise SfddmError(
                f"{inputs.reference}: the reference was made from other images than those of {store.folder}; make it "
                "again with `sfddm reference`"
            )
        return reference.features[every]
    return extract_features(RowsOf(store.images, every), section, inputs.device)


def nearest_distances(features: Features, training: Features, device: str = "cpu") -> Float64:
    """Return (N,) the Euclidean distance from each of (N, D) features to the nearest of (M, D) training features.

    It is computed from the difference, so that a copy has distance 0 and not that of rounding.
    """
    return distance_of_pairs(features, training[nearest(features, training, device)[1]])


def distances_among(training: Features, device: str = "cpu") -> Float64:
    """Return (M,) the distance from each of (M, D) training features to the nearest other one, M > 1."""
    import torch

    everything = torch.zeros(len(training), dtype=torch.int64, device=device)
    squared = nearest_by_group(training, everything, 1, 1, device)[:, 0, 0]
    return np.asarray(squared.sqrt().cpu().numpy())


def memorisation_rows(generated: Float64, held_out: Float64, section: Samples) -> tuple[Figure, ...]:
    """Return a figure for each of ``LABELS``, of distances to the nearest training image.

    Args:
        generated: (N,) of generated images.
        held_out: (H,) of real images that were not trained on.
        section: how many blocks the intervals have, and their confidence.

    Raises:
        SfddmError: half of the held-out images or more are copies of training images, or there are too few of either.
    """
    usual, threshold = float(np.median(held_out)), float(np.quantile(held_out, THRESHOLD))
    if usual == 0:
        raise SfddmError(
            "evaluation.measurements: memorisation needs held-out images that are not copies of training images; at "
            "least half of them are"
        )
    blocks, others = Blocks(len(generated), section.blocks), Blocks(len(held_out), section.blocks)
    median = _median(generated, blocks)
    found = {
        "nearest_training": (median, blocks, np.inf),
        "nearest_training_held_out": (_median(held_out, others), others, np.inf),
        "nearest_training_ratio": (Replicated(median.value / usual, median.replicates / usual), blocks, np.inf),
        "nearer_than_held_out": (blocks.mean((generated < threshold).astype(np.float64)), blocks, 1.0),
    }
    labels, rows = Memorisation.labels(section), []
    for metric, (figure, parts, highest) in found.items():
        low, high = interval(figure, parts, section.confidence, 0.0, highest)
        rows.append(Figure(metric, labels[metric], figure.value, low, high))
    return tuple(rows)


def _median(values: Float64, blocks: Blocks) -> Replicated:
    without = [float(np.median(np.delete(values, np.r_[place]))) for place in blocks.slices()]
    return Replicated(float(np.median(values)), np.array(without))


def _protocol(section: Samples) -> dict[str, Any]:
    return extraction_protocol(section) | {
        "kind": "each generated image against the nearest training image, of the split train, not mirrored",
        "generated_images": section.samples,
        "sampling_seed": section.seed,
        "dtype": "uint8, as sampled",
        "settings": {
            "nearest_training": "median over generated images of the Euclidean distance of features",
            "nearest_training_held_out": "median over the control's images of the same distance",
            "nearest_training_ratio": "the first median over the second",
            "nearer_than_held_out": f"share of generated images whose distance is less than the control's "
            f"{THRESHOLD:g} quantile",
        },
        "interval": interval_protocol(section, section.samples, _COVERS),
        "versions": versions_of(section, "numpy", "torch"),
    }
