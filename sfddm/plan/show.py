"""The plan on a terminal, one page, or as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sfddm.claims.power import POWER
from sfddm.plan.decidable import Decidable
from sfddm.plan.planned import Planned
from sfddm.plan.power import Shown
from sfddm.plan.rows import extractors_of
from sfddm.plan.stages import evaluations_of, seconds_of
from sfddm.results.styles import style_of

if TYPE_CHECKING:
    from rich.console import Console

#: What is printed in place of a number that the spec does not give.
UNKNOWN = "?"


def print_plan(planned: Planned, as_json: bool = False, console: Console | None = None) -> None:
    """Print a plan as tables, or as JSON; ``console``: where to, by default the standard output."""
    if as_json:
        print(json.dumps(planned.to_json(), indent=2, allow_nan=False))
        return
    from rich.console import Console

    console = console or Console()
    spec = planned.spec
    seeds = " to ".join(str(count) for count in dict.fromkeys([len(spec.first_seeds), len(spec.every_seed)]))
    scale = f"{len(spec.rows())} rows, {seeds} training seed{'' if seeds == '1' else 's'}"
    _say(console, f"{spec.title}: {scale}, features of {', '.join(extractors_of(spec))}")
    console.print(_claims_table(planned))
    _print_scatter(planned, console)
    _print_others(planned, console)
    console.print(_costs_table(planned))
    if len(spec.every_seed) > len(spec.first_seeds):
        evaluations, seconds = evaluations_of(planned.stages_at_most), seconds_of(planned.stages_at_most)
        text = f"{len(spec.every_seed)} seeds for every row, which claims that stay open ask for, take "
        time = f", {_duration(seconds)}" if seconds is not None else ""
        _say(console, f"{text}{_number(evaluations)} network evaluations{time}.")
    _print_speeds(planned, console)


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, highlight=False, markup=False, soft_wrap=True)


def _claims_table(planned: Planned) -> Any:
    from rich.table import Table

    claims = planned.of_kind("figures")
    title = f"{len(claims)} of {len(planned.claims)} claims are decided by figures"
    table = Table(title=title, title_justify="left")
    table.add_column("claim", no_wrap=True)
    table.add_column("comparisons, and what a verdict would stand on")
    table.add_column("smallest difference shown")
    for claim in claims:
        strengths = "\n".join(f"{count}: {text}" for text, count in claim.strengths.items())
        table.add_row(claim.claim.id, strengths, _differences(claim, planned.shown[claim.claim.id]))
    return table


def _differences(claim: Decidable, shown: Sequence[Shown | None]) -> str:
    """Return the range of the differences, metric by metric."""
    by_metric: dict[str, list[float]] = {}
    for comparison, one in zip(claim.comparisons, shown, strict=True):
        if one:
            by_metric.setdefault(comparison.cell.metric, []).append(one.difference)
    lines = []
    for metric, some in by_metric.items():
        ends = dict.fromkeys((f"{min(some):.3g}", f"{max(some):.3g}"))
        name = "" if metric == "frechet_distance" else f"{style_of(metric).heading}: "
        lines.append(f"{name}{' to '.join(ends)}")
    return "\n".join(lines)


def _print_scatter(planned: Planned, console: Console) -> None:
    shown = [one for some in planned.shown.values() for one in some if one]
    if shown:
        records = ", ".join(dict.fromkeys(one.record for one in shown))
        _say(console, f"Differences that would be seen with probability {POWER:g} at the scatter in {records}.")


def _print_others(planned: Planned, console: Console) -> None:
    """Print the claims that no figure of the run decides: those of papers of which it measures nothing in one line."""
    tests, others = planned.of_kind("tests"), planned.of_kind("no")
    if tests:
        _say(console, f"Tests of the code check {len(tests)}: {', '.join(one.claim.id for one in tests)}")
    measured = {one.claim.paper for one in planned.of_kind("figures")}
    reasons: dict[str, list[str]] = {}
    for one in others:
        if one.claim.paper in measured:
            reasons.setdefault(one.because, []).append(one.claim.id)
    if reasons:
        _say(console, f"Not testable with this spec are {sum(map(len, reasons.values()))} more of the same papers:")
    for reason, ids in reasons.items():
        _say(console, f"  {', '.join(ids)}: {reason}")
    unmeasured = Counter(one.claim.paper for one in others if one.claim.paper not in measured)
    if unmeasured:
        counts = "; ".join(f"{paper} ({count})" for paper, count in unmeasured.items())
        _say(console, f"Papers of which nothing would be measured, with their claims: {counts}")


def _costs_table(planned: Planned) -> Any:
    from rich.table import Table

    several = len(planned.spec.every_seed) > len(planned.spec.first_seeds)
    over = f"the first {len(planned.spec.first_seeds)} seeds of every row" if several else "all seeds"
    table = Table(title=f"Costs, over {over}", title_justify="left")
    table.add_column("stage")
    for heading in ("jobs", "images", "network evaluations", "time, one job at a time"):
        table.add_column(heading, justify="right")
    for stage in planned.stages:
        images = "" if stage.name == "index-set" else _number(stage.images)
        evaluations = "" if stage.name == "evaluate" else _number(stage.evaluations)
        table.add_row(stage.name, f"{stage.jobs:,}", images, evaluations, _duration(stage.seconds))
    table.add_section()
    jobs = sum(stage.jobs for stage in planned.stages)
    table.add_row(
        "in all", f"{jobs:,}", "", _number(evaluations_of(planned.stages)), _duration(seconds_of(planned.stages))
    )
    return table


def _print_speeds(planned: Planned, console: Console) -> None:
    rates = [rate for stage in planned.stages for rate in stage.rates]
    sources = dict.fromkeys(f"{rate.record} ({rate.hardware})" for rate in rates)
    if sources:
        _say(console, f"Times at the speeds of the same networks in {'; '.join(sources)}, without scores.")
    if planned.without_speed:
        rows = ", ".join(planned.without_speed)
        _say(console, f"No time for the trainings of {rows}: no record has the same networks.")
    if evaluations_of(planned.stages) is None:
        _say(console, f"{UNKNOWN}: a length is in epochs; --images says of how many training images.")


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.0f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    unit, size = next((one for one in (("h", 3600), ("min", 60)) if seconds >= one[1]), ("s", 1))
    return f"{seconds / size:,.3g} {unit}"
