"""Every part of a spec: a truth value is no number, nor is infinity."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml

from sfddm.runtime.errors import SfddmError
from sfddm.spec.load import parse_spec

SMOKE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[3] / "params" / "smoke.yaml").read_text())
YES = "must not be yes, no, true or false; got True"


def spec(section: str, **keys: Any) -> dict[str, Any]:
    return SMOKE | {section: SMOKE[section] | keys}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (spec("students", learning_rate=math.inf), r"students\.learning_rate: input should be a finite number"),
        (spec("students", gradient_clip=math.nan), r"students\.gradient_clip: input should be a finite number"),
        (spec("students", learning_rate=True), rf"students\.learning_rate: {YES}"),
        (spec("data", limit=True), rf"data\.limit: {YES}"),
        (spec("network", classes=True), rf"network\.classes: {YES}"),
        (spec("methods", sfddm={"eta": True}), rf"methods: sfddm: eta: {YES}"),
        (SMOKE | {"steps": [True, 2]}, r"steps: must not be yes"),
        (SMOKE | {"seeds": [True]}, r"seeds: must not be yes"),
        (SMOKE | {"seeds": {"at_least": True, "at_most": 3}}, rf"seeds: at_least: {YES}|seeds\.at_least: {YES}"),
        (spec("evaluation", samples=10**7 + 1), r"evaluation\.samples: .* less than or equal to 10000000"),
        (spec("network", channels=10**9), r"network\.channels: .* less than or equal to 4096"),
        (spec("students", batch_size=2**21), r"students\.batch_size: .* less than or equal to 1048576"),
        (SMOKE | {"steps": [10**6]}, r"steps\.0: .* less than or equal to 100000"),
    ],
)
def test_nonsense_is_refused_with_its_key(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SfddmError, match=sentence):
        parse_spec(changed, "spec.yaml")


def test_a_truth_value_stays_one_where_it_may_stand() -> None:
    assert parse_spec(spec("students", compile=True, shuffle=False), "spec.yaml").students.compile
    assert parse_spec(spec("methods", sfddm={"clip": False}), "spec.yaml").methods["sfddm"].clip is False
