"""A spec whose rows are quick to sample."""

from __future__ import annotations

from typing import Any

from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec


def sampled_spec(
    methods: dict[str, Any], steps: int = 4, samples: int = 5, batch_size: int = 4, timesteps: int = 64
) -> Spec:
    content = {
        "name": "tiny",
        "title": "Tiny",
        "data": {"source": "sklearn-digits", "label": "digits", "image_size": 8, "channels": 1},
        "schedule": {"kind": "cosine", "timesteps": timesteps},
        "network": {"channels": 8, "channel_multipliers": [1, 2], "blocks_per_level": 1},
        "teacher": {"training": {"images": 8}},
        "students": {"images": 8},
        "methods": methods,
        "steps": [steps],
        "evaluation": {"samples": samples, "batch_size": batch_size, "seed": 3},
    }
    return parse_spec(content, "tiny.yaml")
