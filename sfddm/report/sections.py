"""The parts of the page, in the order in which it is read. A new part is one builder here and one template.

A builder takes the report's content and returns a ``Section``: its heading, the template that shows it, and
the values which that template needs. Builders that have nothing to show return None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from sfddm.claims.verdict import anchor
from sfddm.report.ablations import SENSES
from sfddm.report.agreement import agreement_of
from sfddm.report.audits import audit_of
from sfddm.report.classes import classes_of
from sfddm.report.content import Content
from sfddm.report.cost_plot import cost_plot
from sfddm.report.costs import costs_of
from sfddm.report.grids import grid_of
from sfddm.report.interpolations import interpolations_of
from sfddm.report.plots import MARKERS, distance_plot
from sfddm.report.summary import basis_of, glance_of
from sfddm.report.tables import MetricTable
from sfddm.report.verdicts import verdict_values
from sfddm.results.rows import Collected
from sfddm.results.styles import style_of


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
    values = {"glances": glances, "style": table.style}
    return Section("summary", "Best at each number of steps", "summary.html", values)


def verdicts(content: Content) -> Section | None:
    """Say of every claim what came out, and where a student is the teacher in disguise."""
    if not content.verdicts and not content.fixed_points:
        return None
    lines = [(t.metric, line.method) for t in content.tables for line in (*t.lines, *t.references, *t.baselines)]
    lines += [(t.metric, line.cell.method) for t in content.ablations for block in t.blocks for line in block.lines]
    anchors = {anchor(*line) for line in lines}
    anchors |= {section for metric in content.means.metric.unique() if (section := style_of(metric).section)}
    if any(part.interpolations for part in content.collected):
        anchors.add("interpolation")
    values = verdict_values(content.verdicts, content.fixed_points, content.titles, anchors)
    return Section("verdicts", "In ten seconds: what was reproduced", "verdicts.html", values)


def main_table(content: Content) -> Section:
    """Show the first metric as the paper's table does: methods down, data sets and steps across."""
    values = {"tables": content.tables[:1], "intervals": content.interval_notes, "variants": len(content.variants)}
    return Section("table", "The table", "metric_tables.html", values)


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
                method = line.cell.method
                if method in content.variants:
                    anchored.setdefault((table.metric, method), (table.metric, method, table.experiment, block.steps))
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
        for part in content.collected
        for table in tables
        for index, group in enumerate(table.groups)
        if group.experiment == part.provenance.experiment and group.steps
    ]
    first = content.tables[0]
    lines = [(line.title, "dashed") for line in first.references]
    lines += [(line.title, "dotted") for line in first.baselines]
    values = {"plots": plots, "legend": _legend(first, content.slots), "lines": lines}
    return Section("distances", "Distance against steps", "distances.html", values)


def samples(content: Content) -> Section | None:
    """Show samples of every method from the same noise, one column for each noise; of points, scatter plots."""
    grids = _present(
        grid_of(part, content.frame_of(part), content.samples.get(part.provenance.experiment, {}), content.variants)
        for part in content.collected
    )
    return Section("samples", "Samples from the same noise", "samples.html", {"grids": grids}) if grids else None


def agreement(content: Content) -> Section | None:
    """Show how near each row comes to its teacher from the same noise, beside the control of other noise."""
    parts = _present(agreement_of(part, content.means_of(part)) for part in content.collected)
    title = "Agreement with the teacher"
    return Section("agreement", title, "agreement.html", {"parts": parts}) if parts else None


def classes(content: Content) -> Section | None:
    """Show how good each class is, and whether it is the class that was asked for."""
    parts = _present(classes_of(part, content.frame_of(part, "class")) for part in content.collected)
    return Section("classes", "Class by class", "classes.html", {"parts": parts}) if parts else None


def interpolation(content: Content) -> Section | None:
    """Show the images on the way from one noise to another, and how smooth and realistic the way is."""
    parts = _present(interpolations_of(part, content.samples[part.provenance.experiment]) for part in content.collected)
    title = "Interpolation in noise"
    return Section("interpolation", title, "interpolations.html", {"parts": parts}) if parts else None


def audit(content: Content) -> Section | None:
    """Show how far the protocol alone moves the figure, and whether it changes the ranking."""
    parts = _present(audit_of(part, content.means_of(part, "audit")) for part in content.collected)
    return Section("audit", "Protocol audit", "audit.html", {"parts": parts}) if parts else None


def costs(content: Content) -> Section:
    """Show what each row cost to train and to sample, beside its figure."""
    table = content.tables[0]
    values = {"parts": [_costs(content, part, table) for part in content.collected], "heading": table.style.heading}
    return Section("costs", "Cost beside quality", "costs.html", values)


def _costs(content: Content, part: Collected, table: MetricTable) -> dict[str, Any]:
    places = [place for place, group in enumerate(table.groups) if group.experiment == part.provenance.experiment]
    frame, means = content.frame_of(part), content.means_of(part)
    methods = dict(zip(frame.method, frame.method_name, strict=True))
    variants = {name: method for name, method in methods.items() if name in content.variants}
    main = ~frame.method.isin(content.variants)
    drawn = [
        (group[0].steps, cost_plot(table, place, group, content.slots, variants))
        for place in places
        for group in costs_of(frame, means, table.metric)
        if group[0].role == "method"
    ]
    return {
        "title": part.provenance.title,
        "hardware": part.provenance.hardware,
        "seeds": len(part.seeds),
        "label": " / ".join(table.groups[place].label for place in places),
        "plots": [(steps, svg) for steps, svg in drawn if svg is not None],
        "legend": [one for one in _legend(table, content.slots) if one[3] in methods],
        "costs": costs_of(frame[main], means, table.metric),
        "variants": costs_of(frame[~main], means, table.metric),
    }


def _legend(table: MetricTable, slots: Mapping[str, int]) -> list[tuple[str, int, str, str]]:
    """Return title, colour, marker and name of each method that the plots show."""
    return [(line.title, slots[line.method], MARKERS[slots[line.method]][1], line.method) for line in table.lines]


def _present(found: Iterable[Any]) -> list[Any]:
    return [one for one in found if one is not None]


def protocols(content: Content) -> Section:
    """Show how each experiment's figures were measured, and in what the real-against-real rows differ."""
    cards = []
    for part in content.collected:
        rows = [row for row in part.rows if style_of(row.metric).section != "agreement"]
        shared, varying = common_protocol([row.protocol for row in rows])
        baseline, _ = common_protocol([row.protocol for row in part.baseline])
        cards.append(
            {
                "title": part.provenance.title,
                "labels": list(dict.fromkeys(row.label for row in rows)),
                "shared": shared,
                "varying": varying,
                "baseline": {key: value for key, value in baseline.items() if shared.get(key) != value},
            }
        )
    return Section("protocol", "Protocol", "protocols.html", {"cards": cards})


def common_protocol(protocols: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return what all protocols agree on, flattened to "outer inner" keys, and the keys that differ."""
    flat = [_flatten(protocol) for protocol in protocols]
    keys = dict.fromkeys(key for protocol in flat for key in protocol)
    shared = {key: flat[0][key] for key in keys if all(key in one and one[key] == flat[0][key] for one in flat)}
    return shared, [key for key in keys if key not in shared]


def _flatten(value: dict[str, Any], outer: str = "") -> dict[str, Any]:
    """Name nested values by their path; a part of short texts only, such as versions, becomes one line."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{outer} {key}".strip().replace("_", " ")
        if isinstance(item, dict) and all(isinstance(v, str) and len(v) < 20 for v in item.values()):
            flat[name] = ", ".join(f"{inner} {text}" for inner, text in item.items())
        else:
            flat.update(_flatten(item, name) if isinstance(item, dict) else {name: item})
    return flat


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
