"""The stage ``evaluate``: scores generated images against the reference."""

from __future__ import annotations

from pathlib import Path

from sfddm.evaluation.compare import compare, score_protocol
from sfddm.evaluation.intervals import Blocks
from sfddm.evaluation.measurements.base import Inputs
from sfddm.evaluation.measurements.by_class import ByClassFigures
from sfddm.evaluation.sections import Scoring
from sfddm.results.files import write_result
from sfddm.results.score import Score


def score(section: Scoring, samples: Path, reference: Path, out: Path, device: str = "cpu") -> None:
    """Write the score of generated images to ``out``, whole or not at all; with classes, it has figures by class.

    An SfddmError says that samples or reference are missing or do not fit, or that the extractor has no weights.
    """
    inputs = Inputs(section, device, samples=samples, reference=reference)
    Blocks(len(inputs.images), section.blocks)
    real, protocol = inputs.real
    rows = compare(inputs.features, real, section, device)
    kind = "generated images against real images"
    whole = score_protocol(section, protocol, kind, len(inputs.images), len(real.features))
    by_class = () if section.classes is None else ByClassFigures().measure(inputs)[0].rows
    write_result(out, Score(rows, whole, by_class))
