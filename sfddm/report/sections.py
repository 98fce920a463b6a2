"""The parts of the page, in the order in which it is read. A new part is one builder here and one template.

A builder takes the report's content and returns a ``Section``: its heading, the template that shows it, and
the values which that template needs. Builders that have nothing to show return None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sfddm.report.ablations import SENSES
from sfddm.report.agreement import agreement_of
from sfddm.report.audits import audit_of
from sfddm.report.beside import beside_each_other
from sfddm.report.budget_plot import budget_plot
from sfddm.report.budgets import Control, Curve
from sfddm.report.choice import choice_of
from sfddm.report.classes import classes_of
from sfddm.report.content import Content
from sfddm.report.costs import costs_beside_quality
from sfddm.report.curves import curves_of
from sfddm.report.extractors import extractors_of
from sfddm.report.grids import grid_of
from sfddm.report.interpolations import interpolations_of
from sfddm.report.landscape import landscape_of
from sfddm.report.memorisation import memorisation_of
from sfddm.report.plots import distance_plot
from sfddm.report.protocols import protocol_of, provenance_of
from sfddm.report.summary import glances_of
from sfddm.report.verdicts import claim_values, strip_values
from sfddm.results.rows import Collected


@dataclass(frozen=True)
class Section:
    """One part of the page; ``template`` finds ``values`` under the name ``section.values``."""

    identifier: str
    title: str
    template: str
    values: dict[str, Any]


Builder = Callable[[Content], Section | None]


def summary(content: Content) -> Section:
    """Say in a few lines which method came out best where, and against what."""
    values = {"glances": glances_of(content), "style": content.tables[0].style}
    return Section("summary", "Best at each number of steps", "summary.html", values)


def verdicts(content: Content) -> Section | None:
    """Show each paper's claims as a strip of marks, with what came of them in a sentence."""
    if not content.verdicts:
        return None
    return Section("verdicts", "In ten seconds: what was reproduced", "strips.html", strip_values(content))


def claims(content: Content) -> Section | None:
    """Show every claim in a line, its evidence folded, and where a student is its teacher still."""
    if not content.verdicts and not content.fixed_points:
        return None
    return Section("claims", "Claims and their evidence", "claims.html", claim_values(content))


def main_table(content: Content) -> Section:
    """Show the first metric as the paper's table does: methods down, data sets and steps across."""
    # A script fills in the extractors and steps of the table that is shown.
    seeds = sorted({seed for part in content.collected for seed in part.seeds})
    metrics = [(table.metric, table.style.heading) for table in content.tables]
    choices: dict[str, list[tuple[Any, str]]] = {"metric": metrics, "extractor": [], "steps": []}
    choices |= {"seed": [(seed, str(seed)) for seed in seeds]} if len(seeds) > 1 else {}
    values = {"intervals": content.interval_notes, "variants": len(content.variants)}
    values |= {"tables": content.tables[:1], "choices": choices}
    return Section("table", "The table", "metric_tables.html", values)


def further_tables(content: Content) -> Section | None:
    """Show the other metrics in the same shape."""
    if len(content.tables) < 2:
        return None
    values = {"tables": content.tables[1:], "intervals": [], "variants": 0, "choices": {}}
    return Section("further", "Further measures", "metric_tables.html", values)


def ablations(content: Content) -> Section | None:
    """Show each method's variants beside its main row and beside what was not trained."""
    if not content.ablations:
        return None
    # A row's identifier stands once on the page: at the variant's first line, never at a main row.
    anchored: dict[tuple[str, str], tuple[str, str, str, int]] = {}
    for table in content.ablations:
        for block in table.blocks:
            for line in block.lines:
                if not line.main:
                    anchored.setdefault(
                        (table.metric, line.method), (table.metric, line.method, table.experiment, block.steps)
                    )
    parts = [
        {"title": title, "tables": tables}
        for experiment, title in content.titles.items()
        if (tables := [one for one in content.ablations if one.experiment == experiment])
    ]
    values = {"parts": parts, "senses": SENSES, "covers": content.intervals, "anchored": set(anchored.values())}
    return Section("ablations", "Ablations", "ablations.html", values)


def distances(content: Content) -> Section:
    """Plot the distances against the number of steps."""
    tables = [table for table in content.tables if table.style.better == "lower"] or list(content.tables[:1])
    plots = [
        {"svg": distance_plot(table, index, content.slots), "title": group.title, "heading": table.style.heading}
        for part in content.parts
        for table in tables
        for index, group in enumerate(table.groups)
        if group.experiment == part.provenance.experiment and group.steps
    ]
    first = content.tables[0]
    lines = [(line.title, "dashed") for line in first.references]
    lines += [(line.title, "dotted") for line in first.baselines]
    values = {"plots": plots, "legend": content.legend, "lines": lines}
    return Section("distances", "Distance against steps", "distances.html", values)


def landscape(content: Content) -> Section | None:
    """Show what others published, folded, and what of it is comparable with a figure here."""
    if not content.published:
        return None
    title = "Published, not comparable here unless said so"
    return Section("landscape", title, "landscape.html", landscape_of(content))


def budgets(content: Content) -> Section | None:
    """Plot the rows that were trained at several budgets against their training images, with a table of the same."""
    if not content.budgets:
        return None
    table = content.tables[0]
    parts = []
    for one in content.budgets:
        curves = [curve for _, some in one.blocks for curve in some]
        drawn: list[Curve | Control] = [*curves, *(curve.control for curve in curves if curve.control)]
        shown = {row.method if row.method in content.slots else row.method_name for row in drawn}
        plots = [(steps, budget_plot(one, steps, some, table, content.slots)) for steps, some in one.blocks]
        legend = [entry for entry in content.legend if entry[3] in shown]
        hollow = any(curve.method not in content.slots for curve in curves)
        (part,) = (part for part in content.collected if part.provenance.experiment == one.experiment)
        beside = beside_each_other(part.of_main_extractor, one.metric, content.variants)
        parts.append({"table": one, "plots": plots, "legend": legend, "hollow": hollow, "beside": beside})
    lines = [(line.title, "dashed") for line in table.references]
    lines += [(line.title, "dotted") for line in table.baselines]
    values = {"parts": parts, "lines": lines, "senses": SENSES, "covers": content.intervals}
    return Section("budgets", "Distance against training budget", "budgets.html", values)


def _each(identifier: str, title: str, build: Callable[[Content, Collected], Any]) -> Builder:
    """Return the builder of a section that shows what ``build`` gives for each experiment, where it gives anything."""

    def builder(content: Content) -> Section | None:
        parts = [found for part in content.parts if (found := build(content, part)) is not None]
        return Section(identifier, title, f"{identifier}.html", {"parts": parts}) if parts else None

    return builder


BUILDERS: tuple[Builder, ...] = (
    verdicts,
    summary,
    main_table,
    distances,
    _each("choice", "What to use, at which training cost", choice_of),
    budgets,
    claims,
    ablations,
    _each("samples", "Samples from the same noise", grid_of),
    _each("agreement", "Agreement with the teacher", agreement_of),
    _each("memorisation", "Distance to the training images", memorisation_of),
    _each("classes", "Class by class", classes_of),
    _each("interpolation", "Interpolation in noise", interpolations_of),
    further_tables,
    _each("extractors", "By extractor", extractors_of),
    _each("audit", "Degrees of freedom", audit_of),
    _each("costs", "Cost beside quality", costs_beside_quality),
    _each("curves", "Learning curves", curves_of),
    landscape,
    _each("protocol", "Protocol", protocol_of),
    _each("provenance", "Provenance", provenance_of),
)


#: Of this many rows on, the table is longer than a screen.
LONG_TABLE = 12


def sections_of(content: Content) -> list[Section]:
    """Return the page's sections in order; the plot for the choice of a method stands before a long table."""
    sections = [section for build in BUILDERS if (section := build(content)) is not None]
    if len(content.tables[0].lines) < LONG_TABLE:
        return sections
    choice = [one for one in sections if one.identifier == "choice"]
    others = [one for one in sections if one.identifier != "choice"]
    place = [one.identifier for one in others].index("table")
    return [*others[:place], *choice, *others[place:]]
