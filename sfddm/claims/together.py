"""Several comparisons of one claim, judged together: over places of the table, and over extractors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from sfddm.results.verdicts import DECIDED, WORDS, ByExtractor, Cell, Word


def holm(p_values: Sequence[float], level: float) -> list[bool]:
    """Say which hypotheses are rejected so that the chance of any false rejection is at most ``level`` (Holm 1979)."""
    rejected = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    for place, index in enumerate(order):
        if p_values[index] > level / (len(order) - place):
            break
        rejected[index] = True
    return rejected


def judged_together(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells, with those inconclusive that are decided alone but not beside the claim's others (Holm).

    Cells of one extractor are a family. Counts, which are right or wrong, have no p-value and stay.
    """
    kept = list(cells)
    for extractor in dict.fromkeys(cell.extractor for cell in cells):
        family = [i for i, cell in enumerate(cells) if cell.extractor == extractor and cell.p_value is not None]
        if len(family) < 2:
            continue
        level = min(1 - (cells[i].confidence or 0.95) for i in family)
        rejected = holm([cells[i].p_value or 0.0 for i in family], level)
        left = rejected.count(False)
        for i, still in zip(family, rejected, strict=True):
            if not still and cells[i].verdict in DECIDED:
                kept[i] = _undecided(cells[i], len(family), level / left)
    return kept


def _undecided(cell: Cell, comparisons: int, needed: float) -> Cell:
    """Return a cell that is decided alone as inconclusive; ``needed`` is the p-value that would decide it."""
    because = f"{cell.because}; decided alone, but not among {comparisons} comparisons together (Holm)"
    power = f"a p-value of {needed:.2g} would decide it beside the others, this one's is {cell.p_value:.2g}"
    return replace(cell, verdict="inconclusive", because=because, turns="", power=power)


def over_extractors(cells: Sequence[Cell]) -> list[Cell]:
    """Return one cell for each place of the table; where extractors differ in the verdict, it depends on them."""
    places: dict[tuple[object, ...], list[Cell]] = {}
    for cell in cells:
        rows = tuple((row.method, row.steps) for row in cell.rows)
        places.setdefault((cell.experiment, cell.metric, rows), []).append(cell)
    return [cell for some in places.values() for cell in _agreed(some)]


def _agreed(cells: Sequence[Cell]) -> Sequence[Cell]:
    if not 1 < len(cells) == len({cell.extractor for cell in cells}):
        return cells
    found = tuple(ByExtractor(c.extractor or "", c.label, c.verdict, c.difference, c.numbers) for c in cells)
    words = {cell.verdict for cell in cells} - {"not tested"}
    word: Word = "depends on the extractor"
    if len(words) < 2 or not words & set(DECIDED):
        word = next((one for one in WORDS if one in words), "not tested")
    said = "; ".join(f"{cell.label}: {cell.verdict}" for cell in cells)
    return [replace(cells[0], verdict=word, because=f"{cells[0].because} ({said})", extractors=found)]


def overall(cells: Sequence[Cell]) -> tuple[Word, str]:
    """Return the verdict over several cells and the sentence behind it.

    Reproduced where every tested cell is; contradicted where at least one is, settled, and none is reproduced; depends
    on the extractor where a cell does; unsettled where more training may turn a cell and no settled one speaks against
    the others; not tested where no cell is tested; inconclusive in every other case, with the counts of the cells.
    """
    counts = Counter(cell.verdict for cell in cells)
    tested = len(cells) - counts["not tested"]
    if not tested:
        return "not tested", "; ".join(dict.fromkeys(cell.because for cell in cells))
    if len(cells) == 1:
        return cells[0].verdict, cells[0].because
    parts = [f"{counts[word]} {word}" for word in WORDS if counts[word] and word != "not tested"]
    text = f"of {tested} comparison{'' if tested == 1 else 's'}, {', '.join(parts)}"
    if counts["not tested"]:
        text += f"; {counts['not tested']} could not be made"
    if counts["reproduced"] == tested:
        return "reproduced", text
    if counts["contradicted"] and counts["reproduced"]:
        return "inconclusive", f"{text}; they disagree, so the claim as a whole is undecided"
    order: tuple[Word, ...] = ("contradicted", "depends on the extractor", "unsettled")
    return next((word for word in order if counts[word]), "inconclusive"), text
