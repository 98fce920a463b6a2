"""The section ``schedule`` of a spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sfddm.diffusion.schedule import Schedule, ScheduleKind, make_schedule
from sfddm.runtime.strict import Strict


class ScheduleSpec(Strict):
    """The teacher's noise schedule. ``kind`` "linear", "cosine" or "sigmoid"; T is ``timesteps``."""

    kind: ScheduleKind
    timesteps: Annotated[int, Field(ge=2, le=100_000)]
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 1e-4
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02
    sigmoid_start: float = -3.0
    sigmoid_end: float = 3.0
    sigmoid_tau: Annotated[float, Field(gt=0)] = 1.0

    def build(self) -> Schedule:
        """Return the schedule itself."""
        return make_schedule(self.kind, self.timesteps, **self.model_dump(exclude={"kind", "timesteps"}))
