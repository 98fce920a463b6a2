"""Cost against quality: each row's figure against the network evaluations that its training took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sfddm.report.formats import count_text
from sfddm.report.plots import MARKERS, PAPER, SERIES, bars, draw_references, dress_figures, inline_plot, name_point
from sfddm.report.tables import MetricTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def cost_plot(
    table: MetricTable, index: int, costs: Sequence[Any], slots: Mapping[str, int], methods: Mapping[str, str]
) -> str | None:
    """Draw the rows of one experiment at one number of steps; None where fewer than two were trained.

    Network evaluations count the student's and the teacher's forward passes, so that a training whose targets are
    dear pays for them. Rows without training stand on the left, at 0, with a dotted line across.

    Args:
        table: the metric's table.
        index: which of its groups the experiment is.
        costs: of the rows, all at the same number of steps.
        slots: the colour and marker of each main row, as an index into ``MARKERS``.
        methods: for each row that is a variant, the main row whose colour it has, hollow.
    """
    shown = [cost for cost in costs if cost.value is not None and cost.network_evaluations is not None]
    shown = [cost for cost in shown if methods.get(cost.method, cost.method) in slots]
    # A training a hundred times shorter than the others is no training to speak of; it would only squeeze the axis.
    longest = max((cost.network_evaluations or 0.0 for cost in shown), default=0.0)
    trained = [cost for cost in shown if (cost.network_evaluations or 0.0) > longest / 100]
    if len({cost.network_evaluations for cost in trained}) < 2:
        return None
    steps = shown[0].steps
    group = table.groups[index]

    def draw(axes: Axes) -> None:
        draw_references(axes, table.references, index, "--", band=True)
        least = min(cost.network_evaluations or 0.0 for cost in trained)
        left = least / 2.2
        for x, alike in _by_cost(shown, trained, left).items():
            for position, cost in enumerate(alike):
                # Rows of equal cost stand beside each other, by a few hundredths.
                aside = 1.035 ** (position - (len(alike) - 1) / 2)
                _point(axes, cost, x * aside, slots, methods)
        axes.set_xscale("log")
        axes.set_xlim(left / 1.3, longest * 1.4)
        _ticks(axes, left, sorted({cost.network_evaluations or 0.0 for cost in trained}))
        axes.set_xlabel("network evaluations in training, student and teacher")
        axes.set_ylabel(f"{group.label} {table.style.arrow}".strip())
        references = [cell for line in table.references for cell in line.cells[index]]
        dress_figures(axes, table.style, [*shown, *references])

    return inline_plot(f"{group.experiment}-cost-{steps}", _description(group.label, steps, shown), draw)


def _by_cost(shown: Sequence[Any], trained: Sequence[Any], left: float) -> dict[float, list[Any]]:
    """Return the rows by where they stand; what was not trained stands at ``left``."""
    places: dict[float, list[Any]] = {}
    for cost in shown:
        places.setdefault((cost.network_evaluations or left) if cost in trained else left, []).append(cost)
    return places


def _point(axes: Axes, cost: Any, x: float, slots: Mapping[str, int], methods: Mapping[str, str]) -> None:
    variant = cost.method in methods
    slot = slots[methods.get(cost.method, cost.method)]
    if not cost.network_evaluations and not variant:
        axes.axhline(cost.value, color=SERIES[slot], linewidth=0.8, linestyle=":", zorder=2)
    axes.errorbar(
        [x],
        [cost.value],
        yerr=bars([cost]),
        color=SERIES[slot],
        marker=MARKERS[slot][0],
        markersize=4.0 if variant else 6.0,
        markerfacecolor=PAPER if variant else SERIES[slot],
        markeredgecolor=SERIES[slot] if variant else PAPER,
        markeredgewidth=0.9 if variant else 0.6,
        elinewidth=0.7 if variant else 1.1,
        capsize=1.5 if variant else 2.5,
        zorder=3 if variant else 4,
    )
    name_point(axes, x, cost.value, f"{cost.title}: {cost.text} {cost.interval}".rstrip())


def _ticks(axes: Axes, left: float, values: Sequence[float]) -> None:
    """Label 0 and the costs that occur, as long as they do not run into each other."""
    from matplotlib.ticker import NullLocator

    kept = [left]
    for value in values:
        if value > 1.45 * kept[-1]:
            kept.append(value)
    axes.set_xticks(kept, ["0", *(count_text(value) for value in kept[1:])])
    axes.xaxis.set_minor_locator(NullLocator())


def _description(label: str, steps: int, costs: Sequence[Any]) -> str:
    told = [f"{cost.title}: {cost.text} after {count_text(cost.network_evaluations)} evaluations" for cost in costs]
    return f"{label} against network evaluations in training, at {steps} steps. {'; '.join(told)}."
