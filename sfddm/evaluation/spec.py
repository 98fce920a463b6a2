"""The section ``evaluation`` of a spec: one protocol for every figure."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from sfddm.data.spec import Split
from sfddm.runtime.strict import Strict


class EvaluationSpec(Strict):
    """One protocol for every figure of an experiment.

    Attributes:
        samples: generated images behind each figure.
        reference_split: the real images they are compared with; ``reference_images`` None takes all of them.
        extractor: the network whose features are compared; "points" compares the coordinates of points themselves.
        extractor_resolution: side to which images are resized for EfficientNet; Inception has its own.
        blocks: the generated images are cut into so many blocks; intervals come from leaving one block out at a time.
        seed: seed of the sampling noise; sample k of every method starts from the same noise.
        agreement: rows whose images are compared with the teacher's from the same noise, at the experiment's ``steps``.
        audit: rows whose images of the first training seed are scored under other protocols too, at these steps.
        interpolation: rows whose first training seed is sampled along paths between noises, at these steps.
    """

    samples: Annotated[int, Field(ge=4)]
    batch_size: Annotated[int, Field(ge=1)] = 256
    extractor: Literal["efficientnet-lite0", "inception-v3-compat", "points"] = "efficientnet-lite0"
    extractor_resolution: Annotated[int, Field(ge=32, le=512)] = 64
    extractor_weights: Path | None = None
    reference_split: Split = "train"
    reference_images: Annotated[int, Field(ge=4)] | None = None
    metrics: tuple[Literal["frechet_distance", "kid", "precision", "recall"], ...] = (
        "frechet_distance",
        "kid",
        "precision",
        "recall",
    )
    blocks: Annotated[int, Field(ge=2, le=100)] = 10
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    neighbourhood: Annotated[int, Field(ge=1)] = 3
    seed: Annotated[int, Field(ge=0)] = 0
    agreement: tuple[str, ...] = ()
    audit: tuple[str, ...] = ()
    interpolation: tuple[str, ...] = ()
