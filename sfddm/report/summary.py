"""Which method came out best at each number of steps, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from sfddm.report.ablations import AblationTable
from sfddm.report.tables import MetricTable
from sfddm.results.rows import Collected


def basis_of(part: Collected) -> str:
    """Say how much stands behind each figure of an experiment."""
    images = part.provenance.spec.get("evaluation", {}).get("samples")
    behind = [f"{images:,} generated images a figure"] if isinstance(images, int) else []
    return ", ".join([*behind, "one training seed" if len(part.seeds) == 1 else f"{len(part.seeds)} training seeds"])


def glance_of(table: MetricTable, index: int, ablations: Sequence[AblationTable], variants: Set[str]) -> dict[str, Any]:
    """Return for each number of steps the best, what cannot be told from it, and the variants that are ahead of it.

    Args:
        table: the main table.
        index: which of its groups.
        ablations: every experiment's.
        variants: names of the rows that the table leaves out.
    """
    group = table.groups[index]
    apart = [
        line.cell
        for ablation in ablations
        if (ablation.experiment, ablation.metric) == (group.experiment, table.metric)
        for block in ablation.blocks
        for line in block.lines
        if line.cell.method in variants
    ]
    sign = {"lower": 1, "higher": -1}.get(table.style.better, 0)
    lines = []
    for position, steps in enumerate(group.steps):
        cells = [(line.title, line.cells[index][position]) for line in table.lines]
        marked = {mark: [one for one in cells if one[1] and one[1].mark == mark] for mark in ("best", "close")}
        if best := marked["best"]:
            limit = sign * best[0][1].value
            ahead = [(one.title, one) for one in apart if one.steps == steps and sign * one.value < limit]
            lines.append({"steps": steps, "variants": ahead} | marked)
    references = [(line.title, cell) for line in (*table.references, *table.baselines) for cell in line.cells[index]]
    return {"group": group, "lines": lines, "references": references}
