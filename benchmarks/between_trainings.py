"""How far training again moves a difference of two rows: python benchmarks/between_trainings.py [RECORD].

Writes sfddm/claims/between_trainings.json, by which verdicts widen the interval of a single training.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from itertools import combinations
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev

from sfddm.claims.figures import FigureOverSeeds, measured_of
from sfddm.results.metrics import read_metrics
from sfddm.results.statistics import t_quantile

RECORD = Path("reports/records/digits-study-before-budgets-cpu")
OUT = Path("sfddm/claims/between_trainings.json")


def main(record: Path) -> None:
    parts = read_metrics(record)
    figures = [figure for part in parts for figure in measured_of(part, part.rows) if len(figure.rows) >= 3]
    ratios: dict[str, dict[str, list[float]]] = {"trained": defaultdict(list), "untrained": defaultdict(list)}
    for one, other in combinations(figures, 2):
        alike = all(getattr(one.first, key) == getattr(other.first, key) for key in ("metric", "label", "steps"))
        within = sqrt(squared_error(one) + squared_error(other))
        if alike and within:
            between = stdev([a.value - b.value for a, b in zip(one.rows, other.rows, strict=True)])
            kind = "trained" if one.first.folds or other.first.folds else "untrained"
            ratios[kind][one.first.metric].append(between / within)
    found = {
        kind: {
            metric: {"ratio": round(sqrt(fmean(ratio**2 for ratio in some)), 3), "pairs": len(some)}
            for metric, some in by_metric.items()
        }
        for kind, by_metric in ratios.items()
    }
    seeds = max(len(figure.rows) for figure in figures)
    content = {"record": record.name, "commit": parts[0].provenance.commit, "seeds": seeds} | found
    OUT.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    for kind, by_metric in found.items():
        for metric, ratio in by_metric.items():
            print(f"{kind:10} {metric:34} {ratio['ratio']:6.2f} over {ratio['pairs']} pairs")


def squared_error(figure: FigureOverSeeds) -> float:
    """The mean over the seeds of the squared standard error that the scores' own intervals state; 0 without them."""
    quantile = t_quantile(figure.degrees, figure.source.confidence)
    ends = [(row.low, row.high) for row in figure.rows if row.low is not None and row.high is not None]
    return fmean(((high - low) / 2 / quantile) ** 2 for low, high in ends) if ends else 0.0


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else RECORD)
