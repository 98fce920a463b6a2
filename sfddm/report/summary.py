"""Which method came out best at each number of steps, in a few lines."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

from sfddm.report.ablations import AblationTable
from sfddm.report.tables import Cell, MetricTable
from sfddm.results.rows import Collected

Named = list[tuple[str, Cell]]


def basis_of(part: Collected) -> str:
    """Say how much stands behind each figure of an experiment."""
    seeds = len(part.seeds)
    images = part.provenance.spec.get("evaluation", {}).get("samples")
    behind = [f"{images:,} generated images a figure"] if isinstance(images, int) else []
    return ", ".join([*behind, "one training seed" if seeds == 1 else f"{seeds} training seeds"])


def glance_of(table: MetricTable, index: int, ablations: Sequence[AblationTable], variants: Set[str]) -> dict[str, Any]:
    """Return for each number of steps the best, what cannot be told from it, and the variants that are ahead of it.

    Args:
        table: the main table.
        index: which of its groups.
        ablations: every experiment's.
        variants: names of the rows that the table leaves out.
    """

    def named(position: int, mark: str) -> Named:
        cells = [(line.title, line.cells[index][position]) for line in table.lines]
        return [(title, cell) for title, cell in cells if cell is not None and cell.mark == mark]

    group = table.groups[index]
    apart = _variants_by_steps(ablations, variants, group.experiment, table.metric)
    sign = {"lower": 1, "higher": -1}.get(table.style.better, 0)
    lines = []
    for position, steps in enumerate(group.steps):
        if best := named(position, "best"):
            limit = sign * best[0][1].value
            ahead = [one for one in apart.get(steps, []) if sign * one[1].value < limit]
            lines.append({"steps": steps, "best": best, "close": named(position, "close"), "variants": ahead})
    return {
        "group": group,
        "lines": lines,
        "references": [(line.title, cell) for line in (*table.references, *table.floors) for cell in line.cells[index]],
    }


def _variants_by_steps(
    ablations: Sequence[AblationTable], variants: Set[str], experiment: str, metric: str
) -> dict[int, Named]:
    found: dict[int, Named] = {}
    for table in ablations:
        if (table.experiment, table.metric) == (experiment, metric):
            for block in table.blocks:
                own = [(line.title, line.cell) for line in block.lines if line.method in variants]
                found.setdefault(block.steps, []).extend(own)
    return found
