"""Two steps of every method that is registered, on a device, through the stages that a run calls."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml

import sfddm
from sfddm.data.fetch import fetch
from sfddm.methods import all_methods
from sfddm.runtime.errors import SfddmError
from sfddm.spec import stages
from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec
from sfddm.training.teacher import train_teacher

#: Specs on digits; the first row of a method in them is tried.
SPECS = ("digits-methods", "digits-o2mkd", "digits-msd", "digits-fixed-point")
#: Steps of each training.
STEPS = 2


def spec_of_every_method(folder: Path = Path("params")) -> Spec:
    """Return a spec on digits with one row of every registered method, each trained for two steps.

    Raises:
        SfddmError: a method has no row in any of the specs.
    """
    contents = [yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8")) for name in SPECS]
    rows: dict[str, Any] = {}
    for content in contents:
        for name, options in content["methods"].items():
            method = options.get("method", name)
            if method not in rows.values() and not options.get("student_of"):
                rows[name] = method
    without = set(all_methods()) - set(rows.values())
    if without:
        raise SfddmError(
            f"no row of {', '.join(sorted(without))} in {', '.join(SPECS)}; add one, or a spec to the list"
        )
    chosen = {name: next(one["methods"][name] for one in contents if name in one["methods"]) for name in rows}
    whole = _shortened(contents[0] | {"name": "gpu-check", "methods": chosen, "seeds": [0]})
    whole["pairs"] = {"count": 128, "steps": 2}
    return parse_spec(whole, "gpu-check")


def _shortened(value: Any) -> Any:
    """Return a part of a spec whose trainings have two steps each."""
    if isinstance(value, list):
        return [_shortened(one) for one in value]
    if not isinstance(value, dict):
        return value
    short = {key: _shortened(one) for key, one in value.items() if key != "budgets"}
    return short | {"images": STEPS * short["batch_size"]} if {"images", "batch_size"} <= set(short) else short


def try_every_method(folder: Path, device: torch.device) -> Iterator[tuple[str, float, str]]:
    """Yield each row that trains, its seconds, and what went wrong: "" where nothing did.

    Args:
        folder: an empty one, for data and models.
        device: where the teacher is trained; students go where the stage puts them.
    """
    spec = spec_of_every_method()
    fetch(spec.data, folder / "data")
    teacher = folder / "teacher"
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stderr(nowhere):
        train_teacher(stages.teacher_training(spec, 0), folder / "data", teacher, state=folder, device=device)
        for row in spec.methods:
            if not spec.trainings(row):
                continue
            started, wrong = time.perf_counter(), ""
            try:
                sfddm.distill(spec, row, min(spec.steps_of(row)), folder / "data", teacher, folder / row)
            except Exception as error:
                wrong = f"{type(error).__name__}: {error}".splitlines()[0]
            yield row, time.perf_counter() - started, wrong
