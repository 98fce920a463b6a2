"""What seeds until decided save: their verdicts beside those of all seeds everywhere, and the share of the compute.

    python benchmarks/seeds_until_decided.py UNTIL_DECIDED ALL

Both are folders that ``sfddm collect`` wrote, of one spec: the first with ``seeds: {at_least: ..., at_most: N}``, the
second with N seeds listed. Compute is counted in network evaluations of trainings, the teachers' included.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from sfddm.claims import evaluate_claims, load_claims
from sfddm.plan.costs import Costs
from sfddm.results.metrics import read_metrics
from sfddm.results.rows import Collected
from sfddm.results.verdicts import PROPERTY_WORDS
from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec


def main(until_decided: Path, everywhere: Path) -> None:
    """Print the verdicts that differ, and the share of the network evaluations."""
    few, many = (read_metrics(folder)[0] for folder in (until_decided, everywhere))
    claims = load_claims()
    pairs = [
        (one, other)
        for one, other in zip(evaluate_claims([few], claims), evaluate_claims([many], claims), strict=True)
        if other.verdict not in (*PROPERTY_WORDS, "not tested")
    ]
    for one, other in pairs:
        mark = " " if one.verdict == other.verdict else "*"
        seeds = sorted({cell.seeds for cell in one.cells if cell.seeds})
        print(f"{mark} {one.id:38} {one.verdict:14} {other.verdict:14} {' to '.join(map(str, seeds))}")
    alike = sum(one.verdict == other.verdict for one, other in pairs)
    print(f"{alike} of {len(pairs)} verdicts on figures are the same")
    spec = parse_spec(few.provenance.spec, str(until_decided))
    counts, all_of_them = seeds_of(few), seeds_of(many)
    share = evaluations(spec, counts) / evaluations(spec, all_of_them)
    print(f"{100 * share:.0f} % of the network evaluations in training")
    print("seeds: " + ", ".join(f"{row} {count}" for row, count in counts.items()))


def seeds_of(part: Collected) -> dict[str, int]:
    """Return how many training seeds each row has."""
    seeds = {(row.method, row.seed) for row in part.rows if row.seed is not None}
    return {method: sum(one == method for one, _ in seeds) for method in dict.fromkeys(row.method for row in part.rows)}


def evaluations(spec: Spec, seeds: Mapping[str, int]) -> float:
    """Return the network evaluations of all trainings."""
    costs = Costs(spec)
    students = sum(seeds[row] * (training.evaluations or 0) for (row, _), training in costs.students.items())
    return students + max(seeds.values()) * (costs.teacher.evaluations or 0)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
