"""A finished run made of plausible files, without any training."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from sfddm.data.store import write_store
from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec

LABEL = "FD of a test"


#: Of student and teacher in one training step, as cards of trained models say; (1, 1) for all other methods.
EVALUATIONS = {"progressive": (1, 2)}
SIZES = {"teacher": 50.0, "ddim": 90.0, "progressive": 80.0, "sfddm": 70.0}


def make_spec(name: str = "tiny", title: str = "Tiny images", **changes: Any) -> Spec:
    content: dict[str, Any] = {
        "name": name,
        "title": title,
        "notes": ["A note of the spec."],
        "data": {"source": "sklearn-digits", "label": "digits 8x8", "image_size": 8, "channels": 1},
        "schedule": {"kind": "cosine", "timesteps": 64},
        "network": {"channels": 8},
        "teacher": {"training": {"images": 1000}},
        "students": {"images": 500},
        "methods": {
            "teacher": {"reference_steps": 32},
            "ddim": {},
            "progressive": {"start": 32},
            "sfddm": {},
        },
        "steps": [16, 4],
        "seeds": [0],
        "evaluation": {"samples": 100},
    }
    return parse_spec(content | changes, "test")


def figures(value: float, width: float = 1.0, label: str = LABEL) -> list[dict[str, Any]]:
    """Two metrics, one for each direction."""
    return [
        {
            "metric": "frechet_distance",
            "label": label,
            "value": value,
            "low": value - width,
            "high": value + width,
        },
        {"metric": "recall", "label": "Recall", "value": 1 / value, "low": None, "high": None},
    ]


def card(images: int, evaluations: tuple[int, int]) -> dict[str, Any]:
    return {
        "schema": 1,
        "experiment": "tiny",
        "method": "m",
        "fold": "f",
        "seed": 0,
        "spec_digest": "ab" * 32,
        "commit": "c0ffee",
        "index_set": [0, 1],
        "prediction": "epsilon",
        "data": {"label": "digits 8x8", "sha256": "cd" * 32},
        "versions": {"python": "3.12.1", "torch": "2.0"},
        "hardware": "2 cores",
        "images_seen": images,
        "steps": 10,
        "train_seconds": images / 100,
        "student_evaluations": evaluations[0],
        "teacher_evaluations": evaluations[1],
        "parameters": 700,
    }


def put_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))


def put_images(path: Path, count: int, seed: int, channels: int = 1) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.random.default_rng(seed).integers(0, 256, (count, 8, 8, channels), np.uint8))


def make_runs(spec: Spec, runs: Path, values: dict[tuple[str, int, int], float] | None = None) -> Path:
    """Write a run whose distances are ``values[row, steps, seed]``, or made up where not given."""
    protocol = {"extractor": "test", "reference": {"images": 1797}, "generated_images": 100}
    for seed in spec.every_seed:
        folder = runs / f"seed-{seed}"
        put_json(folder / "teacher" / "model" / "card.json", card(1000, (1, 0)))
        for row, steps in spec.rows():
            place = folder / row / f"steps-{steps}"
            method = spec.method(row)
            value = (values or {}).get((row, steps, seed), SIZES.get(row, 60.0) + seed)
            put_json(place / "score.json", {"schema": 1, "rows": figures(value), "protocol": protocol})
            put_images(place / "samples.npy", 100, steps)
            put_json(place / "samples.json", {"images": 100, "seconds": 2.0, "nfe": steps, "hardware": "2 cores"})
            for fold in method.plan(steps).trainings:
                put_json(
                    folder / row / f"fold-{fold.name}" / "card.json", card(500, EVALUATIONS.get(method.name, (1, 1)))
                )
    floor = protocol | {"generated_images": 50}
    put_json(runs / "reference" / "score.json", {"schema": 1, "rows": figures(93.0), "protocol": floor})
    real = np.random.default_rng(9).integers(0, 256, (70, 8, 8, 1), np.uint8)
    write_store(runs / "data" / "train", "digits 8x8", {}, (8, 8, 1), ((image, 0) for image in real), count=70)
    return runs


def read(out: Path) -> dict[str, Any]:
    return json.loads((out / "metrics.json").read_text())


def only(content: dict[str, Any], **wanted: Any) -> dict[str, Any]:
    found = [row for row in content["rows"] if all(row[key] == value for key, value in wanted.items())]
    assert len(found) == 1, found
    return found[0]
