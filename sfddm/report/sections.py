"""The parts of the page, in the order in which it is read. A new part is one builder here and one template.

A builder takes the report's content and returns a ``Section``: its heading, the template that shows it, and
the values which that template needs. Builders that have nothing to show return None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sfddm.claims import Claim, Verdict, evaluate_claims
from sfddm.claims.verdict import anchor
from sfddm.report.ablations import SENSES, AblationTable, ablation_table, variants_of
from sfddm.report.agreement import AGREEMENT_METRICS, agreement_of
from sfddm.report.audits import audit_of
from sfddm.report.classes import classes_of_part
from sfddm.report.cost_plot import cost_plot
from sfddm.report.costs import costs_of
from sfddm.report.fixed_point import fixed_points
from sfddm.report.grids import grid_of
from sfddm.report.interpolations import interpolations_of
from sfddm.report.plots import MARKERS, distance_plot
from sfddm.report.protocols import common_protocol
from sfddm.report.summary import basis_of, glance_of
from sfddm.report.tables import MetricTable, intervals_of, metric_table, metrics_of
from sfddm.report.verdicts import verdict_values
from sfddm.results.rows import Collected

Images = NDArray[np.uint8]


@dataclass(frozen=True)
class Content:
    """Everything that a report shows.

    Attributes:
        collected: one part for each experiment, in the order given.
        samples: for each experiment, "{row}/{steps}/{seed}" and "real" -> (N, H, W, C) images.
        claims: what is judged by the figures.
    """

    collected: tuple[Collected, ...]
    samples: Mapping[str, Mapping[str, Images]]
    claims: tuple[Claim, ...] = ()

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Each claim's verdict."""
        return evaluate_claims(self.collected, self.claims)

    @cached_property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the scores, the main one first. Agreement has a section of its own."""
        return tuple(metric for metric in metrics_of(self.collected) if metric not in AGREEMENT_METRICS)

    @cached_property
    def variants(self) -> frozenset[str]:
        """The rows that have a table of their own, the ablations, and stay out of the others."""
        return variants_of(self.collected)

    @cached_property
    def tables(self) -> tuple[MetricTable, ...]:
        """One table for each metric, without the variants; the first is the main one."""
        return tuple(metric_table(self.collected, metric, self.variants) for metric in self.metrics)

    @cached_property
    def ablations(self) -> tuple[AblationTable, ...]:
        """The variants of each experiment in each metric."""
        found = (ablation_table(part, metric, self.variants) for part in self.collected for metric in self.metrics)
        return tuple(one for one in found if one is not None)

    @property
    def slots(self) -> dict[str, int]:
        """Each method's colour and marker, the same in every plot; a variant has its method's."""
        methods = dict.fromkeys(line.method for table in self.tables for line in table.lines)
        return {method: position % len(MARKERS) for position, method in enumerate(methods)}


@dataclass(frozen=True)
class Section:
    """One part of the page; ``template`` finds ``values`` under the name ``section.values``."""

    identifier: str
    title: str
    template: str
    values: dict[str, Any] = field(default_factory=dict)


def summary(content: Content) -> Section:
    """Say in a few lines which method came out best where, and against what."""
    table = content.tables[0]
    parts = {part.provenance.experiment: part for part in content.collected}
    glances = [
        glance_of(table, index, content.ablations, content.variants) | {"basis": basis_of(parts[group.experiment])}
        for index, group in enumerate(table.groups)
    ]
    return Section(
        "summary", "Best at each number of steps", "summary.html", {"glances": glances, "style": table.style}
    )


def verdicts(content: Content) -> Section | None:
    """Say of every claim what came out, and where a student is the teacher in disguise."""
    points = fixed_points([row for part in content.collected for row in part.rows])
    if not content.verdicts and not points:
        return None
    titles = {part.provenance.experiment: part.provenance.title for part in content.collected}
    anchors = {anchor(table.metric, line.method) for table in content.tables for line in table.lines}
    anchors |= {anchor(t.metric, line.method) for t in content.tables for line in (*t.references, *t.floors)}
    anchors |= {anchor(t.metric, line.method) for t in content.ablations for block in t.blocks for line in block.lines}
    if any(row.metric in AGREEMENT_METRICS for part in content.collected for row in part.rows):
        anchors.add("agreement")
    if any(part.interpolations for part in content.collected):
        anchors.add("interpolation")
    values = verdict_values(content.verdicts, points, titles, anchors)
    return Section("verdicts", "In ten seconds: what was reproduced", "verdicts.html", values)


def main_table(content: Content) -> Section:
    """Show the first metric as the paper's table does: methods down, data sets and steps across."""
    return Section(
        "table",
        "The table",
        "metric_tables.html",
        {"tables": content.tables[:1], "intervals": interval_notes(content), "variants": len(content.variants)},
    )


def further_tables(content: Content) -> Section | None:
    """Show the other metrics in the same shape."""
    if len(content.tables) < 2:
        return None
    values = {"tables": content.tables[1:], "intervals": [], "variants": len(content.variants)}
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
                if line.method in content.variants:
                    place = (table.metric, line.method, table.experiment, block.steps)
                    anchored.setdefault((table.metric, line.method), place)
    parts = [
        {"title": part.provenance.title, "tables": tables}
        for part in content.collected
        if (tables := [one for one in content.ablations if one.experiment == part.provenance.experiment])
    ]
    covers = interval_covers(content)
    values = {"parts": parts, "senses": SENSES, "covers": covers, "anchored": set(anchored.values())}
    return Section("ablations", "Ablations", "ablations.html", values)


def interval_notes(content: Content) -> list[tuple[str, str]]:
    """Return for each experiment's title what its figures are the mean of and what their intervals cover."""
    covers = interval_covers(content)
    return [(part.provenance.title, covers[part.provenance.experiment]) for part in content.collected]


def interval_covers(content: Content) -> dict[str, str]:
    """Return for each experiment's name what its figures are the mean of and what their intervals cover."""
    return {part.provenance.experiment: intervals_of(part) for part in content.collected}


def distances(content: Content) -> Section:
    """Plot the distances against the number of steps."""
    tables = [table for table in content.tables if table.style.better == "lower"] or list(content.tables[:1])
    slots = content.slots
    plots = [
        {
            "svg": distance_plot(table, index, slots),
            "title": group.title,
            "heading": table.style.heading,
        }
        for part in content.collected
        for table in tables
        for index, group in enumerate(table.groups)
        if group.experiment == part.provenance.experiment and group.steps
    ]
    first = content.tables[0]
    legend = _legend(first, slots)
    lines = [(line.title, "dashed") for line in first.references]
    lines += [(line.title, "dotted") for line in first.floors]
    return Section(
        "distances",
        "Distance against steps",
        "distances.html",
        {"plots": plots, "legend": legend, "lines": lines},
    )


def samples(content: Content) -> Section | None:
    """Show samples of every method from the same noise, one column for each noise; of points, scatter plots."""
    images = content.samples
    found = (grid_of(part, images.get(part.provenance.experiment, {}), content.variants) for part in content.collected)
    grids = [grid for grid in found if grid is not None]
    return Section("samples", "Samples from the same noise", "samples.html", {"grids": grids}) if grids else None


def agreement(content: Content) -> Section | None:
    """Show how near each row comes to its teacher from the same noise, beside the control of other noise."""
    parts = [found for part in content.collected if (found := agreement_of(part)) is not None]
    title = "Agreement with the teacher"
    return Section("agreement", title, "agreement.html", {"parts": parts}) if parts else None


def classes(content: Content) -> Section | None:
    """Show how good each class is, and whether it is the class that was asked for."""
    parts = [found for part in content.collected if (found := classes_of_part(part)) is not None]
    return Section("classes", "Class by class", "classes.html", {"parts": parts}) if parts else None


def interpolation(content: Content) -> Section | None:
    """Show the images on the way from one noise to another, and how smooth and realistic the way is."""
    found = (interpolations_of(part, content.samples[part.provenance.experiment]) for part in content.collected)
    parts = [one for one in found if one is not None]
    title = "Interpolation in noise"
    return Section("interpolation", title, "interpolations.html", {"parts": parts}) if parts else None


def audit(content: Content) -> Section | None:
    """Show how far the protocol alone moves the figure, and whether it changes the ranking."""
    parts = [found for part in content.collected if (found := audit_of(part)) is not None]
    return Section("audit", "Protocol audit", "audit.html", {"parts": parts}) if parts else None


def costs(content: Content) -> Section:
    """Show what each row cost to train and to sample, beside its figure."""
    table = content.tables[0]
    values = {"parts": [_costs(content, part, table) for part in content.collected], "heading": table.style.heading}
    return Section("costs", "Cost beside quality", "costs.html", values)


def _costs(content: Content, part: Collected, table: MetricTable) -> dict[str, Any]:
    places = [place for place, group in enumerate(table.groups) if group.experiment == part.provenance.experiment]
    methods = {row.method: row.method_name or "" for row in part.rows if row.method in content.variants}
    plots = [
        (group[0].steps, svg)
        for place in places
        for group in costs_of(part, table.metric)
        if group[0].role == "method" and (svg := cost_plot(table, place, group, content.slots, methods)) is not None
    ]
    mine = {row.method for row in part.rows}
    return {
        "title": part.provenance.title,
        "hardware": part.provenance.hardware,
        "seeds": len(part.seeds),
        "label": " / ".join(table.groups[place].label for place in places),
        "plots": plots,
        "legend": [one for one in _legend(table, content.slots) if one[3] in mine],
        "costs": costs_of(part, table.metric, lambda name: name not in content.variants),
        "variants": costs_of(part, table.metric, lambda name: name in content.variants),
    }


def _legend(table: MetricTable, slots: Mapping[str, int]) -> list[tuple[str, int, str, str]]:
    """Return title, colour, marker and name of each method that the plots show."""
    return [(line.title, slots[line.method], MARKERS[slots[line.method]][1], line.method) for line in table.lines]


def protocols(content: Content) -> Section:
    """Show how each experiment's figures were measured, and in what the real-against-real rows differ."""
    cards = []
    for part in content.collected:
        rows = [row for row in part.rows if row.metric not in AGREEMENT_METRICS]
        shared, varying = common_protocol([row.protocol for row in rows])
        floor, _ = common_protocol([row.protocol for row in part.baseline])
        differing = {key: value for key, value in floor.items() if shared.get(key) != value}
        cards.append(
            {
                "title": part.provenance.title,
                "labels": list(dict.fromkeys(row.label for row in rows)),
                "shared": shared,
                "varying": varying,
                "floor": differing,
            }
        )
    return Section("protocol", "Protocol", "protocols.html", {"cards": cards})


def provenance(content: Content) -> Section:
    """Show the spec, the commit, the data and the machine behind each experiment."""
    parts = [
        {
            "source": part.provenance,
            "seeds": part.seeds,
            "spec": yaml.safe_dump(part.provenance.spec, sort_keys=False, allow_unicode=True, width=100),
        }
        for part in content.collected
    ]
    return Section("provenance", "Provenance", "provenance.html", {"parts": parts})


BUILDERS: tuple[Callable[[Content], Section | None], ...] = (
    verdicts,
    summary,
    main_table,
    ablations,
    distances,
    samples,
    agreement,
    classes,
    interpolation,
    further_tables,
    audit,
    costs,
    protocols,
    provenance,
)


def sections_of(content: Content) -> list[Section]:
    """Return the page's sections in order."""
    return [section for build in BUILDERS if (section := build(content)) is not None]
