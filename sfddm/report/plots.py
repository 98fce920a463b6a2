"""Plots as inline SVG in the colours of the page."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sfddm.report.tables import Group, Line, MetricTable
from sfddm.results.styles import MetricStyle

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What the identifier of a mark begins with whose rest is its title.
_NAMED = "named: "
#: One marker for each series colour of the style sheet: matplotlib's code, and a character for the legend.
MARKERS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("P", "✚"), ("X", "✖"), ("p", "⬟"))

# Colours that occur nowhere else; each is replaced by a variable of the style sheet, so that the plot
# follows the page into dark mode and onto paper.
INK, FAINT, PAPER, REFERENCE = "#a1b2c3", "#a1b2c4", "#a1b2c5", "#a1b2c6"
SERIES = tuple(f"#a1b2d{i}" for i in range(len(MARKERS)))
_VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)", PAPER: "var(--paper)", REFERENCE: "var(--soft)"}
_VARIABLES |= {colour: f"var(--series-{i})" for i, colour in enumerate(SERIES)}


def distance_plot(table: MetricTable, index: int, slots: Mapping[str, int]) -> str:
    """Draw one group's figures against the number of steps, with interval bars.

    Args:
        table: the metric's table.
        index: which of its groups.
        slots: the colour and marker of each method, as an index into ``MARKERS``.

    Returns:
        An ``<svg>`` element without fixed size, ids or addresses that could clash with another plot's.
    """
    group = table.groups[index]

    def draw(axes: Axes) -> None:
        draw_references(axes, table.references, index, "--", band=True)
        draw_references(axes, table.baselines, index, ":", band=False)
        _draw_methods(axes, table, index, slots)
        _dress(axes, table, group)

    return inline_plot(f"{group.experiment}-{table.metric}", _description(table, index), draw)


def inline_plot(
    name: str, description: str, draw: Callable[[Axes], None], size: tuple[float, float] = (4.5, 3.0)
) -> str:
    """Return what ``draw`` draws as an ``<svg>`` element in the page's colours.

    Args:
        name: unique on the page.
        description: the plot in words, for readers who do not see it.
        draw: what to put on the axes.
        size: width and height in inches, at letters of 8.5 points.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": name,
        "text.parse_math": False,
        "font.size": 8.5,
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.linewidth": 0.7,
    }
    with mpl.rc_context(settings):
        canvas = Canvas(figsize=size, layout="constrained")
        FigureCanvasSVG(canvas)
        draw(canvas.add_subplot())
        buffer = io.StringIO()
        canvas.savefig(buffer, format="svg", transparent=True)
    return _inline(buffer.getvalue(), name, description)


def _draw_methods(axes: Axes, table: MetricTable, index: int, slots: Mapping[str, int]) -> None:
    for position, line in enumerate(table.lines):
        cells = [cell for cell in line.cells[index] if cell is not None]
        if not cells:
            continue
        slot = slots[line.method] % len(MARKERS)
        # Methods that agree exactly stay visible: each is moved aside by a few hundredths of an octave.
        aside = 2 ** (min(0.07, 0.5 / len(table.lines)) * (position - (len(table.lines) - 1) / 2))
        steps = [(cell.steps or 1) * aside for cell in cells]
        axes.errorbar(
            steps,
            [cell.value for cell in cells],
            yerr=bars(cells),
            color=SERIES[slot],
            marker=MARKERS[slot][0],
            markersize=4.5,
            markeredgecolor=PAPER,
            markeredgewidth=0.6,
            linewidth=1.5,
            elinewidth=1.1,
            capsize=2.5,
            zorder=3,
        )
        for x, cell in zip(steps, cells, strict=True):
            name_point(axes, x, cell.value, f"{line.title}, {cell.steps} steps: {cell.text} {cell.interval}")


def name_point(axes: Axes, x: float, y: float, words: str) -> None:
    """Let a point say ``words`` to whoever points at it: an unseen mark, which ``inline_plot`` gives a title."""
    axes.plot([x], [y], marker="o", markersize=11, alpha=0, linestyle="none", zorder=9, gid=f"{_NAMED}{words}")


def bars(cells: Sequence[Any]) -> NDArray[np.float64]:
    """Return (2, n) distances from the value down to ``low`` and up to ``high``; 0 without an interval."""
    down = [max(0.0, cell.value - cell.low) if cell.low is not None else 0.0 for cell in cells]
    up = [max(0.0, cell.high - cell.value) if cell.high is not None else 0.0 for cell in cells]
    return np.array([down, up])


def draw_references(axes: Axes, lines: tuple[Line, ...], index: int, style: str, *, band: bool) -> None:
    """Draw reference figures across the plot; ``band`` adds their intervals."""
    for line in lines:
        for cell in line.cells[index]:
            axes.axhline(cell.value, color=REFERENCE, linestyle=style, linewidth=1.2, zorder=2)
            if band and cell.low is not None and cell.high is not None:
                axes.axhspan(cell.low, cell.high, color=REFERENCE, alpha=0.13, linewidth=0, zorder=1)


def _dress(axes: Axes, table: MetricTable, group: Group) -> None:
    from matplotlib.ticker import NullLocator

    axes.set_xscale("log", base=2)
    axes.set_xticks(group.steps, [str(step) for step in group.steps])
    axes.xaxis.set_minor_locator(NullLocator())
    if group.steps:
        axes.set_xlim(min(group.steps) / 1.4, max(group.steps) * 1.4)
    axes.set_xlabel("sampling steps")
    axes.set_ylabel(f"{group.label} {table.style.arrow}".strip())
    every = [line.cells[table.groups.index(group)] for line in (*table.lines, *table.references, *table.baselines)]
    dress_figures(axes, table.style, [cell for cells in every for cell in cells if cell is not None])


def dress_figures(axes: Axes, style: MetricStyle, cells: Sequence[Any]) -> None:
    """Dress the axis of the figures: a logarithm where they lie far apart, a grid, no box."""
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    values = [bound for cell in cells for bound in (cell.value, cell.low, cell.high) if bound is not None] or [1.0]
    if style.better == "lower" and min(values) > 0 and max(values) > 8 * min(values):
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(ScalarFormatter())
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(width=0.7, length=3)


def _description(table: MetricTable, index: int) -> str:
    """Tell the plot in words, for readers who do not see it."""
    group = table.groups[index]
    told = [
        (line.title, ", ".join(f"{cell.text} at {cell.steps} steps" for cell in line.cells[index] if cell is not None))
        for line in table.lines
    ]
    told += [(line.title, cell.text) for line in (*table.references, *table.baselines) for cell in line.cells[index]]
    parts = [f"{title}: {text}" for title, text in told if text]
    return f"{group.label} against sampling steps, {group.title}. " + "; ".join(parts) + "."


def _inline(svg: str, name: str, description: str) -> str:
    """Turn matplotlib's document into an element for a page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    view = re.search(r'viewBox="[^"]*"', svg)
    body = svg[svg.index(">") + 1 :]
    # Its style sheet speaks of "*": on a page, of everything. The plot itself inherits the same from its root.
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(rf'<g id="{_NAMED}([^"]*)">', r"<g><title>\1</title>", body)
    prefix = re.sub(r"[^a-z0-9-]", "-", name)
    body = re.sub(r'\bid="([^"]*)"', rf'id="{prefix}-\1"', body)
    body = re.sub(r'xlink:href="#([^"]*)"', rf'href="#{prefix}-\1"', body)
    body = re.sub(r"url\(#([^)]*)\)", rf"url(#{prefix}-\1)", body)
    body = _short(body.replace("&quot;", "'"))
    for colour, variable in _VARIABLES.items():
        body = body.replace(colour, variable)
    box = view.group(0) if view else ""
    label = escape(description, quote=False).replace('"', "&quot;")
    style = 'style="stroke-linejoin: round; stroke-linecap: butt"'
    return f'<svg class="plot" {box} {style} role="img" aria-label="{label}">' + body


def _short(body: str) -> str:
    """Return a drawing in half its bytes: a page may have dozens.

    Letters have the page's font, coordinates two decimals (a hundredth of a point is not seen), groups no ids.
    """
    body = re.sub(r"; font-family: [^;\"]*", "", body)
    body = re.sub(r' transform="rotate\(-0 [^"]*"', "", body)
    body = re.sub(r' (?:d|x|y|transform)="[^"]*"', lambda attribute: _short_numbers(attribute.group(0)), body)
    body = re.sub(r'<g id="[^"]*">', "<g>", body)  # what is referred to is a path
    return re.sub(r"\n\s*", "\n", body)


def _short_numbers(attribute: str) -> str:
    """Return coordinates in one line, with at most two decimals."""
    line = re.sub(r"\s+(?=[A-Za-z\"])|(?<=[A-Za-z])\s+(?=[-0-9])", "", attribute.removeprefix(" "))
    return " " + re.sub(r"\d+\.\d{3,}", lambda number: f"{round(float(number.group(0)), 2):g}", line.replace("\n", " "))
