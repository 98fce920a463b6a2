"""Degrees of freedom: what other choices would have printed of the same trainings, and which ranking.

Our figure is never replaced by any of them. The best of several is the least, for the Frechet distance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sfddm.report.content import Content
from sfddm.results.measurements import AuditFigure
from sfddm.results.rows import Collected

#: A row's figures by the name of the choice, its own among them.
Figures = Mapping[str, float]
OWN = "own"
NOT_AVERAGED = "weights-not-averaged"


@dataclass(frozen=True)
class Place:
    """One row's figure under a choice: the text, the change in per cent, and whether our interval leaves it out."""

    text: str
    change: str
    beyond: bool


@dataclass(frozen=True)
class Choice:
    """One line of the table: a choice, what it gives for each row (None: cannot be told), and the ranking."""

    title: str
    description: str
    places: tuple[Place | None, ...]
    ranking: str
    moved: bool


def freedom_of(content: Content, part: Collected) -> dict[str, Any] | None:
    """Return a table for each number of steps; None where no row was audited."""
    audited = [one for one in part.audits if one.role == "method" and one.seed == part.seeds[0]]
    described: dict[str, AuditFigure] = {}
    for figure in (figure for one in audited for figure in one.rows if figure.protocol_name != OWN):
        described.setdefault(figure.protocol_name, figure)
    groups = []
    for steps in sorted({one.steps for one in audited}, reverse=True):
        methods = list(dict.fromkeys((one.method, one.title) for one in audited if one.steps == steps))
        figures = [_figures(part, method, steps) for method, _ in methods]
        own = [_own(part, method, steps) for method, _ in methods]
        titles = [title for _, title in methods]
        usual = _ranking(titles, [{OWN: value} for value, _, _ in own], OWN)
        first = Choice("This report’s own", "the protocol of every other figure", _places(own, None), usual, False)
        lines = [first, *(_choice(titles, own, *one) for one in _choices(figures, described))]
        groups.append({"steps": steps, "titles": titles, "lines": [line for line in lines if any(line.places)]})
    return {"title": part.provenance.title, "groups": groups} if groups else None


def _figures(part: Collected, method: str, steps: int) -> dict[str, float]:
    """Return the figures of a row's first seed by choice, and those of its other trainings as "training-S"."""
    found = {
        figure.protocol_name: figure.value
        for one in part.audits
        if (one.method, one.steps, one.seed) == (method, steps, part.seeds[0])
        for figure in one.rows
    }
    for row in _scores(part, method, steps):
        found |= {OWN: row.value} if row.seed == part.seeds[0] else {f"training-{row.seed}": row.value}
    return found


def _scores(part: Collected, method: str, steps: int) -> list[Any]:
    rows = [row for row in part.rows if (row.method, row.steps, row.metric) == (method, steps, "frechet_distance")]
    return [row for row in rows if row.label == rows[0].label]


def _own(part: Collected, method: str, steps: int) -> tuple[float, float | None, float | None]:
    row = next(row for row in _scores(part, method, steps) if row.seed == part.seeds[0])
    return row.value, row.low, row.high


def _choices(
    figures: Sequence[Figures], described: Mapping[str, AuditFigure]
) -> list[tuple[str, str, list[float | None]]]:
    """Return title, description and the figure of each row for every choice; None where a row has not all of it."""
    found = []
    for prefix, what in (("seed-", "sampling seeds"), ("weights-", "checkpoints"), ("training-", "trainings")):
        names = dict.fromkeys(name for some in figures for name in some if name.startswith(prefix))
        names.pop(NOT_AVERAGED, None)
        if names:
            several = [min(some[n] for n in (OWN, *names)) if set(names) <= set(some) else None for some in figures]
            title = f"Best of {len(names) + 1} {what}"
            found.append((title, f"the least of as many figures, of other {what}, ours among them", several))
    for name, figure in described.items():
        if name == NOT_AVERAGED or not figure.resampled:
            found.append((figure.title, figure.description, [some.get(name) for some in figures]))
    return found


def _choice(
    titles: Sequence[str],
    own: Sequence[tuple[float, Any, Any]],
    title: str,
    description: str,
    values: list[float | None],
) -> Choice:
    both = [{OWN: mine[0], "other": value} for mine, value in zip(own, values, strict=True) if value is not None]
    named = [name for name, value in zip(titles, values, strict=True) if value is not None]
    ranking, usual = _ranking(named, both, "other"), _ranking(named, both, OWN)
    return Choice(title, description, _places(own, values), ranking, ranking != usual)


def _ranking(titles: Sequence[str], figures: Sequence[Figures], key: str) -> str:
    order = sorted(range(len(titles)), key=lambda i: figures[i][key])
    return " < ".join(titles[i] for i in order) if len(order) > 1 else ""


def _places(
    own: Sequence[tuple[float, float | None, float | None]], values: Sequence[float | None] | None
) -> tuple[Place | None, ...]:
    found: list[Place | None] = []
    for (mine, low, high), value in zip(own, values or [value for value, _, _ in own], strict=True):
        if value is None:
            found.append(None)
            continue
        beyond = values is not None and low is not None and high is not None and not low <= value <= high
        found.append(Place(f"{value:.2f}", f"{100 * (value / mine - 1):+.1f} %" if values else "", beyond))
    return tuple(found)
