"""Ablations: the rows of one method that differ from its main row in a few options, beside what was not trained.

A method's main row is the one that has the method's own name; the other rows of that method are its variants. The
control of a trained row is a row without any training that visits the same indices of the teacher with the same
sampler: what is left between the two is what training did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from sfddm.claims.figures import FigureOverSeeds, measured_of
from sfddm.report.formats import plain_text
from sfddm.results.rows import Collected, Row
from sfddm.results.statistics import Difference
from sfddm.results.styles import MetricStyle, interval_text, style_of
from sfddm.results.verdicts import Number

#: Options that change neither what is trained nor how it is sampled.
_NAMES_ONLY = ("method", "title", "steps", "budgets", "budget", "budget_of")
#: What a sampler is made of, with its defaults: two rows that agree in these take the same steps.
_SAMPLER = {"sampler": "ddim", "eta": 0.0, "clip": True}

Sense = Literal["equal", "better", "worse", "apart", "unclear"]
#: What is printed for each.
SENSES: dict[Sense, str] = {
    "better": "better",
    "worse": "worse",
    "apart": "intervals apart",
    "unclear": "not distinguishable",
    "equal": "exactly equal",
}


@dataclass(frozen=True)
class Change:
    """An option that differs: its value here, and the main row's."""

    option: str
    here: str
    there: str

    def __str__(self) -> str:
        return f"{self.option}: {self.here} instead of {self.there}"


@dataclass(frozen=True)
class Gap:
    """A difference to another row, over the seeds that both have.

    Attributes:
        sense: "equal" where it is exactly 0 for every seed; "better" or "worse" where its interval excludes 0
            ("apart" where the better side is unknown); "unclear" else.
    """

    other: Number
    value: float
    text: str
    interval: str
    sense: Sense

    def __str__(self) -> str:
        """The difference in one line."""
        if self.sense == "equal":
            return SENSES[self.sense]
        return f"{self.text}{' ' if self.interval else ''}{self.interval}, {SENSES[self.sense]}"


@dataclass(frozen=True)
class Variant:
    """One line: a row with its mean, what differs in its options, its difference to the main row and to its control."""

    method: str
    main: bool
    changes: tuple[Change, ...]
    number: Number
    to_main: Gap | None
    to_control: Gap | None
    trained: bool


@dataclass(frozen=True)
class Block:
    """The variants of one method at one number of steps, after the main row where it has these steps."""

    title: str
    steps: int
    lines: tuple[Variant, ...]


@dataclass(frozen=True)
class Finding:
    """What the lines add up to: a sentence's beginning and what it lists."""

    lead: str
    items: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.lead}: {'; '.join(self.items)}."


@dataclass(frozen=True)
class AblationTable:
    """One experiment in one metric."""

    experiment: str
    title: str
    metric: str
    label: str
    style: MetricStyle
    blocks: tuple[Block, ...]
    findings: tuple[Finding, ...]


def variants_of(frame: pd.DataFrame) -> frozenset[str]:
    """Return the names of the rows that are variants: wherever they occur, their method's main row was measured too.

    A row that trains nothing and takes another sampler than the main row, at as many evaluations a step, is none: it
    competes with it.
    """
    rows = frame[frame.role == "method"].drop_duplicates(["experiment", "method"])
    by_name = {(row.experiment, row.method): row for row in rows.itertuples()}

    def is_variant(row: Any) -> bool:
        main = by_name.get((row.experiment, row.method_name))
        if main is None or main.method == row.method:
            return False
        samplers = {one.options.get("sampler", _SAMPLER["sampler"]) for one in (row, main)}
        return bool(row.folds) or len(samplers) == 1 or row.nfe * main.steps != main.nfe * row.steps

    variants = pd.Series([is_variant(row) for row in rows.itertuples()], rows.method, dtype=bool)
    everywhere = variants.groupby(level=0).all()
    return frozenset(everywhere.index[everywhere])


def ablation_table(part: Collected, metric: str, variants: frozenset[str]) -> AblationTable | None:
    """Return an experiment's variants in one metric, grouped by method and steps; None where it has none."""
    rows = [row for row in part.rows if row.metric == metric and row.role == "method"]
    measured = {(one.first.method, one.first.steps or 0): one for one in measured_of(part, rows)}
    found = [one for (method, _), one in measured.items() if method in variants]
    if not found:
        return None
    students = part.provenance.spec.get("students", {})
    blocks = []
    for name in dict.fromkeys(one.first.method_name or "" for one in found):
        own = [one for one in found if one.first.method_name == name]
        for steps in sorted({one.first.steps or 0 for one in own}, reverse=True):
            main = measured.get((name, steps))
            basis = main or next(one for key, one in measured.items() if key[0] == name)
            lines = [*([main] if main else []), *(one for one in own if one.first.steps == steps)]
            made = tuple(_variant(one, main, basis.first, measured.values(), students) for one in lines)
            blocks.append(Block(basis.first.title, steps, made))
    source, label = part.provenance, found[0].first.label
    findings = findings_of(blocks)
    return AblationTable(source.experiment, source.title, metric, label, style_of(metric), tuple(blocks), findings)


def _variant(
    one: FigureOverSeeds,
    main: FigureOverSeeds | None,
    basis: Row,
    every: Iterable[FigureOverSeeds],
    students: Mapping[str, Any],
) -> Variant:
    row = one.first
    control = next((other for other in every if controls(other.first, row)), None)
    return Variant(
        method=row.method,
        main=one is main,
        changes=changes(row.options, basis.options, students),
        number=one.number(),
        to_main=None if main is None or one is main else gap_between(one, main),
        to_control=None if control is None else gap_between(one, control),
        trained=bool(row.folds),
    )


def gap_between(one: FigureOverSeeds, other: FigureOverSeeds) -> Gap | None:
    """Return one - other, paired over the training seeds; None where the two share none."""
    apart = one.minus(other)
    if apart is None:
        return None
    style = style_of(one.first.metric)
    # Without several seeds the two scores' own intervals bound the difference; the text keeps its sign.
    interval = interval_text(apart.low, apart.high, style.decimals)
    return Gap(other.number(), apart.value, f"{apart.value:+.{style.decimals}f}", interval, _sense(apart, style))


def controls(other: Row, row: Row) -> bool:
    """Say whether ``other`` takes the steps of ``row``, which was trained, without having been trained."""
    return (
        bool(row.folds)
        and other.folds == 0
        and other.steps == row.steps
        and other.index_set == row.index_set is not None
        and all(other.options.get(key, usual) == row.options.get(key, usual) for key, usual in _SAMPLER.items())
    )


def _sense(apart: Difference, style: MetricStyle) -> Sense:
    if apart.equal:
        return "equal"
    if apart.side == 0:
        return "unclear"
    if style.better == "unknown":
        return "apart"
    return "better" if (apart.side < 0) == (style.better == "lower") else "worse"


def changes(here: Mapping[str, Any], there: Mapping[str, Any], students: Mapping[str, Any]) -> tuple[Change, ...]:
    """Return the options in which a row differs from another, in the order of the row's options.

    Args:
        here, there: the two rows' options, every default filled in.
        students: the spec's training for rows that state none of their own.
    """
    one, other = _flat(here, students), _flat(there, students)
    return tuple(
        Change(key.replace("_", " "), _short(one.get(key)), _short(other.get(key)))
        for key in dict.fromkeys([*one, *other])
        if one.get(key) != other.get(key)
    )


def _flat(options: Mapping[str, Any], students: Mapping[str, Any]) -> dict[str, Any]:
    flat = {key: value for key, value in options.items() if key not in (*_NAMES_ONLY, "training")}
    training = options.get("training") or students
    return flat | {f"training {key}": value for key, value in training.items()}


def _short(value: Any) -> str:
    """Return a value as text, the middle of a very long list left out."""
    if isinstance(value, list | tuple) and len(value) > 32:
        return f"{plain_text(value[:8])}, … {plain_text(value[-4:])}"
    return plain_text(value)


def findings_of(blocks: Sequence[Block]) -> tuple[Finding, ...]:
    """Say in words which students are their untrained control, what the index set alone does, and what else matters."""
    variants = [line for block in blocks for line in block.lines if not line.main]
    same = tuple(
        f"{_named(line)}: {line.to_control.other.name}"
        for line in variants
        if line.to_control and line.to_control.sense == "equal"
    )
    indices = tuple(
        f"{_named(line)}: {line.number.text} {_against(line.to_main)}"
        for line in variants
        if not line.trained and line.to_main and [change.option for change in line.changes] == ["index set"]
    )
    senses = [line.to_main.sense for line in variants if line.to_main and line.trained]
    counted = tuple(f"{senses.count(sense)} {words}" for sense, words in SENSES.items() if sense in senses)
    found = (
        Finding("Trained, yet exactly the figures of what was not trained, for every seed", same),
        Finding("What the choice of indices does alone, without any training", indices),
        Finding(f"Of {len(senses)} trained variants beside a main row at the same steps", counted),
    )
    return tuple(one for one in found if one.items)


def _named(line: Variant) -> str:
    return f"{line.number.name}, {line.number.steps} step{'' if line.number.steps == 1 else 's'}"


def _against(gap: Gap) -> str:
    return f"against {gap.other.text}, {'' if gap.sense == 'equal' else 'difference '}{gap}"
