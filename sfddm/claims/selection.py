"""Which rows of the table, and which numbers of steps, a claim speaks of."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, model_validator

from sfddm.results.rows import Row
from sfddm.runtime.strict import Strict

Steps = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]


class Selection(Strict):
    """Which rows of the table a test reads.

    Attributes:
        method: the row's name in the spec; "real" is real against real.
        implements: instead of ``method``, every row that this method, or one of these, implements; of a row with
            several budgets, the one of the largest.
        options: values that the row's options must have.
        steps: one step count; None leaves it to the test.
    """

    method: str | None = None
    implements: str | tuple[str, ...] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    steps: Steps | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Selection:
        if (self.method is None) == (self.implements is None):
            raise ValueError("give either method, a row's name, or implements, a method's name")
        return self

    @property
    def _methods(self) -> tuple[str, ...]:
        return (self.implements,) if isinstance(self.implements, str) else self.implements or ()

    def admits(self, row: Row, *, every_budget: bool = False) -> bool:
        """Say whether a row is selected; ``every_budget``: ``implements`` finds rows at smaller budgets, too."""
        implements = row.method_name in self._methods and (every_budget or not row.at_smaller_budget)
        named = row.method == self.method if self.method else implements
        options = all(key in row.options and row.options[key] == value for key, value in self.options.items())
        return named and options and self.steps in (None, row.steps)

    def __str__(self) -> str:
        named = self.method if self.method else f"of the method {' or '.join(self._methods)}"
        wanted = [f"{key} {value}" for key, value in self.options.items()]
        wanted += [f"{self.steps} steps"] if self.steps else []
        return f"{named} ({', '.join(wanted)})" if wanted else named

    @property
    def noun(self) -> str:
        """The selected rows in a sentence: one row by its name in the spec, or every row of a method."""
        return str(self) if self.method else f"the rows {self}"


class StepFilter(Strict):
    """Which step counts a claim speaks of; without a key, all.

    Attributes:
        listed: these.
        at_least, at_most: in sampling steps.
        share_at_least, share_at_most: as a share of the teacher's T, in (0, 1].
        halving: whether T / steps is a power of two.
    """

    listed: tuple[Steps, ...] | None = None
    at_least: Steps | None = None
    at_most: Steps | None = None
    share_at_least: Share | None = None
    share_at_most: Share | None = None
    halving: bool | None = None

    def admits(self, steps: int | None, timesteps: int) -> bool:
        """Say whether the claim speaks of so many steps under a teacher of ``timesteps``."""
        if steps is None:
            return self == StepFilter()
        ratio, rest = divmod(timesteps, steps)
        halved = rest == 0 and ratio & (ratio - 1) == 0
        bounds = ((self.at_least, steps, self.at_most), (self.share_at_least, steps / timesteps, self.share_at_most))
        return (
            (self.listed is None or steps in self.listed)
            and all((low is None or low <= value) and (high is None or value <= high) for low, value, high in bounds)
            and self.halving in (None, halved)
        )

    def __str__(self) -> str:
        told = [] if self.listed is None else [f"among {', '.join(map(str, self.listed))}"]
        for words, steps, share in (
            ("at least", self.at_least, self.share_at_least),
            ("at most", self.at_most, self.share_at_most),
        ):
            told += [] if steps is None else [f"{words} {steps}"]
            told += [] if share is None else [f"{words} {100 * share:g} % of T"]
        if self.halving is not None:
            told.append(f"{'' if self.halving else 'not '}T halved again and again")
        return " and ".join(told) or "any"

    def after(self, words: str) -> str:
        """Return ``words`` and the filter, or nothing where it admits every number of steps."""
        return "" if self == StepFilter() else f"{words} {self}"
