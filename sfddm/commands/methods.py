"""The verb that lists the methods."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sfddm.commands import options as arg

if TYPE_CHECKING:
    from sfddm.methods.overview import Overview


def methods(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As docs/methods.md.")] = False,
    record: Annotated[Path | None, typer.Option("--record", help="A record, for its learning curves.")] = None,
) -> None:
    """List the methods: what they need, what they cost, and where their verdicts stand."""
    from sfddm.methods.overview import markdown, overviews

    if as_markdown:
        return print(markdown(learning_curves(record), record.name) if record else markdown(), end="")
    rows = overviews()
    if as_json:
        return print(json.dumps([asdict(row) for row in rows], indent=2))
    return _print_table(rows, _verdicts(arg.METRICS))


def learning_curves(record: Path) -> dict[str, str]:
    """Return for each method how the loss of its first row in a record fell: at first, on the way, at last.

    Of several trainings it is the last one's, of the first seed.
    """
    from sfddm.report.curves import text_curve
    from sfddm.results.metrics import read_metrics

    found = {}
    for part in read_metrics(record):
        first: dict[str, str] = {}
        for row in part.rows:
            if row.method_name:
                first.setdefault(row.method_name, row.method)
        methods_of = {row: method for method, row in first.items()}
        for one in part.trainings:
            if one.method in methods_of and one.seed == part.seeds[0]:
                curve = f"{one.losses[0]:.3g} {text_curve(one.losses)} {one.losses[-1]:.3g}"
                found[methods_of[one.method]] = f"{curve} (row `{one.method}`, training {one.fold})"
    return found


def _verdicts(metrics: Path) -> dict[str, str]:
    """Return for each method how the claims that look at a row of it came out in the last report; {} without one."""
    if not metrics.is_file():
        return {}
    from collections import Counter

    from sfddm.claims import evaluate_claims, load_claims
    from sfddm.results.metrics import read_metrics
    from sfddm.results.verdicts import WORDS

    parts, found = read_metrics(metrics), dict[str, Counter[str]]()
    named = {(row.experiment, row.method): row.method_name for part in parts for row in part.rows}
    for verdict in evaluate_claims(parts, load_claims()):
        first = {named.get((cell.experiment, cell.rows[0].method)) for cell in verdict.cells}
        for method in filter(None, first):
            found.setdefault(method, Counter())[verdict.verdict] += 1
    return {
        method: ", ".join(f"{counts[word]} {word}" for word in WORDS if counts[word])
        for method, counts in found.items()
    }


def _print_table(rows: list[Overview], verdicts: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table

    from sfddm.methods.overview import STEPS

    table = Table(title="Methods, with default options and T = 1024", title_justify="left")
    for heading in ("name", "paper", "trainings", "cost", "needs", "steps"):
        table.add_column(heading, no_wrap=heading != "paper", min_width=20 if heading == "paper" else None)
    if verdicts:
        table.add_column("claims in the last report")
    for row in rows:
        asked = "{:g} + {:g}".format(*row.evaluations) if row.evaluations else ""
        reads = "\n".join(row.needs) or ("noise alone" if row.evaluations else "")
        paper = ", ".join([row.title, *re.findall(r"\d{4}\.\d{5}", row.reference)[:1]])
        steps = "any" if row.steps == tuple(sorted(STEPS)) else " ".join(map(str, row.steps))
        table.add_row(
            row.name, paper, row.trainings, asked, reads, steps, *([verdicts.get(row.name, "")] if verdicts else [])
        )
    console = Console()
    console.print(table)
    print("Cost: evaluations of student and teacher for one image in one training step.")
