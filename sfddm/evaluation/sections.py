"""What the stages of evaluation compute with, cut from a spec. Nothing here imports torch: the DAG reads it, too."""

from __future__ import annotations

from dataclasses import dataclass

from sfddm.evaluation.spec import EvaluationSpec
from sfddm.methods.base import Share


@dataclass(frozen=True)
class ClassPartition:
    """What a partition of the classes is a function of, besides the images.

    Attributes:
        share: any of the students' shares.
        classes: n, the number of classes.
        evaluation: whose extractor k-means looks with.
    """

    share: Share
    classes: int
    evaluation: EvaluationSpec
