"""Rows of ``metrics.json`` made by hand."""

from typing import Any

from sfddm.results.costs import DataLabel
from sfddm.results.rows import Collected, Provenance, Row

PROTOCOL = {"extractor": "inception-v3-compat", "data_label": "CIFAR-10", "generated_images": 50000}


def row(method: str, value: float, steps: int | None = 16, half: float | None = 1.0, **facts: Any) -> Row:
    content = {
        "experiment": "one",
        "method": method,
        "method_name": method,
        "role": "method",
        "title": method.upper(),
        "metric": "frechet_distance",
        "label": "FID",
        "value": value,
        "low": None if half is None else value - half,
        "high": None if half is None else value + half,
        "steps": steps,
        "seed": 0,
        "index_set": None if steps is None else tuple(range(steps)),
        "folds": 1,
        "protocol": PROTOCOL,
    }
    return Row(**content | facts)


def part(rows: list[Row], baseline: list[Row] | None = None, name: str = "one", timesteps: int = 1024) -> Collected:
    source = Provenance(
        experiment=name,
        title=name,
        notes=(),
        spec={"schedule": {"timesteps": timesteps}, "evaluation": {"confidence": 0.95}},
        spec_digest="ab",
        commit="c0ffee",
        data=DataLabel(label="CIFAR-10", sha256="cd"),
        versions={},
        hardware="2 cores",
        python="3.12",
    )
    mine = [[one for one in some if one.experiment == name] for some in (rows, baseline or [])]
    return Collected(rows=tuple(mine[0]), baseline=tuple(mine[1]), provenance=source)
