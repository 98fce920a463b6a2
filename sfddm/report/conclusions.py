"""What came of a paper in a sentence or two, from the figures alone.

Every paper has a sentence of counts. Where a paper's leading claim compares a trained row with what needs no training,
further sentences say how far apart the two are, from which training budget on the trained one is level with the other,
and what its training cost beside that of other methods.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import takewhile

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.show import counted, scales
from sfddm.report.content import Content
from sfddm.report.formats import count_text
from sfddm.results.statistics import Estimate
from sfddm.results.styles import interval_text, style_of
from sfddm.results.verdicts import PROPERTY_WORDS, Cell, Verdict

#: The claim that a paper's conclusion opens with: the rows whose trainings its own is set beside.
LEADING = {"sfddm-below-ddim": ("trajectory", "progressive")}
#: Verdicts of claims that no figure and no test of this run speaks of.
OPEN = frozenset({"not tested", "not run"})


def conclusions_of(content: Content) -> dict[str, tuple[str, ...]]:
    """Return the sentences of each paper's leading claim, those of one experiment in one text; none for most papers."""
    found: dict[str, tuple[str, ...]] = {}
    for verdict in content.verdicts:
        if verdict.id in LEADING:
            figures, told = Figures(content.collected).all, [cell for cell in verdict.cells if cell.difference]
            parts = {name: [cell for cell in told if cell.experiment == name] for name in content.titles}
            found[verdict.paper] = tuple(
                f"{content.titles[name]}: {_conclusion(cells, figures, LEADING[verdict.id])}"
                for name, cells in parts.items()
                if cells
            )
    return found


def counts_sentence(verdicts: Sequence[Verdict], *, in_one_line: bool = False) -> str:
    """Say how many claims of a paper came out how at each scale, and apart from these its properties of the code.

    ``in_one_line``: its marks alone say how many properties hold.
    """
    text = scales(verdicts, brief=True)
    properties = list(filter(None, (counted(verdicts, word) for word in PROPERTY_WORDS)))
    told = f"{text[:1].upper()}{text[1:]}."
    if properties and not in_one_line:
        told += f" Properties: {', '.join(properties)}."
    return told


def false_verdicts(verdicts: Sequence[Verdict]) -> str:
    """Say how many false verdicts to expect among those that rest on intervals; "" where none does.

    If no claimed difference existed, each such claim would be decided wrongly with a probability of at most one minus
    the confidence; comparisons of one claim are judged together (docs/claims.md, "How often verdicts are wrong").
    """
    levels = [
        1 - min(cell.confidence for cell in one.cells if cell.confidence is not None)
        for one in verdicts
        if one.verdict not in OPEN and any(cell.confidence is not None for cell in one.cells)
    ]
    if not levels:
        return ""
    claims = f"{len(levels)} claim{'' if len(levels) == 1 else 's'}"
    return f"{claims} judged by intervals: up to {sum(levels):.2g} false by chance, were no difference real"


def _conclusion(cells: Sequence[Cell], figures: Sequence[FigureOverSeeds], beside: Sequence[str]) -> str:
    """Return the sentences on one experiment; each cell compares a trained row with its control at some steps."""
    ordered = sorted(cells, key=lambda cell: -(cell.steps or 0))
    pairs = [
        (_figure(cell, figures, cell.rows[0].method), _figure(cell, figures, cell.rows[-1].method)) for cell in ordered
    ]
    known = [(left, right) for left, right in pairs if left is not None and right is not None]
    sentences = [_standing(ordered), _budgets(known), _costs(ordered, figures, [left for left, _ in known], beside)]
    return " ".join(filter(None, sentences))


def _standing(cells: Sequence[Cell]) -> str:
    left, right = (number.name for number in cells[0].numbers)
    told = [
        f"{signed(cell.difference, cell.metric)} at {_steps(cell.steps)} ({cell.verdict})"
        for cell in cells
        if cell.difference
    ]
    metric = style_of(cells[0].metric).heading
    return f"{metric} of {left} less that of {right} on the same indices: {listed(told)}."


def _budgets(pairs: Sequence[tuple[FigureOverSeeds, FigureOverSeeds]]) -> str:
    """Say from which training budget on each row on the left is level with the right one or below it."""
    if not any(left.cheaper for left, _ in pairs):
        return "One training budget was measured, so how this moves with training is not known."
    steps: dict[str, list[int | None]] = {}
    for left, right in pairs:
        if left.cheaper:
            level, last = level_from(left, right), left.first.budget
            name = left.first.title
            text = f"is above {right.first.title} with every budget up to {last:g} times its training"
            if level is not None:
                row = level.first
                cost = f"{row.images_seen:,} images" if row.images_seen else ""
                if row.network_evaluations:
                    cost = f"{cost}, {count_text(row.network_evaluations)} network evaluations".removeprefix(", ")
                other = right.first.title
                text = f"cannot be told from {other}, or is below it, from {row.budget:g} times its training on"
                text += f" ({cost})" if cost else ""
            steps.setdefault(f"{name} {text}", []).append(left.first.steps)
    told = [f"{text}, at {' / '.join(str(one) for one in some)} steps" for text, some in steps.items()]
    return f"{'; '.join(told)}."


def level_from(left: FigureOverSeeds, right: FigureOverSeeds) -> FigureOverSeeds | None:
    """Return ``left`` with the smallest budget from which on the interval of left - right holds 0 or lies below it.

    None where that of the largest budget lies above 0. A difference without an interval stands for itself.
    """

    def level(one: FigureOverSeeds) -> bool:
        apart = one.minus(right)
        return apart is not None and (apart.value if apart.low is None else apart.low) <= 0

    return next(iter(list(takewhile(level, (left, *reversed(left.cheaper))))[-1:]), None)


def _costs(
    cells: Sequence[Cell], figures: Sequence[FigureOverSeeds], lefts: Sequence[FigureOverSeeds], beside: Sequence[str]
) -> str:
    """Set what the trainings of the left rows cost, and gave, beside those of other methods at the same steps."""
    others = [[one for cell in cells if (one := _figure(cell, figures, name))] for name in beside]
    others = [some for some in others if any(one.first.network_evaluations for one in some)]
    if not others or not any(one.first.network_evaluations for one in lefts):
        return ""
    told = [
        f"{some[0].first.title} {_joined(count_text(one.first.network_evaluations) for one in some)} "
        f"for {' / '.join(one.number().text for one in some)} at "
        f"{' / '.join(str(one.first.steps) for one in some)} steps"
        for some in (lefts, *others)
    ]
    return f"Network evaluations in training, and the distance that they gave: {'; '.join(told)}."


def _figure(cell: Cell, figures: Sequence[FigureOverSeeds], method: str) -> FigureOverSeeds | None:
    """Return the figure of another row in the place of a cell."""
    wanted = (cell.experiment, method, cell.steps, cell.metric, cell.label)
    rows = ((one, one.first) for one in figures)
    return next(
        (one for one, row in rows if (row.experiment, row.method, row.steps, row.metric, row.label) == wanted), None
    )


def signed(difference: Estimate, metric: str) -> str:
    """Return a difference with its sign and interval."""
    decimals = style_of(metric).decimals
    return f"{difference.value:+.{decimals}f} {interval_text(difference.low, difference.high, decimals)}".rstrip()


def listed(parts: Sequence[str]) -> str:
    """Return "a, b and c"."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), *parts[-1:]]))


def _joined(texts: Iterable[str]) -> str:
    """Return texts with slashes between them, equal ones once."""
    some = list(texts)
    return some[0] if len(set(some)) == 1 else " / ".join(some)


def _steps(steps: int | None) -> str:
    return f"{steps} step{'' if steps == 1 else 's'}"
