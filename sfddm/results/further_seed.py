"""The file of the stage ``further-seed``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sfddm.results.score import STRICT, Count


@dataclass(frozen=True, kw_only=True)
class FurtherSeed:
    """Which rows of an experiment are to be trained with one more seed.

    Attributes:
        seeds: with how many they were trained so far.
        rows: for each of them, the claims that are still open.
    """

    __pydantic_config__ = STRICT

    schema: int = 1
    experiment: str
    seeds: Count
    rows: dict[str, tuple[str, ...]]


def seeds_of_rows(rows: Iterable[str], at_least: int, decisions: Sequence[FurtherSeed]) -> dict[str, tuple[int, ...]]:
    """Return the seeds of each row: the first ``at_least``, and one more for each decision in a row that names it.

    Args:
        rows: every row of the experiment.
        at_least: seeds of each of them.
        decisions: after ``at_least`` seeds, after one more, and so on.
    """
    counts = dict.fromkeys(rows, at_least)
    for decision in decisions:
        for row in decision.rows:
            if counts[row] == decision.seeds:
                counts[row] += 1
    return {row: tuple(range(count)) for row, count in counts.items()}
