"""What each stage of the evaluation computes with: frozen sections, cut out of a spec by ``sfddm/spec/stages.py``.

The digest of a stage covers the fields of its section and nothing else of the spec. Nothing here imports torch: the DAG
reads it, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sfddm.data.spec import Split
from sfddm.extractors.spec import Extraction

if TYPE_CHECKING:
    from sfddm.methods.base import Share


class Section(Extraction):
    """What every figure depends on: the images' label and shape, the sampling's seed, the intervals' confidence."""

    data_label: str
    image_size: int
    channels: int
    seed: int
    confidence: float

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the figures are a function of, as plain JSON."""
        return self.model_dump(mode="json")


class Samples(Section):
    """Figures of sampled images: how many are judged, and in how many blocks for the intervals."""

    samples: int
    blocks: int


class Comparison(Samples):
    """Figures of sampled images beside real ones: the split, how many of it (None: all), and k of the k nearest."""

    reference_split: Split
    reference_images: int | None
    nearest_neighbours: int


class Classes(Comparison):
    """Figures class by class: how many classes the network knows, None where it knows none."""

    classes: int | None


class Scoring(Classes):
    """The score: which metrics."""

    metrics: tuple[str, ...]


@dataclass(frozen=True)
class ClassifierTraining:
    """What the extractor ``classifier`` is a function of, besides the images: their shape, and what is held out."""

    shape: tuple[int, int, int]  # (C, H, W)
    has_test: bool  # whether the accuracy is that on the test split, not on a part of the training split

    @property
    def key(self) -> dict[str, Any]:
        """Return all of it, as plain JSON."""
        return {"shape": list(self.shape), "has_test": self.has_test}


@dataclass(frozen=True)
class ClassPartition:
    """What a partition of the classes is a function of, besides the images."""

    share: Share  # any of the students' shares
    classes: int  # how many
    extraction: Extraction  # which features k-means looks at

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the partition is a function of, as plain JSON."""
        share = vars(self.share) | {"part": 0}
        return {"share": share, "classes": self.classes, "extraction": self.extraction.model_dump(mode="json")}
