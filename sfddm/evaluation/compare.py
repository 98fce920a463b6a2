"""Compares features with the reference: a figure for each metric, with its label, interval and protocol."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from sfddm.evaluation.intervals import COVERS, Blocks, interval
from sfddm.evaluation.metrics.base import Compared, Metric, Reference, find_metric
from sfddm.evaluation.sections import Comparison, Samples, Scoring, Section
from sfddm.extractors.base import Extractor, Features, find_extractor
from sfddm.results.score import Figure

_PACKAGES = ("numpy", "torch", "scipy")


def label_of(metric: Metric, extractor: type[Extractor]) -> str:
    """Return a figure's label; "FID" is what InceptionV3 gives, every other extractor is named."""
    if extractor.is_inception:
        return metric.title_of_inception or metric.title
    return f"{metric.title} {extractor.title}"


def compare(features: Features, reference: Reference, section: Scoring, device: str = "cpu") -> tuple[Figure, ...]:
    """Return a figure for each metric of the section, in its order, of (N, D) features beside the reference's.

    The arithmetic is float64, which accelerators other than "cuda..." lack, so they fall back on the CPU. An SfddmError
    says that there are too few images for the blocks or the nearest neighbours.
    """
    blocks, extractor = Blocks(len(features), section.blocks), find_extractor(section.extractor)
    compared = Compared(features, reference, blocks, device if device.startswith("cuda") else "cpu")
    rows = []
    for metric in map(find_metric, section.metrics):
        found = metric.by_block(compared)
        low, high = interval(found, blocks, section.confidence, metric.lowest, metric.highest)
        rows.append(Figure(metric.name, label_of(metric, extractor), found.value, low, high))
    return tuple(rows)


def extraction_protocol(section: Section) -> dict[str, Any]:
    """Return the part of a protocol that says where features come from."""
    extractor = find_extractor(section.extractor)
    return {
        "extractor": section.extractor,
        **extractor.identity(section.extractor_weights),
        "feature_layer": extractor.layer,
        "resize": extractor.resize(section.extractor_resolution),
        "data_label": section.data_label,
    }


def comparison_protocol(section: Comparison) -> dict[str, Any]:
    """Return the part of a protocol that a reference and what is compared with it must share."""
    return extraction_protocol(section) | {
        "image_size": section.image_size,
        "channels": section.channels,
        "reference_split": section.reference_split,
        "reference_requested": section.reference_images,
        # The key of the published records, which new runs are compared with.
        "neighbourhood": section.nearest_neighbours,
        "dtype": "uint8, as sampled",
    }


def interval_protocol(section: Samples, images: int, covers: str) -> dict[str, Any]:
    """Return the part of a protocol that says what an interval over blocks of images is."""
    return {
        "method": "delete-one-block jackknife, Student's t",
        "blocks": section.blocks,
        "images_per_block": Blocks(images, section.blocks).size,
        "confidence": section.confidence,
        "covers": covers,
    }


def versions_of(section: Section, *packages: str) -> dict[str, str]:
    """Return the versions of these packages and of those that the extractor uses."""
    return {package: version(package) for package in (*packages, *find_extractor(section.extractor).packages)}


def score_protocol(
    section: Scoring, shared: dict[str, Any], kind: str, generated: int, reference: int
) -> dict[str, Any]:
    """Return a score's protocol: what it shares with the reference's, ``kind`` and numbers of what is compared."""
    definitions = {name: find_metric(name).definition for name in section.metrics}
    return shared | {
        "kind": kind,
        "generated_images": generated,
        "reference_images": reference,
        "sampling_seed": section.seed,
        "interval": interval_protocol(section, generated, COVERS),
        "settings": {name: text.format(k=section.nearest_neighbours) for name, text in definitions.items()},
        "versions": versions_of(section, *_PACKAGES),
    }
