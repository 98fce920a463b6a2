"""Figures with their labels, intervals and protocol: what a score.json holds."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from sfddm.evaluation.frechet import frechet_by_block
from sfddm.evaluation.intervals import COVERS, Blocks, Replicated, interval
from sfddm.evaluation.metrics import (
    Features,
    ReferenceStatistics,
    frechet_distance,
    kernel_inception_distance,
    precision_and_recall,
)
from sfddm.extractors.extract import EXTRACTORS, resize_of

if TYPE_CHECKING:
    from sfddm.evaluation.spec import EvaluationSpec
    from sfddm.spec.experiment import Spec

_SHORT = {"frechet_distance": "FD", "kid": "KID", "precision": "Precision", "recall": "Recall"}
_RANGES = {
    "frechet_distance": (0.0, np.inf),
    "kid": (-np.inf, np.inf),
    "precision": (0.0, 1.0),
    "recall": (0.0, 1.0),
}
_PACKAGES = ("numpy", "torch", "scipy")


def label_of(metric: str, extractor: str) -> str:
    """Return a figure's label; "FID" is what InceptionV3 gives, every other extractor is named."""
    if extractor == "inception-v3-compat":
        return "FID" if metric == "frechet_distance" else _SHORT[metric]
    return f"{_SHORT[metric]} {EXTRACTORS[extractor].title}"


def figures_of(
    features: Features, reference: ReferenceStatistics, evaluation: EvaluationSpec, device: str = "cpu"
) -> list[dict[str, Any]]:
    """Return one row ``{"metric", "label", "value", "low", "high"}`` for each metric of the spec, in its
    order.

    Args:
        features: (N, D) float32 of the images to judge.
        reference: what they are compared with.
        evaluation: metrics, blocks, confidence.
        device: "cpu" or "cuda..."; the arithmetic is float64, which other accelerators lack, so they fall
            back on the CPU.

    Raises:
        SfddmError: too few images for the blocks or the neighbourhood.
    """
    device = device if device.startswith("cuda") else "cpu"
    blocks = Blocks(len(features), evaluation.blocks)
    found: dict[str, Replicated] = {}
    if "frechet_distance" in evaluation.metrics:
        if evaluation.extractor == "points":  # the same number, without the seconds that torch-fidelity takes to import
            found["frechet_distance"] = frechet_by_block(features, reference.real_side, blocks, device)
        else:
            found["frechet_distance"] = frechet_distance(features, reference, blocks, device)
    if "kid" in evaluation.metrics:
        found["kid"] = kernel_inception_distance(features, reference.features, reference.kernel_mean, blocks, device)
    if {"precision", "recall"} & set(evaluation.metrics):
        found["precision"], found["recall"] = precision_and_recall(features, reference, blocks, device)
    return [_row(metric, found[metric], blocks, evaluation) for metric in evaluation.metrics]


def _row(metric: str, figure: Replicated, blocks: Blocks, evaluation: EvaluationSpec) -> dict[str, Any]:
    low, high = interval(figure, blocks, evaluation.confidence, *_RANGES[metric])
    label = label_of(metric, evaluation.extractor)
    return {"metric": metric, "label": label, "value": figure.value, "low": low, "high": high}


def ruler_of(spec: Spec) -> dict[str, Any]:
    """Return the part of the protocol that a reference and what is compared with it must share."""
    evaluation = spec.evaluation
    extractor = EXTRACTORS[evaluation.extractor]
    return {
        "extractor": evaluation.extractor,
        "extractor_sha256": extractor.sha256,
        "feature_layer": extractor.layer,
        "resize": resize_of(evaluation),
        "data_label": spec.data.label,
        "image_size": spec.data.image_size,
        "channels": spec.data.channels,
        "reference_split": evaluation.reference_split,
        "reference_requested": evaluation.reference_images,
        "neighbourhood": evaluation.neighbourhood,
        "dtype": "uint8, as sampled",
    }


def protocol_of(spec: Spec, ruler: dict[str, Any], kind: str, generated: int, reference: int) -> dict[str, Any]:
    """Return the whole protocol of a score.

    Args:
        spec: the experiment.
        ruler: ``ruler_of`` and what the reference adds to it (``data_digest``, ``reference_selection``).
        kind: what is compared with what, in words.
        generated: number of images judged.
        reference: number of images they are compared with.
    """
    evaluation = spec.evaluation
    return ruler | {
        "kind": kind,
        "generated_images": generated,
        "reference_images": reference,
        "sampling_seed": evaluation.seed,
        "interval": {
            "method": "delete-one-block jackknife, Student's t",
            "blocks": evaluation.blocks,
            "images_per_block": Blocks(generated, evaluation.blocks).size,
            "confidence": evaluation.confidence,
            "covers": COVERS,
        },
        "settings": {
            "frechet_distance": "float64, covariance divided by N - 1; biased upwards by a small sample",
            "kid": "U-statistic over all images, kernel (x.y / D + 1)^3, unbiased",
            "precision": f"nearest neighbours: {evaluation.neighbourhood}",
            "recall": f"nearest neighbours: {evaluation.neighbourhood}",
        },
        "versions": {package: version(package) for package in (*_PACKAGES, *EXTRACTORS[evaluation.extractor].packages)},
    }
