"""How often simulated studies get a false verdict, by the benchmark that prints the table of docs/claims.md."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_few_verdicts_are_false_and_true_differences_are_found() -> None:
    command = [sys.executable, "benchmarks/verdict_errors.py", "200"]
    printed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()[2:]]
    shares = {line[0]: [float(cell.removesuffix(" %")) for cell in line[1:]] for line in lines}
    assert len(shares) == 15
    assert all(false <= 6 for *_, false, _ in shares.values())  # 5 % and what 200 studies scatter
    reproduced, contradicted, unsettled, *_ = shares["better by 30 in the end, slow, 3 seeds, one budget"]
    assert reproduced == contradicted == 0
    assert unsettled > 95
    assert shares["better by 30, converged, 3 seeds"][0] > 15
    # Seeds until decided find what as many everywhere find less often, for fewer where the difference is large.
    until_decided, few = (
        shares["better by 30, converged, 3 to 10 seeds"],
        shares["better by 90, converged, 3 to 10 seeds"],
    )
    assert until_decided[0] > shares["better by 30, converged, 3 seeds"][0]
    assert few[0] > 80
    assert few[-1] < 5
