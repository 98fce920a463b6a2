"""What came out: a verdict for each cell, and one for the whole claim."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sfddm.results.styles import interval_text, style_of

Word = Literal["reproduced", "contradicted", "inconclusive", "not tested"]
WORDS: tuple[Word, ...] = ("reproduced", "contradicted", "inconclusive", "not tested")


@dataclass(frozen=True)
class RowLink:
    """Where a figure of a cell stands in ``metrics.json`` and in the tables."""

    experiment: str
    method: str
    steps: int | None
    metric: str

    @property
    def anchor(self) -> str:
        """The identifier of the row in the page, or of the section that shows figures of its kind."""
        return style_of(self.metric).section or anchor(self.metric, self.method)


def anchor(metric: str, method: str) -> str:
    """Return the identifier of a method's row in a metric's table of the page."""
    return f"row-{re.sub(r'[^a-z0-9-]', '_', metric.lower())}-{re.sub(r'[^a-z0-9.-]', '_', method.lower())}"


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
class Cell:
    """The verdict in one place of the table.

    Attributes:
        numbers: the figures that were compared.
        difference: (value, low, high) of what the test asks to be below or above 0; None where it asks for none.
        seeds: training seeds behind it; images: generated images of each figure.
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
    difference: tuple[float, float | None, float | None] | None = None

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
    steps: int
    data: str
    evidence: str
    measured: tuple[str, ...]
    because: str

    def __str__(self) -> str:
        text = f"{self.what}, {self.label} {self.value:g} at {self.steps} step{'' if self.steps == 1 else 's'}"
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
    def published_by_reason(self) -> dict[str, list[PublishedComparison]]:
        """The published figures by why they can or cannot be compared."""
        found: dict[str, list[PublishedComparison]] = {}
        for one in self.published:
            found.setdefault(one.because, []).append(one)
        return found

    @property
    def basis(self) -> str:
        """Say how many seeds and images stand behind the cells; nothing where no cell was tested."""
        tested = [cell for cell in self.cells if cell.verdict != "not tested"]
        if not tested:
            return ""
        seeds = _range([cell.seeds for cell in tested])
        images = _range([cell.images for cell in tested if cell.images is not None])
        text = f"{seeds} training seed{'' if seeds == '1' else 's'}"
        return f"{text}, {images} images a figure" if images else text

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON; each cell's rows carry a link into ``table.html``."""
        value = asdict(self) | {"counts": self.counts}
        for plain, cell in zip(value["cells"], self.cells, strict=True):
            for number in plain["numbers"]:
                del number["decimals"]
            if cell.difference is not None:
                plain["difference"] = dict(zip(("value", "low", "high"), cell.difference, strict=True))
            for link, row in zip(plain["rows"], cell.rows, strict=True):
                link["link"] = f"table.html#{row.anchor}"
        return value


def overall(cells: Sequence[Cell]) -> tuple[Word, str]:
    """Return the verdict over several cells and the sentence behind it.

    Reproduced where every tested cell is; contradicted where at least one is and none is reproduced; not tested where
    no cell is tested; inconclusive in every other case, with the counts of the cells.
    """
    counts = Counter(cell.verdict for cell in cells)
    tested = len(cells) - counts["not tested"]
    if not tested:
        return "not tested", "; ".join(dict.fromkeys(cell.because for cell in cells))
    if len(cells) == 1:
        return cells[0].verdict, cells[0].because
    parts = [f"{counts[word]} {word}" for word in WORDS[:3] if counts[word]]
    text = f"of {tested} comparison{'' if tested == 1 else 's'}, {', '.join(parts)}"
    if counts["not tested"]:
        text += f"; {counts['not tested']} could not be made"
    if counts["reproduced"] == tested:
        return "reproduced", text
    if counts["contradicted"] and not counts["reproduced"]:
        return "contradicted", text
    if counts["contradicted"]:
        text += "; they disagree, so the claim as a whole is undecided"
    return "inconclusive", text


def _range(values: Sequence[int]) -> str:
    if not values:
        return ""
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
