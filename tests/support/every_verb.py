"""Every verb that writes, with a small run for it to read, and a way to see what changed."""

from __future__ import annotations

import os
from contextlib import chdir
from pathlib import Path
from typing import Any

from click.testing import Result
from support.tiny_data import pictures, png
from typer.testing import CliRunner

from sfddm.cli import app

POINTS = """
name: points
title: Points
data: {source: gaussians-2d, label: Points, images: 16}
schedule: {kind: cosine, timesteps: 8}
network: {kind: mlp, width: 4, depth: 1, prediction: v}
teacher: {training: {images: 8, batch_size: 4, checkpoint_seconds: 1.0e-9}}
students: {images: 8, batch_size: 4, checkpoint_seconds: 1.0e-9}
pairs: {count: 4, steps: 2}
methods: {teacher: {reference_steps: 4}, sfddm: {}}
steps: [2]
evaluation: {extractor: points, samples: 8, batch_size: 8, blocks: 2, agreement: [sfddm]}
"""
PICTURES = """
name: pictures
title: Pictures of my own
data: {source: imagefolder, label: mine, image_size: 2, channels: 1, folders: {train: pictures/train}}
schedule: {kind: cosine, timesteps: 8}
network: {channels: 8, channel_multipliers: [1], blocks_per_level: 1}
teacher: {training: {images: 8}}
students: {images: 8}
methods: {ddim: {}}
steps: [2]
evaluation: {samples: 8}
"""
MODEL, STUDENT = "run/seed-0/teacher/model", "run/seed-0/sfddm/fold-2"
FIRST, SECOND = "run/seed-0/teacher/steps-4", "run/seed-0/sfddm/steps-2"
#: For each verb its arguments and what it reads, every path below the working folder.
VERBS: dict[str, tuple[str, list[str]]] = {
    "fetch": ("fetch pictures.yaml", ["pictures.yaml", "pictures/train"]),
    "train": ("train points.yaml --data run/data", ["points.yaml", "run/data/train"]),
    "pairs": (f"pairs points.yaml --model {MODEL}", ["points.yaml", MODEL]),
    "distill": (
        f"distill points.yaml --method sfddm --fold 2 --teacher {MODEL} --data run/data",
        ["points.yaml", MODEL, "run/data/train"],
    ),
    "sample": (f"sample points.yaml --method sfddm --steps 2 --model {STUDENT}", ["points.yaml", STUDENT]),
    "classifier": ("classifier points.yaml --data run/data", ["points.yaml", "run/data/train"]),
    "reference": ("reference points.yaml --data run/data", ["points.yaml", "run/data/train"]),
    "evaluate": (
        f"evaluate points.yaml --samples {SECOND}/samples.npy --reference run/reference",
        ["points.yaml", f"{SECOND}/samples.npy", "run/reference"],
    ),
    "agreement": (
        "measure points.yaml --measurement agreement --method sfddm --steps 2"
        f" --samples {SECOND}/samples.npy --teacher-samples {FIRST}/samples.npy",
        ["points.yaml", f"{SECOND}/samples.npy", f"{FIRST}/samples.npy"],
    ),
    "audit": (
        "measure points.yaml --measurement audit --method sfddm --steps 2"
        f" --samples {SECOND}/samples.npy --reference run/reference --data run/data",
        ["points.yaml", f"{SECOND}/samples.npy", "run/reference", "run/data/train"],
    ),
    "interpolation": (
        "measure points.yaml --measurement interpolation --method sfddm --steps 2"
        f" --model {STUDENT} --teacher {MODEL} --reference run/reference",
        ["points.yaml", MODEL, STUDENT, "run/reference"],
    ),
    "collect": ("collect points.yaml --runs run", ["points.yaml", "run/data", "run/seed-0", "run/reference"]),
    "report": ("report run/collected", ["run/collected"]),
    "record": ("record run/collected --command x", ["run/collected"]),
}
Snapshot = dict[str, tuple[str, Any]]


def invoke(arguments: str, *further: str) -> Result:
    return CliRunner().invoke(app, [*arguments.split(), *further])


def make_run(folder: Path) -> None:
    """Fill a working folder with specs, pictures and all that the verbs make of them, each in its usual place."""
    (folder / "pictures" / "train" / "cats").mkdir(parents=True)
    for number in range(4):
        picture = png(pictures(2, 2, seed=number))
        (folder / "pictures" / "train" / "cats" / f"{number}.png").write_bytes(picture)
    (folder / "points.yaml").write_text(POINTS)
    (folder / "pictures.yaml").write_text(PICTURES)
    (folder / "notes.txt").write_text("notes")
    teacher = f"sample points.yaml --method teacher --steps 4 --model {MODEL} --out {FIRST}/samples.npy"
    first_score = f"evaluate points.yaml --samples {FIRST}/samples.npy --reference run/reference"
    usual = {
        "fetch points.yaml": "run/data", VERBS["train"][0]: MODEL, VERBS["distill"][0]: STUDENT,
        teacher: f"{FIRST}/samples.npy",
        VERBS["sample"][0]: f"{SECOND}/samples.npy", VERBS["reference"][0]: "run/reference",
        first_score: f"{FIRST}/score.json", VERBS["evaluate"][0]: f"{SECOND}/score.json",
        VERBS["agreement"][0]: f"{SECOND}/agreement.json", VERBS["collect"][0]: "run/collected",
    }  # fmt: skip
    with chdir(folder):
        for arguments, out in usual.items():
            result = invoke(arguments, "--out", out)
            assert result.exit_code == 0, (arguments, result.exception)


def snapshot(root: Path) -> Snapshot:
    """Every path below ``root``: what it is, and its content or where the link points."""
    found: Snapshot = {}
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink():
                entry = ("link", os.readlink(path))
            else:
                entry = ("folder", None) if path.is_dir() else ("file", path.read_bytes())
            found[str(path.relative_to(root))] = entry
    return found
