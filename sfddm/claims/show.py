"""The verdicts on a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sfddm.claims.claim import evaluate_claims
from sfddm.claims.load import CLAIMS_FOLDER, load_claims
from sfddm.results.metrics import read_metrics, read_properties_of
from sfddm.results.verdicts import GRADES, MEASURED_WORDS, PROPERTY_WORDS, Verdict, Word

if TYPE_CHECKING:
    from rich.console import Console

#: Where `sfddm report` writes by default.
METRICS = Path("reports/metrics.json")
#: A sign for each verdict, so that none depends on colour.
SIGNS: dict[Word, str] = {
    "reproduced": "✔",
    "contradicted": "✘",
    "unsettled": "↯",
    "depends on the extractor": "≠",
    "inconclusive": "≈",
    "not tested": "○",
    "holds": "✓",
    "fails": "✗",
    "not run": "–",
}
_COLOURS: dict[Word, str] = {
    "reproduced": "green",
    "contradicted": "red",
    "unsettled": "magenta",
    "depends on the extractor": "cyan",
    "inconclusive": "yellow",
    "not tested": "bright_black",
    "holds": "cyan",
    "fails": "red",
    "not run": "bright_black",
}
#: How several of them are spoken of.
_PLURALS: dict[Word, str] = {"holds": "hold", "fails": "fail"}


def print_claims(
    metrics: Path = METRICS, as_json: bool = False, claims: Path = CLAIMS_FOLDER, console: Console | None = None
) -> None:
    """Print each claim with its verdict and the numbers behind it, as a table or as JSON.

    Args:
        metrics: a metrics.json or its folder, where a properties.json may lie as well. Where the default one does not
            exist yet, nothing is tested.
        as_json: a list of verdicts as JSON.
        claims: the folder of claims.
        console: where to print; the standard output by default.

    Raises:
        SfddmError: a file is missing or broken.
    """
    from rich.console import Console

    loaded = load_claims(claims)
    parts = () if metrics == METRICS and not metrics.exists() else read_metrics(metrics)
    verdicts = evaluate_claims(parts, loaded, read_properties_of(metrics))
    if as_json:
        print(json.dumps([verdict.to_json() for verdict in verdicts], indent=2, allow_nan=False))
        return
    console = console or Console()
    if not parts:
        console.print(f"{metrics} does not exist yet (`sfddm report` writes it): nothing is tested.")
    for paper in dict.fromkeys(verdict.paper for verdict in verdicts):
        _print_paper(paper, [verdict for verdict in verdicts if verdict.paper == paper], console)
    console.print(tally(verdicts))


def counted(verdicts: Sequence[Verdict], word: Word) -> str:
    """Return how many have a verdict, in words, and how many of these are not settled; "" where none has it."""
    alike = [verdict for verdict in verdicts if verdict.verdict == word]
    if not alike:
        return ""
    text = f"{len(alike)} {word if len(alike) == 1 else _PLURALS.get(word, word)}"
    not_settled = sum(bool(verdict.open_to) for verdict in alike)
    return f"{text} ({not_settled} not settled)" if not_settled else text


def tally(verdicts: Sequence[Verdict]) -> str:
    """Return how many claims have each verdict, in words; properties of the code by themselves, for they are tested."""
    properties = [verdict for verdict in verdicts if verdict.verdict in PROPERTY_WORDS]
    told = [f"{len(verdicts) - len(properties)} claims to measure: {_listed(verdicts, MEASURED_WORDS)}"]
    if properties:
        many = "property" if len(properties) == 1 else "properties"
        told.append(f"{len(properties)} {many} of the code: {_listed(verdicts, PROPERTY_WORDS)}")
    return "; ".join(told)


def scales(verdicts: Sequence[Verdict], brief: bool = False) -> str:
    """Return how one paper's measured claims came out at each scale, in one sentence; properties of code have none.

    ``brief``: it stands beside the paper's title and need not say whose claims they are.
    """
    told: list[str] = []
    measured = [verdict for verdict in verdicts if verdict.verdict not in PROPERTY_WORDS]
    claims = f"of the {len(measured)} claims to measure of {verdicts[0].paper.partition(':')[0]}"
    claims = f"of {len(measured)}" if brief else claims
    for grade in reversed(GRADES):
        some = [verdict for verdict in measured if verdict.grade == grade]
        if some:
            came_out = counted(some, "reproduced") or "0 reproduced"
            count, _, word = came_out.partition(" ")
            first = came_out if told else f"{count} {claims} {word}"
            others = [f", {text}" for one in MEASURED_WORDS[1:] if (text := counted(some, one))]
            told.append(f"{first}{''.join(others)} at {grade} scale")
    if not told:
        return f"none {claims} measured" if brief else f"none {claims} was measured"
    return "; ".join(told) + (
        "" if any(verdict.grade == "full" for verdict in measured) else "; none tested at full scale"
    )


def _listed(verdicts: Sequence[Verdict], words: Iterable[Word]) -> str:
    return ", ".join(filter(None, (counted(verdicts, word) for word in words))) or "none"


def _print_paper(paper: str, verdicts: list[Verdict], console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=paper, title_justify="left", show_lines=True, expand=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("claim", ratio=2)
    table.add_column("numbers", ratio=3)
    for verdict in verdicts:
        badge = Text(f"{SIGNS[verdict.verdict]} {verdict.verdict}", style=_COLOURS[verdict.verdict])
        badge.append(f"\n  {verdict.grade} scale" if verdict.grade else "", style="dim")
        badge.append("\n  not settled" if verdict.open_to else "", style="dim")
        claim = Text(verdict.statement)
        claim.append(f"\n{verdict.id} · {verdict.source}", style="dim")
        table.add_row(badge, claim, Text(_numbers(verdict)))
    console.print(table)
    console.print(scales(verdicts) + ".")


def _numbers(verdict: Verdict) -> str:
    cells = [f"{SIGNS[cell.verdict]} {cell.experiment}{cell.at}: {cell.because}" for cell in verdict.cells]
    basis = [f"({verdict.basis})"] if verdict.basis else []
    figures = verdict.published_by_reason.items()
    published = [f"published: {'; '.join(map(str, some))}. {because}" for because, some in figures]
    return "\n".join([verdict.because, *(cells if len(cells) > 1 else []), *basis, *published])
