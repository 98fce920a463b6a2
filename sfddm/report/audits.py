"""The protocol audit: the same samples under several protocols, and whether that changes who is ahead of whom."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from sfddm.report.tables import Cell, mean_over_seeds
from sfddm.results.rows import AuditOfRow, Collected, Row
from sfddm.results.scores import AuditFigure
from sfddm.results.statistics import overlap

OWN = "own"


@dataclass(frozen=True)
class Column:
    """One protocol, as the table's head and the list below describe it."""

    name: str
    title: str
    under: str
    description: str
    label: str


@dataclass(frozen=True)
class Place:
    """A cell and its rank among the methods at the same steps; equal figures share one. None: not ranked."""

    cell: Cell
    rank: int | None
    moved: bool = False


@dataclass(frozen=True)
class AuditLine:
    """One method at one number of steps: a place for each protocol, None where it was not scored."""

    title: str
    method: str
    role: str
    steps: int
    places: tuple[Place | None, ...]


@dataclass(frozen=True)
class AuditPart:
    """One experiment's audit: what it shows in a few sentences, and which pairs of methods change places."""

    title: str
    columns: tuple[Column, ...]
    groups: tuple[tuple[AuditLine, ...], ...]
    sentences: tuple[str, ...]
    turns: tuple[str, ...]
    note: str


@dataclass(frozen=True)
class Reversal:
    """Two methods at the same steps, the first ahead under the report's own protocol, the second under another.

    ``resolved``: their intervals are apart under both.
    """

    ahead: str
    behind: str
    steps: int
    protocol: str
    resolved: bool

    @property
    def pair(self) -> tuple[str, str, int]:
        """Both methods, and the steps at which they are compared."""
        return self.ahead, self.behind, self.steps


def audit_of(part: Collected) -> AuditPart | None:
    """Return an experiment's audit, means over seeds; None where none was made."""
    if not part.audits:
        return None
    columns = _columns(part.audits)
    cells: dict[tuple[str, int], dict[str, list[Row]]] = {}
    whose: dict[tuple[str, int], AuditOfRow] = {}
    for audit in part.audits:
        key = (audit.method, audit.steps)
        whose.setdefault(key, audit)
        for figure in audit.rows:
            cells.setdefault(key, {}).setdefault(figure.protocol_name, []).append(_as_row(audit, figure))
    means = {
        key: {name: mean_over_seeds(rows, part.provenance.confidence) for name, rows in found.items()}
        for key, found in cells.items()
    }
    lines = [_line(key, whose, means, columns) for key in means]
    keys = sorted({(line.role != "teacher", -line.steps) for line in lines})
    groups = tuple(tuple(line for line in lines if (line.role != "teacher", -line.steps) == key) for key in keys)
    return AuditPart(
        title=part.provenance.title,
        columns=columns,
        groups=groups,
        sentences=tuple(sentences_of(lines, columns)),
        turns=tuple(turns_of(lines, columns)),
        note=part.audits[0].note,
    )


def _as_row(audit: AuditOfRow, figure: AuditFigure) -> Row:
    own = {key: value for key, value in vars(figure).items() if key in ("metric", "label", "value", "low", "high")}
    whose = {key: value for key, value in vars(audit).items() if key not in ("rows", "note")}
    return Row(**whose, **own, protocol={})


def _columns(audits: Iterable[AuditOfRow]) -> tuple[Column, ...]:
    """Return every protocol once, in the order of the first audit that has it, the report's own first."""
    found: dict[str, Column] = {}
    for figure in (figure for audit in audits for figure in audit.rows):
        under = f"{figure.images:,} images, layer {figure.layer}"
        column = Column(figure.protocol_name, figure.title, under, figure.description, figure.label)
        found.setdefault(figure.protocol_name, column)
    return tuple(sorted(found.values(), key=lambda column: column.name != OWN))


def _line(
    key: tuple[str, int],
    whose: dict[tuple[str, int], AuditOfRow],
    means: dict[tuple[str, int], dict[str, Cell]],
    columns: Sequence[Column],
) -> AuditLine:
    audit = whose[key]
    rivals = [other for other in means if other[1] == key[1] and whose[other].role == "method"]

    def rank(name: str) -> int | None:
        if audit.role != "method" or len(rivals) < 2 or name not in means[key]:
            return None
        return 1 + sum(means[other][name].value < means[key][name].value for other in rivals if name in means[other])

    places = []
    for column in columns:
        cell = means[key].get(column.name)
        here, usual = rank(column.name), rank(OWN)
        moved = here is not None and usual is not None and here != usual
        places.append(None if cell is None else Place(cell, here, moved))
    return AuditLine(audit.title, audit.method, audit.role, audit.steps, tuple(places))


def reversals_of(lines: Sequence[AuditLine], columns: Sequence[Column]) -> tuple[list[Reversal], int]:
    """Return every pair of methods at the same steps whose order another protocol turns round, and the number of pairs.

    Pairs that are exactly equal under the report's own protocol have no order to turn round and do not count.
    """
    own = next((index for index, column in enumerate(columns) if column.name == OWN), None)
    found: list[Reversal] = []
    pairs = 0
    if own is None:
        return found, pairs
    for one, other in combinations([line for line in lines if line.role == "method"], 2):
        usual, against = one.places[own], other.places[own]
        if one.steps != other.steps or usual is None or against is None or usual.cell.value == against.cell.value:
            continue
        pairs += 1
        ahead, behind = (one, other) if usual.cell.value < against.cell.value else (other, one)
        for index, column in enumerate(columns):
            front, back = ahead.places[index], behind.places[index]
            if front is None or back is None or not front.cell.value > back.cell.value:
                continue
            resolved = not overlap(front.cell, back.cell) and not overlap(usual.cell, against.cell)
            found.append(Reversal(ahead.title, behind.title, one.steps, column.title, resolved))
    return found, pairs


def sentences_of(lines: Sequence[AuditLine], columns: Sequence[Column]) -> list[str]:
    """Say how far the protocol moves the figure itself, and whether the ranking changes under another one."""
    reversals, pairs = reversals_of(lines, columns)
    turned = {reversal.pair for reversal in reversals}
    resolved = len({reversal.pair for reversal in reversals if reversal.resolved})
    if not pairs:
        ranking = "No two methods at the same steps differ, so there is no ranking to change."
    elif not turned:
        kept = "the one pair" if pairs == 1 else f"all {pairs} pairs"
        ranking = f"The ranking does not change: {kept} of methods at the same steps keep their order."
    else:
        ranking = (
            f"The ranking changes: of {pairs} pair{'s' if pairs > 1 else ''} of methods at the same steps, "
            f"{len(turned)} {'is' if len(turned) == 1 else 'are'} turned round by at least one protocol, "
            f"{resolved or 'none'} of them with intervals apart under both protocols."
        )
    return [sentence for sentence in (_spread(lines, columns), ranking) if sentence]


def turns_of(lines: Sequence[AuditLine], columns: Sequence[Column]) -> list[str]:
    """Name each pair of methods whose order changes, and under which protocols; those with intervals apart first."""
    by_pair: dict[tuple[str, str, int], list[Reversal]] = {}
    for reversal in reversals_of(lines, columns)[0]:
        by_pair.setdefault(reversal.pair, []).append(reversal)
    sentences = []
    for (ahead, behind, steps), found in sorted(by_pair.items(), key=lambda item: not any(r.resolved for r in item[1])):
        doubt = "" if any(reversal.resolved for reversal in found) else "; their intervals overlap"
        under = ", ".join(reversal.protocol for reversal in found)
        sentences.append(f"At {steps} steps {ahead} is ahead of {behind}, but behind it under: {under}{doubt}.")
    return sentences


def _spread(lines: Sequence[AuditLine], columns: Sequence[Column]) -> str:
    """Say how far apart the protocols put one and the same set of samples, at most."""
    widest = None
    for line in lines:
        scored = [(place.cell.value, column.title) for place, column in zip(line.places, columns, strict=True) if place]
        if len(scored) > 1 and min(scored)[0] > 0:
            least, most = min(scored), max(scored)
            if widest is None or most[0] / least[0] > widest[0]:
                widest = (most[0] / least[0], line, least, most)
    if widest is None:
        return ""
    ratio, line, least, most = widest
    return (
        f"The protocol alone moves the figure by up to a factor of {ratio:.3g}: the samples of {line.title} at "
        f"{line.steps} steps have {_number(least[0])} under “{least[1]}” and {_number(most[0])} under “{most[1]}”."
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
