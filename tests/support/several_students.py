"""A tiny spec in which students share the classes or the timesteps."""

from __future__ import annotations

from typing import Any

from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec

TRAINING = {"images": 64, "batch_size": 32, "learning_rate": 1e-3}


def make_spec(**changes: Any) -> Spec:
    content: dict[str, Any] = {
        "name": "plane",
        "title": "Plane",
        "data": {"source": "gaussians-2d", "label": "Gaussians 2-D", "images": 400},
        "schedule": {"kind": "cosine", "timesteps": 64},
        "network": {"kind": "mlp", "width": 16, "depth": 1, "prediction": "v", "classes": 8},
        "teacher": {"training": TRAINING | {"label_dropout": 0.2}},
        "students": TRAINING,
        "pairs": {"count": 48, "steps": 4},
        "methods": {
            "teacher": {"reference_steps": 8},
            "ddim": {"guidance_scale": 2.0},
            "trajectory": {"steps": [8]},
            "one-to-many": {"students": 2, "student_of": "trajectory", "shared_training": TRAINING, "steps": [8]},
            "msd": {
                "method": "multi-student",
                "students": 2,
                "partition": [[0, 2, 4, 6], [1, 3, 5, 7]],
                "adversarial": TRAINING,
            },
            "ancestral": {"method": "ddim", "student_of": "trajectory", "sampler": "ancestral", "steps": [8]},
        },
        "steps": [8, 4],
        "evaluation": {"extractor": "points", "samples": 320, "batch_size": 100, "blocks": 4},
    }
    return parse_spec(content | changes, "test")
