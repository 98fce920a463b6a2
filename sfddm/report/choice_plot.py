"""One plot for the choice of a method: figures against evaluations an image, training cost as place and size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import log
from typing import TYPE_CHECKING

from sfddm.report.formats import count_text
from sfddm.report.plots import FAINT, INK, PAPER, SERIES, bars, draw_references, dress_figures, inline_plot, name_point
from sfddm.report.tables import MetricTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sfddm.report.choice import Column

#: In inches; as wide as the page's text, and low enough to be seen at once.
SIZE = (9.5, 4.2)
#: Of a column one unit wide: where what was not trained stands, the dearest training, and the end of the line.
_LEFT, _RIGHT, _END = -0.36, 0.3, 0.44
#: Of a name, in points: the width of a letter and the height of a line.
_LETTER, _LINE = 4.2, 8.5
#: Areas of the marks, in square points, of no training and of the dearest.
_SMALLEST, _LARGEST = 14.0, 190.0


def choice_plot(table: MetricTable, index: int, columns: Sequence[Column]) -> str:
    """Draw a column for each number of evaluations. In it, trainings are dearer to the right, and their marks larger.

    The line in a column is the best figure at a cost of so much or less; the rows on it have their names beside them.

    Args:
        table: the metric's table.
        index: which of its groups the experiment is.
        columns: at least one, with at least one row that was trained.
    """
    group = table.groups[index]
    spent = [row.network_evaluations for column in columns for row in column.rows if row.network_evaluations]
    least, most = min(spent), max(spent)

    def place(cost: float) -> float:
        if not cost:
            return _LEFT
        share = log(cost / least) / log(most / least) if most > least else 1.0
        return _LEFT + 0.12 + share * (_RIGHT - _LEFT - 0.12)

    def draw(axes: Axes) -> None:
        draw_references(axes, table.references, index, "--", band=True)
        for x, column in enumerate(columns):
            _draw_column(axes, x, column, place, most)
            axes.axvline(x + 0.5, color=FAINT, linewidth=0.6, zorder=1)
        axes.set_xlim(-0.5, len(columns) - 0.5)
        axes.set_xticks(range(len(columns)), [str(column.nfe) for column in columns])
        axes.set_xlabel(
            f"evaluations for an image; in a column, from no training at the left to {count_text(most)} network "
            "evaluations in training"
        )
        axes.set_ylabel(f"{group.label} {table.style.arrow}".strip())
        references = [cell for line in table.references for cell in line.cells[index]]
        dress_figures(axes, table.style, [*(row for column in columns for row in column.rows), *references])
        _write_names(axes, columns, place)

    return inline_plot(f"{group.experiment}-choice", _description(group.label, columns), draw, SIZE)


def _draw_column(axes: Axes, centre: int, column: Column, place: Callable[[float], float], most: float) -> None:
    for row in column.rows:
        x, leads = centre + place(row.network_evaluations), column.leads(row)
        colour = SERIES[0] if leads else INK
        axes.errorbar(
            [x],
            [row.value],
            yerr=bars([row]),
            fmt="none",
            ecolor=colour,
            elinewidth=1.1 if leads else 0.6,
            alpha=1.0 if leads else 0.45,
            zorder=4 if leads else 2,
        )
        axes.scatter(
            [x],
            [row.value],
            s=_SMALLEST + (_LARGEST - _SMALLEST) * row.network_evaluations / most,
            color=colour if leads else PAPER,
            edgecolors=PAPER if leads else INK,
            linewidths=0.7,
            alpha=1.0 if leads else 0.6,
            zorder=5 if leads else 3,
        )
        figure, spent = f"{row.text} {row.interval}".rstrip(), count_text(row.network_evaluations)
        name_point(axes, x, row.value, f"{row.title}: {figure}, {spent} evaluations in training")
    # The best so far holds until a dearer row is better, the last to the column's end.
    places = [*(centre + place(one.network_evaluations) for one in column.front), centre + _END]
    values = [*(one.value for one in column.front), column.front[-1].value]
    axes.step(places, values, where="post", color=SERIES[0], linewidth=1.0, alpha=0.7, zorder=3)


def _write_names(axes: Axes, columns: Sequence[Column], place: Callable[[float], float]) -> None:
    """Write the names of the rows on the line, each below its mark, and further below where another name stands."""
    canvas = axes.get_figure(root=True)
    assert canvas is not None
    canvas.draw_without_rendering()  # from here on it is known where things are
    taken: list[tuple[float, float, float]] = []
    for x, column in enumerate(columns):
        for row in column.front:
            point = (x + place(row.network_evaluations), row.value)
            left, top = axes.transData.transform(point) * 72 / canvas.dpi  # in points
            right, drop = left + _LETTER * len(row.method), 12.0
            while any(a < right and left < b and abs(y - (top - drop)) < _LINE for a, b, y in taken):
                drop += 2.0
            taken.append((left, right, top - drop))
            axes.annotate(
                row.method, point, xytext=(2, -drop), textcoords="offset points", fontsize=7.5, color=INK, zorder=8
            )


def _description(label: str, columns: Sequence[Column]) -> str:
    told = [
        f"At {column.nfe}: "
        + ", ".join(
            f"{row.title} {row.text} after {count_text(row.network_evaluations)} evaluations in training"
            for row in column.front
        )
        for column in columns
    ]
    return f"{label} against evaluations for an image, the best at each cost of training. {'. '.join(told)}."
