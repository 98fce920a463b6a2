"""A spec whose scores are quick to compute."""

from __future__ import annotations

from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec

SAMPLES = 60


def make_spec(**evaluation) -> Spec:
    content = {
        "name": "tiny",
        "title": "Tiny",
        "data": {"source": "sklearn-digits", "label": "digits 8x8", "image_size": 8, "channels": 1},
        "schedule": {"kind": "cosine", "timesteps": 16},
        "network": {"channels": 4, "channel_multipliers": [1]},
        "teacher": {"training": {"images": 1}},
        "students": {"images": 1},
        "methods": {"ddim": {}},
        "steps": [4],
        "evaluation": {"samples": SAMPLES, "blocks": 3, "seed": 7, "extractor_resolution": 32} | evaluation,
    }
    return parse_spec(content, "tiny")
