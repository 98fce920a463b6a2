"""How each metric is shown: its heading, which direction is better, how many decimals are printed, and intervals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan
from typing import Literal

Better = Literal["lower", "higher", "unknown"]
#: What the name of a metric's control ends with: the same figure for samples from other noise.
CONTROL = "_control"
#: The figure of interpolated paths that says whether the images on the way are meaningful.
REALISM = "intermediate_realism_ratio"


@dataclass(frozen=True)
class MetricStyle:
    """How a metric is shown.

    ``section``: of the page, where that is not a table of all methods; ``of_pixels``: it compares images, not features.
    """

    heading: str
    better: Better
    decimals: int
    section: str = ""
    of_pixels: bool = False

    @property
    def arrow(self) -> str:
        """An arrow towards the better side, empty where that is unknown."""
        return {"lower": "↓", "higher": "↑", "unknown": ""}[self.better]


_STYLES = {
    "frechet_distance": MetricStyle("Fréchet distance", "lower", 2),
    "kid": MetricStyle("Kernel distance (KID)", "lower", 4),
    "precision": MetricStyle("Precision", "higher", 3),
    "recall": MetricStyle("Recall", "higher", 3),
    "density": MetricStyle("Density", "higher", 3),
    "coverage": MetricStyle("Coverage", "higher", 3),
    "mind": MetricStyle("Sliced Wasserstein distance (MIND)", "lower", 2),
    "fd_infinity": MetricStyle("Fréchet distance, extrapolated to infinitely many images", "lower", 2),
    "psnr_teacher": MetricStyle("PSNR to the teacher, dB", "higher", 2, "agreement", of_pixels=True),
    "ssim_teacher": MetricStyle("SSIM to the teacher", "higher", 3, "agreement", of_pixels=True),
    "feature_distance_teacher": MetricStyle("Feature distance to the teacher", "lower", 2, "agreement"),
    "l1_teacher": MetricStyle("L1 distance to the teacher", "lower", 4, "agreement", of_pixels=True),
    "nearest_training": MetricStyle("Distance to the nearest training image", "unknown", 2, "memorisation"),
    "nearest_training_held_out": MetricStyle("The same of held-out images", "unknown", 2, "memorisation"),
    "nearest_training_ratio": MetricStyle("Ratio to held-out images", "unknown", 3, "memorisation"),
    "nearer_than_held_out": MetricStyle("Nearer than held-out images are", "unknown", 4, "memorisation"),
}


def style_of(metric: str) -> MetricStyle:
    """Return how a metric is shown; one that is not known here is shown without a best mark."""
    base = metric.removesuffix(CONTROL)
    if metric in _STYLES or base not in _STYLES:
        section = "interpolation" if metric.startswith(REALISM) else ""
        return _STYLES.get(metric, MetricStyle(metric.replace("_", " ").capitalize(), "unknown", 4, section))
    return replace(_STYLES[base], heading=f"{_STYLES[base].heading}, other noise", better="unknown")


def interval_text(low: float | None, high: float | None, decimals: int) -> str:
    """Return "[low, high]", or nothing where there is no interval."""
    if low is None or high is None or isnan(low) or isnan(high):
        return ""
    return f"[{low:.{decimals}f}, {high:.{decimals}f}]"
