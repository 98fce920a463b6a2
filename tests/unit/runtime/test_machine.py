"""How many cores jobs may use."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfddm.runtime.machine import available_cores


@pytest.mark.parametrize(("quota", "cores"), [("max 100000", None), ("100000 100000", 1), ("5000 100000", 1)])
def test_a_containers_quota_bounds_the_cores(tmp_path: Path, quota: str, cores: int | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(quota)
    unbounded = available_cores(tmp_path / "absent")
    assert available_cores(file) == (cores or unbounded)
