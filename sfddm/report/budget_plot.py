"""Distance against training budget, as a plot: one line for each row, and what was not trained across it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from sfddm.report.budgets import BudgetTable, Control, Curve
from sfddm.report.formats import count_text
from sfddm.report.plots import MARKERS, PAPER, SERIES, bars, draw_references, dress_figures, inline_plot, name_point
from sfddm.report.tables import MetricTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def budget_plot(
    budgets: BudgetTable, steps: int, curves: Sequence[Curve], table: MetricTable, slots: Mapping[str, int]
) -> str:
    """Draw the curves of one experiment at one number of steps against the training images, on a logarithm.

    Args:
        budgets: the experiment's.
        steps: of all ``curves``.
        curves: of the rows; a variant has its method's colour, hollow.
        table: of the same metric; its teacher and its real images are drawn across.
        slots: the colour and marker of each main row, as an index into ``MARKERS``.
    """
    places = [index for index, group in enumerate(table.groups) if group.experiment == budgets.experiment]
    references = [line for line in (*table.references, *table.baselines) if places]
    across = [cell for line in references for place in places for cell in line.cells[place]]
    controls = {curve.control.method: curve.control for curve in curves if curve.control}.values()
    numbers = [point.number for curve in curves for point in curve.points]

    def draw(axes: Axes) -> None:
        for place in places:
            draw_references(axes, table.references, place, "--", band=True)
            draw_references(axes, table.baselines, place, ":", band=False)
        for control in controls:
            _draw_control(axes, control, slots)
        for position, curve in enumerate(curves):
            # Rows of equal budgets stand beside each other, by a few hundredths.
            _draw_curve(axes, curve, 1.03 ** (position - (len(curves) - 1) / 2), slots)
        _dress(axes, sorted({point.images for curve in curves for point in curve.points}))
        axes.set_ylabel(f"{budgets.label} {budgets.style.arrow}".strip())
        dress_figures(axes, budgets.style, [*numbers, *(control.number for control in controls), *across])

    told = [_told(curve) for curve in curves]
    told += [f"{control.number.name}, not trained: {control.number.text}" for control in controls]
    told += [f"{line.title}: {cell.text}" for line in references for place in places for cell in line.cells[place]]
    words = f"{budgets.label} against training images, {budgets.title}, {steps} steps. {'; '.join(told)}."
    return inline_plot(f"{budgets.experiment}-budgets-{steps}", words, draw)


def _draw_control(axes: Axes, control: Control, slots: Mapping[str, int]) -> None:
    number, variant = control.number, control.method not in slots
    colour = SERIES[slots.get(control.method, slots.get(control.method_name, 0))]
    axes.axhline(number.value, color=colour, linewidth=0.6 if variant else 1.0, zorder=2)
    if number.low is not None and number.high is not None:
        axes.axhspan(number.low, number.high, color=colour, alpha=0.1, linewidth=0, zorder=1)


def _draw_curve(axes: Axes, curve: Curve, aside: float, slots: Mapping[str, int]) -> None:
    variant = curve.method not in slots
    slot = slots.get(curve.method, slots.get(curve.method_name, 0))
    numbers = [point.number for point in curve.points]
    axes.errorbar(
        [point.images * aside for point in curve.points],
        [number.value for number in numbers],
        yerr=bars(numbers),
        color=SERIES[slot],
        marker=MARKERS[slot][0],
        markersize=4.5,
        markerfacecolor=PAPER if variant else SERIES[slot],
        markeredgecolor=SERIES[slot] if variant else PAPER,
        markeredgewidth=0.9 if variant else 0.6,
        linewidth=1.0 if variant else 1.5,
        elinewidth=1.1,
        capsize=2.5,
        zorder=3,
    )
    for point in curve.points:
        name_point(axes, point.images * aside, point.number.value, f"{count_text(point.images)} images, {point.number}")


def _dress(axes: Axes, images: Sequence[int]) -> None:
    """Label the numbers of images that occur, as long as they do not run into each other."""
    from matplotlib.ticker import NullLocator

    kept: list[int] = []
    for value in images:
        if not kept or value > 1.45 * kept[-1]:
            kept.append(value)
    axes.set_xscale("log")
    axes.set_xlim(images[0] / 1.3, images[-1] * 1.3)
    axes.set_xticks(kept, [count_text(value) for value in kept])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("training images")


def _told(curve: Curve) -> str:
    points = ", ".join(f"{point.number.text} after {count_text(point.images)}" for point in curve.points)
    return f"{curve.title}: {points}"
