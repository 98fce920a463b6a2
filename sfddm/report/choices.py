"""What a protocol that chooses afterwards would have printed: one of several figures of the same row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sfddm.results.measurements import Attempt, AuditFigure
from sfddm.results.rows import Collected, FreedomOfRow, Row, RowOf
from sfddm.results.score import Figure

#: Names of the report's own protocol: the first training, which all but one degree of freedom starts from, and the
#: mean over trainings, which the best of several trainings is held against.
OWN, MEAN = "own", "trainings-mean"
TRAININGS = "trainings"
_F = TypeVar("_F", bound=Figure)
#: What is the lowest of several figures.
CHOSEN = ("checkpoint", "sampling-seed", TRAININGS)


@dataclass(frozen=True)
class Protocol:
    """A degree of freedom, or a protocol of the report's own.

    Attributes:
        note: what stands below the title.
        label: of the figure, which names the data and the extractor.
        base: the report's own protocol that it is held against; itself for such a one.
    """

    name: str
    title: str
    note: str
    description: str
    label: str
    base: str = OWN


def choices_of(part: Collected) -> Iterator[tuple[RowOf | Row, str, Figure]]:
    """Yield, with its row and the name of its protocol, each figure that a choice would have printed.

    Weights that are not averaged are no choice among several: theirs is that figure, better or worse. The others are
    the lowest, the report's own among them. Beside the best training stand all of them, whose mean is the report's own.
    """
    audited = {(one.method, one.steps, one.seed) for one in part.audits}
    for one in part.freedoms:
        own = _attempts(one, OWN)
        if (one.method, one.steps, one.seed) not in audited:
            yield from ((one, OWN, figure) for figure in own)
        for degree in dict.fromkeys(figure.degree for figure in one.rows if figure.degree != OWN):
            tried = _attempts(one, degree)
            yield one, degree, lowest([*own, *tried]) if degree in CHOSEN else tried[0]
    for rows in _trainings(part):
        yield from ((row, MEAN, row) for row in rows)
        best = lowest(rows)
        yield best, TRAININGS, best


def lowest(figures: Sequence[_F]) -> _F:
    """Return the figure of the least value, the first of equal ones."""
    return min(figures, key=lambda figure: figure.value)


def protocols_of(part: Collected) -> list[Protocol]:
    """Describe an experiment's protocols, each of the report's own before those that are held against it."""
    described: dict[str, AuditFigure] = {}
    for figure in (figure for audit in part.audits for figure in audit.rows):
        described.setdefault(figure.protocol_name, figure)
    found = [
        Protocol(
            figure.protocol_name,
            figure.title,
            f"{figure.images:,} images, layer {figure.layer}",
            figure.description,
            figure.label,
        )
        for figure in described.values()
    ]
    audited = {protocol.name for protocol in found}
    choices = [protocol for protocol in [*_of_attempts(part), *_of_trainings(part)] if protocol.name not in audited]
    return sorted([*choices, *found], key=lambda protocol: (protocol.base != OWN, protocol.name != OWN))


def _of_attempts(part: Collected) -> Iterator[Protocol]:
    first: dict[str, Attempt] = {}
    for figure in (figure for one in part.freedoms for figure in one.rows):
        first.setdefault(figure.degree, figure)
    most = {degree: 1 + max(len(_attempts(one, degree)) for one in part.freedoms) for degree in first}
    words = {
        OWN: ("This report’s own", "the protocol of every other figure of this report"),
        "weights": ("Weights not averaged", "the last weights themselves instead of their moving average"),
        "checkpoint": ("Best of {} checkpoints", "the lowest of the figures of equally spaced checkpoints, the model "
            "itself among them"),
        "sampling-seed": ("Best of {} sampling seeds", "the lowest of the figures of samples from as many sampling "
            "seeds, the report’s own among them"),
    }  # fmt: skip
    for degree in (name for name in words if name in first):
        (title, description), figure = words[degree], first[degree]
        note = f"{figure.images:,} images"
        yield Protocol(degree, title.format(most[degree]), note, description, figure.label)


def _of_trainings(part: Collected) -> Iterator[Protocol]:
    several = list(_trainings(part))
    if not several:
        return
    count, label = max(map(len, several)), several[0][0].label
    mean = f"Mean of {count} trainings"
    yield Protocol(MEAN, mean, "this report’s own", "the mean over the training seeds, as in the tables", label, MEAN)
    words = "the lowest of the figures of all training seeds, held against their mean"
    yield Protocol(TRAININGS, f"Best of {count} trainings", "against their mean", words, label, MEAN)


def _trainings(part: Collected) -> Iterator[list[Row]]:
    """Yield the rows of every training seed that have the own figure of an audited row, where there are several."""
    audited = [(one, figure) for one in part.audits for figure in one.rows if figure.protocol_name == OWN]
    freed = [(one, figure) for one in part.freedoms for figure in _attempts(one, OWN)]
    own = ((one.method, one.steps, figure.metric, figure.label) for one, figure in (*audited, *freed))
    for wanted in dict.fromkeys(own):
        rows = [row for row in part.rows if (row.method, row.steps, row.metric, row.label) == wanted]
        if len(rows) > 1:
            yield rows


def _attempts(one: FreedomOfRow, degree: str) -> list[Attempt]:
    return [figure for figure in one.rows if figure.degree == degree]
