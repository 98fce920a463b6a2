"""How long a spec's whole table would take at the speeds that were measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.gpu_check.rates import seconds
from sfddm.extractors.base import extract_features, find_extractor
from sfddm.plan.costs import Costs, TrainingCost
from sfddm.runtime.errors import SfddmError
from sfddm.spec import stages
from sfddm.spec.experiment import Spec

#: Images that an extractor is timed on.
SCORED = 512


@dataclass(frozen=True)
class Speeds:
    """Images a second: trained on, evaluated, and given to each extractor."""

    training: float
    evaluation: float
    features: dict[str, float]


def forecast(spec: Spec, speeds: Speeds, stored: int) -> dict[str, float]:
    """Return the hours of each stage over all seeds, one job after the other.

    An evaluation of the student in training counts as one image trained on, one of a frozen network as one evaluated.
    All networks count as the teacher's, also those that a row states for itself. Features of real images, intervals,
    further measurements and the start of jobs are left out, and so are extractors without a speed.

    Args:
        spec: the experiment.
        speeds: on the device at hand.
        stored: training images, for trainings whose length is in epochs.
    """
    costs, seeds = Costs(spec, stored), len(spec.every_seed)
    distill = sum(_seconds(spec, training, speeds) for training in costs.students.values())
    sampled = sum(row.images for row in costs.sampling.values())
    evaluated = costs.pairs + costs.index_sets + sum(row.evaluations for row in costs.sampling.values())
    of_stage = {
        "train": (costs.teacher.images or 0) / speeds.training,
        "distill": distill,
        "sample": evaluated / speeds.evaluation,
        "evaluate": sum(sampled / speed for speed in speeds.features.values()),
    }
    return {stage: seeds * of_one / 3600 for stage, of_one in of_stage.items()}


def _seconds(spec: Spec, training: TrainingCost, speeds: Speeds) -> float:
    method = spec.method(training.row)
    asked = method.evaluations(spec.training(training.row, training.name))
    guided = 1 if spec.methods[training.row].guidance_scale == 1.0 else 2
    return (training.images or 0) * (asked.student / speeds.training + guided * asked.teacher / speeds.evaluation)


def feature_speeds(spec: Spec, device: torch.device) -> dict[str, float | str]:
    """Return images a second of each of the spec's extractors, or why there is no speed."""
    channels, side, _ = stages.image_shape(spec)
    images = np.random.default_rng(0).integers(0, 256, (SCORED, side, side, channels), dtype=np.uint8)
    found: dict[str, float | str] = {}
    for name in spec.evaluation.extractors:
        if find_extractor(name).trained:
            found[name] = "is trained in the run"
            continue
        try:
            section = stages.scoring(spec, name)
            found[name] = SCORED / seconds(
                lambda section=section: extract_features(images, section, device.type), device
            )
        except SfddmError as error:
            found[name] = str(error)
    return found


def stored_images(spec: Spec, folder: Path = Path("reports/runs")) -> int:
    """Return the training images of a spec's run where its data have been fetched, else 50,000, CIFAR-10's."""
    from sfddm.runtime.files import read_json

    manifest = folder / spec.name / "data" / "train" / "manifest.json"
    return int(read_json(manifest)["shape"][0]) if manifest.is_file() else 50_000
