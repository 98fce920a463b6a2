"""How much wider the interval of a single training must be, from records with several seeds.

A score's own interval covers the generated sample. Training again moves a figure, too: 3.2 times as far in "The FID
Lottery" (arXiv 2606.20536). ``between_trainings.json`` holds what our own records show: the standard deviation over the
seeds of the difference of two rows at equal steps, as a multiple of the standard error that the two scores' own
intervals state. ``benchmarks/between_trainings.py`` writes it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

#: For metrics that no record of several seeds has.
UNMEASURED = 3.2


def single_training_factor(metric: str, trained: bool) -> float:
    """Return by how much the interval of one seed's difference is widened, at least 1.

    ``trained``: whether a row of the two was trained besides the teacher that both share.
    """
    ratio = _measured()["trained" if trained else "untrained"].get(metric)
    return max(1.0, float(ratio["ratio"]) if ratio else UNMEASURED)


@cache
def _measured() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(
        files("sfddm.claims").joinpath("between_trainings.json").read_text(encoding="utf-8")
    )
    return content
