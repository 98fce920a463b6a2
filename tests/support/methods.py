"""Every registered method, with options that suit it."""

from __future__ import annotations

from typing import Any

import pytest

from sfddm.diffusion.schedule import make_schedule
from sfddm.methods import all_methods, find_method, make_method
from sfddm.methods.base import Method

every_method = pytest.mark.parametrize("name", list(all_methods()))
TIMESTEPS = 64
REACHABLE = (16, 8, 2)


def method_of(name: str, timesteps: int = TIMESTEPS, **options: Any) -> Method:
    schedule = make_schedule("cosine", timesteps)
    return make_method(find_method(name).Options.model_validate({"method": name, **options}), schedule)


def reachable(name: str) -> tuple[int, ...]:
    """Return step counts that the method can be asked for: its own where its options allow no others."""
    return method_of(name).options.steps or REACHABLE


def trained_methods() -> list[str]:
    return [name for name in all_methods() if method_of(name).plan(reachable(name)[0]).trainings]
