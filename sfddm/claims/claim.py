"""A claim, typed: what a paper says, in our words, and the test over the figures that decides it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, SerializeAsAny, field_validator

from sfddm.claims.figures import Figures
from sfddm.claims.kinds.base import ClaimTest
from sfddm.claims.published import PublishedRow
from sfddm.claims.setting import Setting, graded
from sfddm.results.properties import Properties
from sfddm.results.rows import Collected
from sfddm.results.verdicts import Verdict
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.registry import find
from sfddm.runtime.strict import Strict


class Claim(Strict):
    """One claim of a paper.

    ``section`` None: our sources do not say where the paper makes it. ``setting``: at what scale the paper makes it.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    paper: str
    reference: str
    section: str | None = None
    statement: str
    test: SerializeAsAny[ClaimTest]
    published: tuple[PublishedRow, ...] = ()
    note: str | None = None
    setting: Setting = Setting()

    @field_validator("test", mode="before")
    @classmethod
    def _of_its_kind(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "kind" not in value:
            return value
        try:
            kind = find("sfddm.claims.kinds", ClaimTest, str(value["kind"]), "kind")  # type: ignore[type-abstract]
        except SfddmError as error:
            raise ValueError(str(error)) from None
        return kind.model_validate(value)

    def verdict(self, figures: Figures) -> Verdict:
        """Return what the figures say of it."""
        word, because, cells = self.test.outcome(figures)
        return Verdict(
            **self.model_dump(include={"id", "paper", "statement", "note"}),
            source=f"{self.reference}, {self.section}" if self.section else self.reference,
            verdict=word,
            because=because,
            cells=tuple(graded(cell, self.setting, figures) for cell in cells),
            published=tuple(one for row in self.published for one in row.compared(figures)),
            tested=self.test.describe(),
        )


def evaluate_claims(
    parts: Sequence[Collected], claims: Sequence[Claim], properties: Properties | None = None
) -> list[Verdict]:
    """Return each claim's verdict, in the order of the claims.

    Args:
        parts: what was measured.
        claims: what is judged.
        properties: what came of the tests of the code; None where none ran.
    """
    figures = Figures(parts, properties)
    return [claim.verdict(figures) for claim in claims]
