"""A claim, typed: what a paper says, in our words, and the test over the figures that decides it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, FiniteFloat, SerializeAsAny, field_validator

from sfddm.claims.kinds.base import ClaimTest
from sfddm.claims.selection import Selection, Steps
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.registry import find
from sfddm.runtime.strict import Strict


class Published(Strict):
    """A figure that a source gives, with what the source says of its protocol.

    Attributes:
        what: whose figure, in words.
        beside: the rows that it would stand beside.
        steps: sampling steps.
        data: the label of the data.
        generated_images: None where the source does not say.
        evidence: where the figure was read.
    """

    what: str
    beside: Selection
    metric: str = "frechet_distance"
    label: str
    value: FiniteFloat
    steps: Steps
    data: str
    extractor: str
    generated_images: Annotated[int, Field(ge=1)] | None = None
    evidence: str


class Claim(Strict):
    """One claim of a paper. ``section`` None: our sources do not say where the paper makes it."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    paper: str
    reference: str
    section: str | None = None
    statement: str
    test: SerializeAsAny[ClaimTest]
    published: tuple[Published, ...] = ()
    note: str | None = None

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

    @property
    def source(self) -> str:
        """The paper and the place in it."""
        return f"{self.reference}, {self.section}" if self.section else self.reference
