"""``claims`` of ``metrics.json``: a verdict for each claim, and for each cell that it was looked at in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Set
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from sfddm.results.rows import Row
from sfddm.results.statistics import Estimate
from sfddm.results.styles import interval_text, style_of

Word = Literal[
    "reproduced",
    "contradicted",
    "unsettled",
    "depends on the extractor",
    "inconclusive",
    "not tested",
    "holds",
    "fails",
    "not run",
]
WORDS: tuple[Word, ...] = get_args(Word)
#: What a comparison is called whose interval lies on one side.
DECIDED: tuple[Word, ...] = ("reproduced", "contradicted", "unsettled")
GradeWord = Literal["toy", "reduced", "full"]
#: How near a test comes to the setting of its claim, the lowest first.
GRADES: tuple[GradeWord, ...] = ("toy", "reduced", "full")
#: Of properties of the code, which no figure decides; they are never counted with the others.
PROPERTY_WORDS: tuple[Word, ...] = ("holds", "fails", "not run")
MEASURED_WORDS: tuple[Word, ...] = tuple(word for word in WORDS if word not in PROPERTY_WORDS)


def anchor(metric: str, method: str) -> str:
    """Return the identifier of a method's row in a metric's table of the page."""
    return f"row-{re.sub(r'[^a-z0-9-]', '_', metric.lower())}-{re.sub(r'[^a-z0-9.-]', '_', method.lower())}"


@dataclass(frozen=True)
class RowLink:
    """Where a figure of a cell stands in ``metrics.json``, and ``link`` to it in the page."""

    experiment: str
    method: str
    steps: int | None
    metric: str
    link: str

    @staticmethod
    def to(row: Row) -> RowLink:
        """Return a link to the row in the page, or to the section that shows figures of its kind."""
        place = style_of(row.metric).section or anchor(row.metric, row.method)
        return RowLink(row.experiment, row.method, row.steps, row.metric, f"table.html#{place}")

    @property
    def anchor(self) -> str:
        """The identifier in the page."""
        return self.link.partition("#")[2]


@dataclass(frozen=True)
class Number:
    """A figure of one row, the mean over its seeds; ``low`` and ``high`` are None where it has no interval."""

    name: str
    steps: int | None
    value: float
    low: float | None
    high: float | None
    decimals: int

    @property
    def text(self) -> str:
        """The value as printed."""
        return f"{self.value:.{self.decimals}f}"

    @property
    def interval(self) -> str:
        """The interval as printed."""
        return interval_text(self.low, self.high, self.decimals)

    def __str__(self) -> str:
        return f"{self.name}: {self.text} {self.interval}".rstrip()


@dataclass(frozen=True)
class AtBudget:
    """A difference of two rows, one of them trained with ``budget`` times the row's training: on ``images`` images."""

    budget: float
    images: int | None
    difference: Estimate


@dataclass(frozen=True)
class ByExtractor:
    """What one extractor says of a place of the table where several were asked."""

    extractor: str
    label: str
    verdict: Word
    difference: Estimate | None
    numbers: tuple[Number, ...]


@dataclass(frozen=True)
class Cell:
    """The verdict in one place of the table.

    Attributes:
        numbers: the figures that were compared.
        difference: what the test asks to be below or above 0; None where it asks for no such thing.
        seeds: training seeds behind it; images: generated images of each figure.
        trained: whether a row behind it was trained, and could be trained longer.
        extractor: the network whose features were compared, None where the figure compares none.
        extractors: what each says, where there are several; ``verdict`` is what they say together.
        curve: the difference at each training budget of the row that could turn the verdict, where there are several.
        turns: why more training may turn the verdict; "" where it is settled, or was not decided.
        power: what an inconclusive comparison could have shown, and what would decide it.
        p_value: of "no difference", two-sided; None where nothing was estimated. confidence: of the interval.
        grade: the scale of the test beside the claim's setting, None where it has none; reduced: why it is not full.
    """

    experiment: str
    steps: int | None
    metric: str
    label: str
    verdict: Word
    because: str
    numbers: tuple[Number, ...]
    seeds: int
    images: int | None
    rows: tuple[RowLink, ...]
    difference: Estimate | None = None
    trained: bool = False
    extractor: str | None = None
    extractors: tuple[ByExtractor, ...] = ()
    curve: tuple[AtBudget, ...] = ()
    turns: str = ""
    power: str = ""
    p_value: float | None = None
    confidence: float | None = None
    grade: GradeWord | None = None
    reduced: tuple[str, ...] = ()

    @property
    def at(self) -> str:
        """The number of steps as it follows a name, nothing where there is none."""
        return "" if self.steps is None else f", {self.steps} step{'' if self.steps == 1 else 's'}"


@dataclass(frozen=True)
class PublishedComparison:
    """A published figure, and either the measured ones under the same protocol or why none can be compared."""

    what: str
    label: str
    value: float
    nfe: int
    data: str
    evidence: str
    measured: tuple[str, ...]
    because: str

    def __str__(self) -> str:
        text = f"{self.what}, {self.label} {self.value:g} at {self.nfe} evaluation{'' if self.nfe == 1 else 's'}"
        text += f" ({self.data}; {self.evidence})"
        return f"{text}, measured {', '.join(self.measured)}" if self.measured else text


@dataclass(frozen=True)
class Verdict:
    """A claim with what came out.

    Attributes:
        tested: which figures of which rows were held against which.
        cells: every place of the table that was looked at.
        counts: how many cells have each verdict.
        published: published figures beside measured ones.
    """

    id: str
    paper: str
    statement: str
    source: str
    verdict: Word
    because: str
    cells: tuple[Cell, ...] = ()
    published: tuple[PublishedComparison, ...] = ()
    note: str | None = None
    tested: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """How many cells have each verdict, in the order of ``WORDS``; those without one are left out."""
        found = Counter(cell.verdict for cell in self.cells)
        return {word: found[word] for word in WORDS if found[word]}

    @property
    def grade(self) -> GradeWord | None:
        """The highest grade among the tested cells, of those that came out as the claim did where there are any."""
        tested = [cell for cell in self.cells if cell.grade is not None]
        alike = [cell.grade for cell in tested if cell.verdict == self.verdict]
        return max(alike or [cell.grade for cell in tested], key=lambda one: GRADES.index(one or "toy"), default=None)

    @property
    def published_by_reason(self) -> dict[str, list[PublishedComparison]]:
        """The published figures by why they can or cannot be compared."""
        reasons = dict.fromkeys(one.because for one in self.published)
        return {reason: [one for one in self.published if one.because == reason] for reason in reasons}

    @property
    def basis(self) -> str:
        """Say how many seeds and images stand behind the cells; nothing where no cell was tested."""
        tested = [cell for cell in self.cells if cell.verdict != "not tested"]
        if not tested:
            return ""
        seeds = _range({cell.seeds for cell in tested})
        images = _range({cell.images for cell in tested if cell.images is not None})
        text = f"{seeds} training seed{'' if seeds == '1' else 's'}"
        text = f"{text}, {images} images a figure" if images else text
        return f"{text}; not settled: {self.unsettled}" if self.unsettled else text

    @property
    def unsettled(self) -> str:
        """Say why a verdict may still turn: with a longer training, another one, or the features of another network.

        Nothing where the verdict is open anyway, and where nothing was estimated: a count or a test of the code.
        """
        told = [cell for cell in self.cells if cell.difference and cell.verdict in DECIDED]
        if not told or self.verdict not in DECIDED:
            return ""
        reasons = list(dict.fromkeys(cell.turns for cell in told if cell.turns))
        reasons += ["a single training"] if min(cell.seeds for cell in told) == 1 else []
        compared = [cell for cell in told if cell.extractor is not None and not cell.extractors]
        reasons += ["one extractor"] if len({cell.extractor for cell in compared}) == 1 else []
        return ", ".join(reasons)

    @property
    def open_to(self) -> str:
        """The same where the word alone does not say that the verdict may turn: for "reproduced" and "contradicted"."""
        return "" if self.verdict == "unsettled" else self.unsettled

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        plain = asdict(self, dict_factory=lambda pairs: {key: value for key, value in pairs if key != "decimals"})
        return plain | {"counts": self.counts, "grade": self.grade}


def _range(values: Set[int]) -> str:
    return " to ".join(f"{value:,}" for value in sorted({min(values), max(values)})) if values else ""
