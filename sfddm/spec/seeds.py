"""Which training seeds a spec asks for: a list, or as many as the claims need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator, model_validator

from sfddm.runtime.strict import Strict

SeedList = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=1000)]


class SeedsUntilDecided(Strict):
    """The seeds 0 to ``at_least`` - 1 for every row, and one more at a time, up to ``at_most``, for those still open.

    A row is open where more seeds may decide a comparison of it with another row. Intervals of differences then hold
    at any number of seeds (sfddm/results/sequential.py); they exist from three seeds on.
    """

    at_least: Annotated[int, Field(ge=2, le=1000)]
    at_most: Annotated[int, Field(ge=3, le=1000)]

    @model_validator(mode="after")
    def _at_most_is_more(self) -> SeedsUntilDecided:
        if self.at_most <= self.at_least:
            raise ValueError(f"at_most must be more than at_least, {self.at_least}; got {self.at_most}")
        return self


_LIST: TypeAdapter[tuple[int, ...]] = TypeAdapter(SeedList)


def _checked(value: Any, _: ValidatorFunctionWrapHandler) -> tuple[int, ...] | SeedsUntilDecided:
    """Check a value as the one of the two that it looks like, so that an error speaks of that one alone."""
    if isinstance(value, Mapping | SeedsUntilDecided):
        return SeedsUntilDecided.model_validate(value)
    return _LIST.validate_python(value)


Seeds = Annotated[SeedList | SeedsUntilDecided, WrapValidator(_checked)]
