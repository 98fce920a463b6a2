"""The section ``pairs`` of a spec."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sfddm.runtime.strict import Strict


class PairsSpec(Strict):
    """Images that the teacher makes from known noise, for losses that compare with them.

    Attributes:
        count: how many.
        steps: DDIM steps of the teacher, evenly spread.
        guidance_scale: w of classifier-free guidance.
    """

    count: Annotated[int, Field(ge=1, le=10_000_000)]
    steps: Annotated[int, Field(ge=1, le=100_000)] = 64
    guidance_scale: Annotated[float, Field(ge=0)] = 1.0
