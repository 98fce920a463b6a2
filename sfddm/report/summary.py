"""Which method came out best at each number of steps, in a few lines."""

from __future__ import annotations

from typing import Any

from sfddm.report.content import Content
from sfddm.report.tables import Group
from sfddm.results.rows import Collected


def glances_of(content: Content) -> list[dict[str, Any]]:
    """Return for each experiment of the main table, and for each number of steps, what came out."""
    table = content.tables[0]
    parts = {part.provenance.experiment: part for part in content.collected}
    return [
        {
            "group": group,
            "lines": _lines(content, group, index),
            "basis": _basis(parts[group.experiment]),
        }
        for index, group in enumerate(table.groups)
    ]


def _lines(content: Content, group: Group, index: int) -> list[dict[str, Any]]:
    """Return the best, what cannot be told from it, and the variants that are ahead of it."""
    table = content.tables[0]
    variants = [
        line.number
        for ablation in content.ablations
        if (ablation.experiment, ablation.metric) == (group.experiment, table.metric)
        for block in ablation.blocks
        for line in block.lines
        if not line.main
    ]
    sign = {"lower": 1, "higher": -1}.get(table.style.better, 0)
    found = []
    for position, steps in enumerate(group.steps):
        cells = [(line.title, line.cells[index][position]) for line in table.lines]
        marked = {mark: [one for one in cells if one[1] and one[1].mark == mark] for mark in ("best", "close")}
        if best := marked["best"]:
            limit = sign * best[0][1].value
            ahead = [(one.name, one) for one in variants if one.steps == steps and sign * one.value < limit]
            found.append({"steps": steps, "variants": ahead} | marked)
    return found


def _basis(part: Collected) -> str:
    """Say how much stands behind each figure of an experiment."""
    images = part.provenance.spec.get("evaluation", {}).get("samples")
    behind = [f"{images:,} generated images a figure"] if isinstance(images, int) else []
    return ", ".join([*behind, part.training_seeds])
