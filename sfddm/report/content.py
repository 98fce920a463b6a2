"""Everything that a report shows, and what all its sections share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from sfddm.claims import CLAIMS_FOLDER, PUBLISHED_FOLDER, Claim, Verdict, evaluate_claims, load_claims, load_published
from sfddm.claims.published import PublishedRow
from sfddm.report.ablations import AblationTable, ablation_table, variants_of
from sfddm.report.budgets import BudgetTable, budget_table
from sfddm.report.fixed_points import FixedPoint, fixed_points
from sfddm.report.frame import frame_of, over_seeds
from sfddm.report.pictures import Images
from sfddm.report.plots import MARKERS
from sfddm.report.tables import MetricTable, intervals_of, metric_table, metrics_of
from sfddm.results.files import read_arrays, read_result
from sfddm.results.properties import Properties, read_properties
from sfddm.results.rows import Collected
from sfddm.runtime.errors import SfddmError


@dataclass(frozen=True)
class Content:
    """Everything that a report shows.

    Attributes:
        collected: one part for each experiment, in the order given.
        samples: for each experiment, "{row}/{steps}/{seed}" and "real" -> (N, H, W, C) images.
        claims: what is judged by the figures.
        published: figures of others.
        properties: what came of the tests of the code; None where none ran.
    """

    collected: tuple[Collected, ...]
    samples: Mapping[str, Mapping[str, Images]]
    claims: tuple[Claim, ...] = ()
    published: tuple[PublishedRow, ...] = ()
    properties: Properties | None = None

    @cached_property
    def parts(self) -> tuple[Collected, ...]:
        """The experiments as most sections show them: each row at its largest budget, by the main extractor."""
        return tuple(part.at_largest_budgets.of_main_extractor for part in self.collected)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Every figure of every seed, of each row at its largest budget."""
        return frame_of(self.parts)

    @cached_property
    def means(self) -> pd.DataFrame:
        """Every figure, over its seeds."""
        return over_seeds(self.frame)

    def frame_of(self, part: Collected, kind: str = "score") -> pd.DataFrame:
        """Return one experiment's figures of every seed."""
        return self.frame[(self.frame.experiment == part.provenance.experiment) & (self.frame.kind == kind)]

    def means_of(self, part: Collected, kind: str = "score") -> pd.DataFrame:
        """Return one experiment's figures, over its seeds."""
        return self.means[(self.means.experiment == part.provenance.experiment) & (self.means.kind == kind)]

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """Each claim's verdict."""
        return evaluate_claims(self.collected, self.claims, self.properties)

    @cached_property
    def fixed_points(self) -> list[FixedPoint]:
        """Where a student is its teacher still."""
        return fixed_points(self.frame[self.frame.kind == "score"])

    @cached_property
    def variants(self) -> frozenset[str]:
        """The rows that have a table of their own, the ablations, and stay out of the others."""
        return variants_of(self.frame)

    @cached_property
    def tables(self) -> tuple[MetricTable, ...]:
        """One table for each metric, without the variants; the first is the main one."""
        scores = self.means[self.means.kind == "score"]
        main = scores[~scores.method.isin(self.variants)]
        return tuple(metric_table(self.parts, main, metric) for metric in metrics_of(scores))

    @cached_property
    def ablations(self) -> tuple[AblationTable, ...]:
        """The variants of each experiment in each metric."""
        found = (ablation_table(part, table.metric, self.variants) for part in self.parts for table in self.tables)
        return tuple(one for one in found if one is not None)

    @cached_property
    def budgets(self) -> tuple[BudgetTable, ...]:
        """The rows of each experiment that were trained at several budgets, in the main metric."""
        found = (budget_table(part.of_main_extractor, self.tables[0].metric) for part in self.collected)
        return tuple(one for one in found if one is not None)

    @property
    def slots(self) -> dict[str, int]:
        """Each method's colour and marker, the same in every plot; a variant has its method's."""
        methods = dict.fromkeys(line.method for table in self.tables for line in table.lines)
        return {method: position % len(MARKERS) for position, method in enumerate(methods)}

    @property
    def legend(self) -> list[tuple[str, int, str, str]]:
        """Title, colour, marker and name of each method that the plots show."""
        lines = [(line.title, self.slots[line.method], line.method) for line in self.tables[0].lines]
        return [(title, slot, MARKERS[slot][1], method) for title, slot, method in lines]

    @property
    def titles(self) -> dict[str, str]:
        """Each experiment's title."""
        return {part.provenance.experiment: part.provenance.title for part in self.collected}

    @property
    def intervals(self) -> dict[str, str]:
        """What each experiment's figures are the mean of and what their intervals cover."""
        return {part.provenance.experiment: intervals_of(part) for part in self.collected}

    @property
    def interval_notes(self) -> list[tuple[str, str]]:
        """The same, by each experiment's title."""
        return list(zip(self.titles.values(), self.intervals.values(), strict=True))


def read_content(collected: list[Path], claims: Path = CLAIMS_FOLDER, properties: Path | None = None) -> Content:
    """Read folders that ``collect`` wrote, claims, the published figures beside them, and what tests of the code said.

    Raises:
        SfddmError: a folder lacks a file or holds a figure that is not finite, two hold one experiment, a file of
            claims is broken, or ``properties`` names no properties.json.
    """
    if not collected:
        raise SfddmError("report: name at least one folder that `sfddm collect` wrote")
    parts: dict[str, Collected] = {}
    samples = {}
    for folder in collected:
        part = read_result(folder / "metrics.json", Collected, "collect")
        name = part.provenance.experiment
        if name in parts:
            raise SfddmError(f"{folder}: the experiment {name!r} is already in the report; name each once")
        parts[name] = part
        samples[name] = read_arrays(folder / "samples.npz", "collect")
    tested = read_properties(properties) if properties else None
    if not claims.is_dir():
        return Content(tuple(parts.values()), samples, properties=tested)
    published = load_published(claims.parent / PUBLISHED_FOLDER.name)
    return Content(tuple(parts.values()), samples, load_claims(claims), tuple(published.values()), tested)
