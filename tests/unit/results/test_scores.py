"""The files of scores and measurements: written and read back whole, or refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sfddm.results.files import read_result, write_result
from sfddm.results.measurements import Audit, AuditFigure, Interpolation, Measured, PathFigure
from sfddm.results.score import ClassFigure, Figure, Score
from sfddm.runtime.errors import SfddmError

FIGURE = Figure("kid", "KID", float(np.float64(0.1) + 1e-17), None, 1.0)
PATH = PathFigure("path_length_ratio", "Length", 1.5, 1.0, 2.0, who="student", kind="linear", space="pixels", pairs=8)
NAMES = ("protocol_name", "title", "description", "layer", "resize", "reference_split")
AUDIT = AuditFigure("kid", "KID", 0.1, 0.0, 0.2, **dict.fromkeys(NAMES, "x"), images=8, reference_images=9)
VALUES = [
    Score((FIGURE,), {"blocks": 3}, (ClassFigure(1, 20, 30, 0.5, 0.25, 0.75, 1.0),)),
    Measured((FIGURE, FIGURE), {}),
    Audit((AUDIT,), "A note."),
    Interpolation((PATH,), {"pairs": 8}),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_is_written_is_read_back_bit_for_bit(tmp_path: Path, value: Any) -> None:
    write_result(tmp_path / "one.json", value)
    assert read_result(tmp_path / "one.json", type(value), "measure") == value


def test_a_class_is_called_so_in_the_file(tmp_path: Path) -> None:
    write_result(tmp_path / "score.json", VALUES[0])
    written = json.loads((tmp_path / "score.json").read_text())
    assert list(written["by_class"][0]) == ["class", "high", "hits", "images", "kid", "low", "reference_images"]
    assert written["schema"] == 1


GOOD = {"metric": "kid", "label": "KID", "value": 0.5, "low": None, "high": 1}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rows": [GOOD | {"value": float("nan")}]}, r"one\.json: rows\.0\.value: input should be a finite number"),
        ({"rows": [GOOD | {"value": "0.5"}]}, r"one\.json: rows\.0\.value: input should be a valid number"),
        ({"rows": [GOOD | {"vaule": 1}]}, r"one\.json: rows\.0\.vaule: unknown key"),
        ({"rows": [{"metric": "kid", "value": 1.0}]}, r"one\.json: rows\.0\.label: this key is missing"),
        ({"schema": 2}, r"one\.json: schema: input should be 1"),
        ({"note": ""}, r"one\.json: note: unknown key"),
    ],
)
def test_anything_else_is_refused_with_file_and_key(tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    content = {"schema": 1, "rows": [GOOD], "protocol": {}}
    (tmp_path / "one.json").write_text(json.dumps(content))
    assert read_result(tmp_path / "one.json", Score, "evaluate").rows[0].high == 1.0
    (tmp_path / "one.json").write_text(json.dumps(content | change))
    with pytest.raises(SfddmError, match=sentence):
        read_result(tmp_path / "one.json", Score, "evaluate")
