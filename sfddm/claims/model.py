"""A claim, typed: what a paper says, in our words, and the test over the figures that decides it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from sfddm.methods.options import StepCount
from sfddm.runtime.strict import Strict

Share = Annotated[float, Field(gt=0, le=1)]
Direction = Literal["lower", "higher"]
Relation = Literal["lower", "higher", "at-least-as-low-as", "at-least-as-high-as"]


#: A test of this project, as pytest names it.
NodeId = Annotated[str, Field(pattern=r"^tests/(\w+/)*test_\w+\.py::test_\w+$")]


class Selection(Strict):
    """Which rows of the table a test reads.

    Attributes:
        method: the row's name in the spec; "real" is real against real.
        implements: instead of ``method``, every row that this method, or one of these, implements.
        options: values that the row's options must have.
        steps: one step count; None leaves it to the test.
    """

    method: str | None = None
    implements: str | tuple[str, ...] | None = None
    options: dict[str, Any] = Field(default_factory=dict)
    steps: StepCount | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Selection:
        if (self.method is None) == (self.implements is None):
            raise ValueError("give either method, a row's name, or implements, a method's name")
        return self

    def __str__(self) -> str:
        implements = (self.implements,) if isinstance(self.implements, str) else self.implements or ()
        named = self.method if self.method else f"of the method {' or '.join(implements)}"
        wanted = [f"{key} {value}" for key, value in self.options.items()]
        wanted += [f"{self.steps} steps"] if self.steps else []
        return f"{named} ({', '.join(wanted)})" if wanted else named


class StepFilter(Strict):
    """Which step counts a claim speaks of; without a key, all.

    Attributes:
        listed: these.
        at_least, at_most: in sampling steps.
        share_at_least, share_at_most: as a share of the teacher's T, in (0, 1].
        halving: whether T / steps is a power of two.
    """

    listed: tuple[StepCount, ...] | None = None
    at_least: StepCount | None = None
    at_most: StepCount | None = None
    share_at_least: Share | None = None
    share_at_most: Share | None = None
    halving: bool | None = None

    def admits(self, steps: int | None, timesteps: int) -> bool:
        """Say whether the claim speaks of so many steps under a teacher of ``timesteps``."""
        if steps is None:
            return self == StepFilter()
        share = steps / timesteps
        ratio, rest = divmod(timesteps, steps)
        halved = rest == 0 and ratio & (ratio - 1) == 0
        return (
            (self.listed is None or steps in self.listed)
            and (self.at_least is None or steps >= self.at_least)
            and (self.at_most is None or steps <= self.at_most)
            and (self.share_at_least is None or share >= self.share_at_least)
            and (self.share_at_most is None or share <= self.share_at_most)
            and (self.halving is None or halved == self.halving)
        )

    def __str__(self) -> str:
        parts = []
        if self.listed is not None:
            parts.append("among " + ", ".join(map(str, self.listed)))
        if self.at_least is not None:
            parts.append(f"at least {self.at_least}")
        if self.at_most is not None:
            parts.append(f"at most {self.at_most}")
        if self.share_at_least is not None:
            parts.append(f"at least {100 * self.share_at_least:g} % of T")
        if self.share_at_most is not None:
            parts.append(f"at most {100 * self.share_at_most:g} % of T")
        if self.halving is not None:
            parts.append(f"{'' if self.halving else 'not '}T halved again and again")
        return " and ".join(parts) or "any"


class Compare(Strict):
    """``left`` has a lower (higher, ...) figure than ``right`` in the same experiment, at the same steps.

    A step count fixed on either side lifts the match on steps. ``same_index_set`` asks besides that both visit the
    same indices of the teacher, ``same_cost`` that their trainings took equally many network evaluations, the
    teacher's included, to within 1 %.
    """

    kind: Literal["compare"]
    metric: str = "frechet_distance"
    left: Selection
    relation: Relation
    right: Selection
    steps: StepFilter = StepFilter()
    same_index_set: bool = False
    same_cost: bool = False


class Within(Strict):
    """``left`` is worse than the reference ``right`` by no more than a factor, or by no more than a tolerance.

    The reference is taken at its own number of steps, the largest where it has several.
    """

    kind: Literal["within"]
    metric: str = "frechet_distance"
    better: Direction = "lower"
    left: Selection
    right: Selection
    factor: Annotated[float, Field(ge=1)] | None = None
    tolerance: Annotated[float, Field(ge=0)] | None = None
    steps: StepFilter = StepFilter()

    @model_validator(mode="after")
    def _one_way(self) -> Within:
        if (self.factor is None) == (self.tolerance is None):
            raise ValueError("give either factor or tolerance")
        return self


CountedCost = Literal["folds", "parameters", "active_parameters", "flops_per_evaluation"]


class Folds(Strict):
    """A cost that is counted equals a number, or is below that of other rows at the same steps.

    ``cost`` is the number of trainings besides the teacher's, of weights in memory or at work in one step, or of
    floating-point operations of one step.
    """

    kind: Literal["folds"]
    cost: CountedCost = "folds"
    left: Selection
    equals: Annotated[int, Field(ge=0)] | None = None
    fewer_than: Selection | None = None
    steps: StepFilter = StepFilter()

    @model_validator(mode="after")
    def _one_way(self) -> Folds:
        if (self.equals is None) == (self.fewer_than is None):
            raise ValueError("give either equals or fewer_than")
        return self


class Pair(Strict):
    """A figure, the control that it must beat, and in which direction."""

    metric: str
    control: str
    relation: Direction


class Control(Strict):
    """Figures of a row against control figures of the very same row."""

    kind: Literal["control"]
    left: Selection
    pairs: Annotated[tuple[Pair, ...], Field(min_length=1)]
    steps: StepFilter = StepFilter()


class Ablation(Strict):
    """Rows that differ in nothing but the options ``vary`` differ in the figure by no more than a relative tolerance.

    Attributes:
        among: for an option, the values that take part; others stay out.
        tolerance: largest difference between two rows, as a share of the rows' mean.
    """

    kind: Literal["ablation"]
    metric: str = "frechet_distance"
    left: Selection
    vary: Annotated[tuple[str, ...], Field(min_length=1)]
    among: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    tolerance: Annotated[float, Field(gt=0)]
    steps: StepFilter = StepFilter()


class Invariant(Strict):
    """A property of the code, which tests of this project check; each is a pytest node id."""

    kind: Literal["invariant"]
    tests: Annotated[
        tuple[Annotated[str, Field(pattern=r"^tests/(\w+/)*test_\w+\.py::test_\w+$")], ...], Field(min_length=1)
    ]


class Untested(Strict):
    """Nothing here can decide the claim; ``reason`` says why."""

    kind: Literal["none"]
    reason: str


Test = Annotated[
    Compare | Within | Folds | Control | Ablation | Invariant | Untested,
    Field(discriminator="kind"),
]


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
    steps: StepCount
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
    test: Test
    published: tuple[Published, ...] = ()
    note: str | None = None

    @property
    def source(self) -> str:
        """The paper and the place in it."""
        return f"{self.reference}, {self.section}" if self.section else self.reference
