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
from sfddm.claims.fixed_point import fixed_points
from sfddm.claims.paths import rows_for_claims
from sfddm.claims.verdict import anchor
from sfddm.report.agreement import AGREEMENT_METRICS, agreement_of
from sfddm.report.audits import audit_of
from sfddm.report.costs import costs_of
from sfddm.report.figures import MARKERS, distance_plot, strip_address, strip_layout, tiles_that_fit
from sfddm.report.interpolations import interpolations_of
from sfddm.report.points import are_points, panel
from sfddm.report.rows import Collected
from sfddm.report.tables import Cell, MetricTable, confidence_of, metric_table, metrics_of, seeds_of
from sfddm.report.verdicts import verdict_values

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
        return evaluate_claims(
            rows_for_claims(self.collected),
            [row for part in self.collected for row in part.floor],
            {part.provenance.experiment: part.provenance for part in self.collected},
            self.claims,
        )

    @property
    def tables(self) -> tuple[MetricTable, ...]:
        """One table for each metric of a score; the first is the main one. Agreement has a section of its own."""
        metrics = [metric for metric in metrics_of(self.collected) if metric not in AGREEMENT_METRICS]
        return tuple(metric_table(self.collected, metric) for metric in metrics)

    @property
    def slots(self) -> dict[str, int]:
        """Each method's colour and marker, the same in every plot."""
        methods = dict.fromkeys(row.method for part in self.collected for row in part.rows if row.role == "method")
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
        _glance(table, index) | {"basis": _basis(parts[group.experiment])} for index, group in enumerate(table.groups)
    ]
    return Section(
        "summary", "Best at each number of steps", "summary.html", {"glances": glances, "style": table.style}
    )


def _basis(part: Collected) -> str:
    """Say how much stands behind each figure of an experiment."""
    seeds = len(seeds_of(part))
    images = part.provenance.spec.get("evaluation", {}).get("samples")
    behind = [f"{images:,} generated images a figure"] if isinstance(images, int) else []
    return ", ".join([*behind, "one training seed" if seeds == 1 else f"{seeds} training seeds"])


def _glance(table: MetricTable, index: int) -> dict[str, Any]:
    def named(position: int, mark: str) -> list[tuple[str, Cell]]:
        cells = [(line.title, line.cells[index][position]) for line in table.lines]
        return [(title, cell) for title, cell in cells if cell is not None and cell.mark == mark]

    group = table.groups[index]
    lines = [
        {"steps": steps, "best": named(position, "best"), "close": named(position, "close")}
        for position, steps in enumerate(group.steps)
    ]
    return {
        "group": group,
        "lines": [line for line in lines if line["best"]],
        "references": [(line.title, cell) for line in (*table.references, *table.floors) for cell in line.cells[index]],
    }


def verdicts(content: Content) -> Section | None:
    """Say of every claim what came out, and where a student is the teacher in disguise."""
    points = fixed_points([row for part in content.collected for row in part.rows])
    if not content.verdicts and not points:
        return None
    titles = {part.provenance.experiment: part.provenance.title for part in content.collected}
    anchors = {anchor(table.metric, line.method) for table in content.tables for line in table.lines}
    anchors |= {anchor(t.metric, line.method) for t in content.tables for line in (*t.references, *t.floors)}
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
        {"tables": content.tables[:1], "intervals": interval_notes(content)},
    )


def further_tables(content: Content) -> Section | None:
    """Show the other metrics in the same shape."""
    if len(content.tables) < 2:
        return None
    return Section("further", "Further measures", "metric_tables.html", {"tables": content.tables[1:], "intervals": []})


def interval_notes(content: Content) -> list[tuple[str, str]]:
    """Return for each experiment what its figures are the mean of and what their intervals cover."""
    notes = []
    for part in content.collected:
        confidence = f"{confidence_of(part):.0%}".replace("%", " %")
        seeds = seeds_of(part)
        if len(seeds) > 1:
            text = (
                f"mean over {len(seeds)} training seeds; intervals ({confidence}, Student's t) cover "
                "the spread between trainings"
            )
        else:
            text = (
                f"one training seed; intervals ({confidence}) are those of the score itself, as its protocol "
                "states, and do not cover another training"
            )
        notes.append((part.provenance.title, text))
    return notes


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
    legend = [(line.title, slots[line.method], MARKERS[slots[line.method]][1]) for line in first.lines]
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
    grids = [grid for part in content.collected if (grid := _grid(part, content.samples)) is not None]
    return Section("samples", "Samples from the same noise", "samples.html", {"grids": grids}) if grids else None


def _grid(part: Collected, samples_of: Mapping[str, Mapping[str, Images]]) -> dict[str, Any] | None:
    images = samples_of.get(part.provenance.experiment, {})
    seed = seeds_of(part)[0]
    rows = {
        (row.method, row.steps): row
        for row in part.rows
        if row.seed == seed and f"{row.method}/{row.steps}/{seed}" in images
    }
    ordered = sorted(rows.values(), key=lambda row: (row.role != "teacher", -(row.steps or 0)))
    own = [(row, images[f"{row.method}/{row.steps}/{seed}"]) for row in ordered]
    real = images.get("real")
    if not own and real is None:
        return None
    provenance = part.provenance
    grid = {"title": provenance.title, "data": provenance.data.label, "seed": seed, "strips": [], "panels": []}
    if any(are_points(some) for some in images.values()):
        panels = [panel(some, real, row.title, row.steps) for row, some in own]
        return grid | {"panels": ([] if real is None else [panel(real, None, "Real points", None)]) + panels}
    strips = []
    for row, some in own:
        group = "Teacher" if row.role == "teacher" else f"{row.steps} steps"
        strips.append(_strip(some, group, row.title, f"{row.title}, {row.steps} steps: samples from noise"))
    if real is not None:
        strips.append(_strip(real, "Real images", "Not from noise", "Real images, numbers"))
    return grid | {"strips": strips}


def _strip(images: Images, group: str, title: str, described: str) -> dict[str, Any]:
    shown = images[: tiles_that_fit(max(images.shape[1:3]))]
    return {
        "group": group,
        "title": title,
        "address": strip_address(shown),
        "alt": f"{described} 0 to {len(shown) - 1}, left to right",
        **strip_layout(shown),
    }


def agreement(content: Content) -> Section | None:
    """Show how near each row comes to its teacher from the same noise, beside the control of other noise."""
    parts = [found for part in content.collected if (found := agreement_of(part)) is not None]
    title = "Agreement with the teacher"
    return Section("agreement", title, "agreement.html", {"parts": parts}) if parts else None


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
    """Show what each row cost to train and to sample."""
    parts = [
        {"title": part.provenance.title, "hardware": part.provenance.hardware, "costs": costs_of(part)}
        for part in content.collected
    ]
    return Section("costs", "Training cost", "costs.html", {"parts": parts})


def protocols(content: Content) -> Section:
    """Show how each experiment's figures were measured, and in what the real-against-real rows differ."""
    cards = []
    for part in content.collected:
        rows = [row for row in part.rows if row.metric not in AGREEMENT_METRICS]
        shared, varying = common_protocol([row.protocol for row in rows])
        floor, _ = common_protocol([row.protocol for row in part.floor])
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
            "seeds": seeds_of(part),
            "spec": yaml.safe_dump(part.provenance.spec, sort_keys=False, allow_unicode=True, width=100),
        }
        for part in content.collected
    ]
    return Section("provenance", "Provenance", "provenance.html", {"parts": parts})


BUILDERS: tuple[Callable[[Content], Section | None], ...] = (
    verdicts,
    summary,
    main_table,
    distances,
    samples,
    agreement,
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
