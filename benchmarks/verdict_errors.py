"""How often verdicts are wrong: 1,000 simulated studies with a known truth, printed as a table.

python benchmarks/verdict_errors.py [STUDIES]

One study compares a trained row with an untrained control, as the claim "lower" does. The trained row's figure follows
c + A b^-0.7 over its budgets b; each training adds a normal error, and so does each sample; both rows of a seed have
the error of their teacher. The truth is the sign of c, what the curve comes to. A verdict is false where it says
"reproduced" or "contradicted" and the truth is the other sign, or none.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.random import Generator

from sfddm.claims import Claim, evaluate_claims
from sfddm.claims.open_rows import open_rows
from sfddm.claims.single_training import single_training_factor
from sfddm.results.costs import DataLabel
from sfddm.results.rows import Collected, Provenance, Row

CONTROL, SAMPLING = 100.0, 4.0  # the control's figure, and the standard error of one score
WORDS = ("reproduced", "contradicted", "unsettled", "inconclusive")


@dataclass(frozen=True)
class Study:
    """A kind of study: the difference that training comes to, how far above it one budget is, and what is measured.

    With ``most`` seeds it goes on from ``seeds``, one at a time, while the verdict is open.
    """

    title: str
    comes_to: float
    falls_by: float
    seeds: int
    budgets: tuple[float, ...]
    most: int | None = None


STUDIES = [
    Study("no difference, converged, 3 seeds", 0, 0, 3, (1, 3, 9, 27)),
    Study("no difference, converged, 1 seed", 0, 0, 1, (1, 3, 9, 27)),
    Study("no difference, one budget, 1 seed", 0, 0, 1, (27,)),
    Study("better by 30, converged, 3 seeds", -30, 0, 3, (1, 3, 9, 27)),
    Study("better by 30, converged, 1 seed", -30, 0, 1, (1, 3, 9, 27)),
    Study("worse by 30, converged, 3 seeds", 30, 0, 3, (1, 3, 9, 27)),
    Study("better by 30 in the end, slow, 3 seeds, budgets to 3", -30, 230, 3, (1, 3)),
    Study("better by 30 in the end, slow, 3 seeds, budgets to 27", -30, 230, 3, (1, 3, 9, 27)),
    Study("better by 30 in the end, slow, 3 seeds, one budget", -30, 230, 3, (1,)),
    Study("worse by 30 in the end, slow, 3 seeds, budgets to 27", 30, 170, 3, (1, 3, 9, 27)),
    Study("no difference, converged, 3 to 10 seeds", 0, 0, 3, (1, 3, 9, 27), 10),
    Study("better by 30, converged, 10 seeds", -30, 0, 10, (1, 3, 9, 27)),
    Study("better by 30, converged, 3 to 10 seeds", -30, 0, 3, (1, 3, 9, 27), 10),
    Study("better by 90, converged, 3 to 10 seeds", -90, 0, 3, (1, 3, 9, 27), 10),
    Study("worse by 30, converged, 3 to 10 seeds", 30, 0, 3, (1, 3, 9, 27), 10),
]


def main(repeats: int) -> None:
    print(f"| {repeats:,} studies each | {' | '.join(WORDS)} | false | seeds |\n| --- |{' ---: |' * (len(WORDS) + 2)}")
    for number, study in enumerate(STUDIES):
        generator = np.random.default_rng(number)
        ends = [verdict_of(study, generator) for _ in range(repeats)]
        found, seeds = Counter(word for word, _ in ends), fmean(seeds for _, seeds in ends)
        wrong = sum(count for word, count in found.items() if is_false(word, study.comes_to))
        shares = [f"{100 * found[word] / repeats:.1f} %" for word in WORDS]
        print(f"| {study.title} | {' | '.join(shares)} | {100 * wrong / repeats:.1f} % | {seeds:.1f} |")


def is_false(word: str, comes_to: float) -> bool:
    return (word == "reproduced" and comes_to >= 0) or (word == "contradicted" and comes_to <= 0)


def verdict_of(study: Study, generator: Generator) -> tuple[str, int]:
    """Return the verdict of one simulated study on "the trained row is lower than the control", and its seeds."""
    between = SAMPLING * 2**0.5 * single_training_factor("frechet_distance", trained=True)
    most, rows = study.most or study.seeds, []
    for seed in range(most):
        teacher = generator.normal(0, 10)
        rows.append(row_of("control", CONTROL + teacher + generator.normal(0, SAMPLING), seed, 0, 1.0))
        for budget in study.budgets:
            curve = study.comes_to + study.falls_by * budget**-0.7
            name = "trained" if budget == study.budgets[-1] else f"trained.x{budget:g}"
            value = CONTROL + teacher + curve + generator.normal(0, between)
            rows.append(row_of(name, value, seed, 1, budget))
        part = study_of(rows, {"at_least": study.seeds, "at_most": most} if study.most else None)
        if seed + 1 == most or (seed + 1 >= study.seeds and not open_rows(part, [CLAIM])):
            break
    (verdict,) = evaluate_claims([part], [CLAIM])
    return verdict.verdict, seed + 1


CLAIM = Claim.model_validate(
    {
        "id": "simulated",
        "paper": "-",
        "reference": "-",
        "statement": "-",
        "test": {
            "kind": "compare",
            "left": {"method": "trained"},
            "relation": "lower",
            "right": {"method": "control"},
        },
    }
)


def row_of(name: str, value: float, seed: int, folds: int, budget: float) -> Row:
    half = 2.262 * SAMPLING  # Student's t with 9 degrees of freedom
    return Row(
        experiment="simulated",
        method=name,
        role="method",
        title=name,
        metric="frechet_distance",
        label="FD",
        value=value,
        low=value - half,
        high=value + half,
        steps=8,
        seed=seed,
        folds=folds,
        budget=budget,
        budget_of="trained" if folds else None,
        protocol={},
    )


def study_of(rows: list[Row], seeds: dict[str, int] | None) -> Collected:
    source = Provenance(
        experiment="simulated",
        title="simulated",
        notes=(),
        spec={"seeds": seeds} if seeds else {},
        spec_digest="",
        commit="",
        data=DataLabel(label="", sha256=""),
        versions={},
        hardware="",
        python="",
    )
    return Collected(rows=tuple(rows), baseline=(), provenance=source)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
