"""Settings for every test: examples that never change, and one thread."""

from __future__ import annotations

import torch
from hypothesis import HealthCheck, settings

settings.register_profile(
    "fixed",
    derandomize=True,
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("thorough", parent=settings.get_profile("fixed"), derandomize=False, max_examples=2000)
settings.load_profile("fixed")

torch.set_num_threads(1)
