"""The spec gaussians-2d and a finished run of it, without any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from support.report_runs import put_json

from sfddm.spec.experiment import Spec
from sfddm.spec.load import load_spec, parse_spec

FILE = Path(__file__).parents[2] / "params" / "gaussians-2d.yaml"


SPEC = yaml.safe_load(FILE.read_text())


def make_spec(**evaluation: Any) -> Spec:
    return parse_spec(SPEC | {"evaluation": SPEC["evaluation"] | evaluation}, "a test")


def points(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 1, 1, 2), dtype=np.uint8)


def collected(tmp_path: Path) -> Path:
    spec = load_spec(FILE)
    facts = {"experiment": spec.name, "steps": 4, "seed": 0, "protocol": {"extractor": "points"}}
    figure = {"metric": "frechet_distance", "label": "FD points", "value": 12.34, "low": 10.0, "high": 20.0}
    rows = [
        {"method": name, "title": name, "role": role, **facts, **figure}
        for name, role in (("teacher", "teacher"), ("ddim", "method"))
    ]
    near = [
        {**rows[1], "metric": f"l1_teacher{suffix}", "value": value, "low": value, "high": value}
        for suffix, value in (("", 0.05), ("_control", 0.7))
    ]
    source = {
        "experiment": spec.name, "title": spec.title, "notes": [], "spec": spec.model_dump(mode="json"),
        "spec_digest": spec.digest, "commit": "c", "data": {"label": "P", "sha256": "0"}, "versions": {},
        "hardware": "h", "python": "3",
    }  # fmt: skip
    put_json(tmp_path / "metrics.json", {"schema": 1, "rows": rows + near, "floor": [], "provenance": source})
    kept = {"teacher/4/0": points(700), "ddim/4/0": points(700, 1), "real": points(700, 2)}
    np.savez(tmp_path / "samples.npz", **kept)  # type: ignore[arg-type]
    return tmp_path
