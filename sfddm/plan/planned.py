"""All that can be said of a spec before it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sfddm.claims.load import CLAIMS_FOLDER, load_claims
from sfddm.plan.costs import Costs, total
from sfddm.plan.decidable import Decidable, decidable
from sfddm.plan.power import Shown, smallest_difference
from sfddm.plan.records import RECORDS_FOLDER, Record, of_shape, read_records
from sfddm.plan.rows import extractors_of
from sfddm.plan.stages import Stage, evaluations_of, seconds_of, stages_of, unrecorded
from sfddm.results.verdicts import RowLink
from sfddm.spec.experiment import Spec


@dataclass(frozen=True)
class Planned:
    """What a run of a spec would decide, and what it would cost.

    Attributes:
        claims: what a run would say of each claim.
        shown: for a claim's id the smallest difference that each of its comparisons would show, None where no record
            tells it.
        stages: what each stage costs with the first seeds.
        stages_at_most: what each costs where every row needs all the seeds that it may have.
        without_speed: the rows whose trainings no record tells the speed of.
    """

    spec: Spec
    claims: tuple[Decidable, ...]
    shown: dict[str, tuple[Shown | None, ...]]
    stages: tuple[Stage, ...]
    stages_at_most: tuple[Stage, ...]
    without_speed: tuple[str, ...]

    def of_kind(self, kind: str) -> list[Decidable]:
        """Return the claims that figures or tests decide, or that nothing can ("no")."""
        return [claim for claim in self.claims if claim.kind == kind]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON."""
        return {
            "experiment": self.spec.name,
            "seeds": list(self.spec.first_seeds),
            "at_most_seeds": len(self.spec.every_seed),
            "extractors": list(extractors_of(self.spec)),
            "claims": [_claim_json(claim, self.shown[claim.claim.id]) for claim in self.claims],
            "stages": [asdict(stage) for stage in self.stages],
            "network_evaluations": evaluations_of(self.stages),
            "seconds": seconds_of(self.stages),
            "network_evaluations_at_most": evaluations_of(self.stages_at_most),
            "seconds_at_most": seconds_of(self.stages_at_most),
            "without_recorded_speed": list(self.without_speed),
        }


def plan_of(
    spec: Spec, stored: int | None = None, claims: Path = CLAIMS_FOLDER, records: Path = RECORDS_FOLDER
) -> Planned:
    """Return what a run of a spec would decide, and what it would cost.

    Args:
        spec: the experiment.
        stored: number of training images, for trainings whose length is in epochs; None: not known.
        claims: the folder of claims.
        records: the folder of published records; it may be missing.

    Raises:
        SfddmError: a file of claims, or a record, is broken.
    """
    known = read_records(records)
    found = decidable(spec, load_claims(claims), stored)
    alike, costs = of_shape(known, spec), Costs(spec, stored)
    shown = {one.claim.id: _shown(spec, one, known, costs) for one in found}
    without = tuple(unrecorded(costs, alike))
    first, every = (tuple(stages_of(spec, costs, alike, len(some))) for some in (spec.first_seeds, spec.every_seed))
    return Planned(spec, tuple(found), shown, first, every, without)


def _shown(spec: Spec, claim: Decidable, records: Sequence[Record], costs: Costs) -> tuple[Shown | None, ...]:
    data, confidence = spec.data.label, spec.evaluation.confidence

    def images_seen(link: RowLink) -> float | None:
        return None if link.steps is None else total(costs.of_row(link.method, link.steps), "images")

    return tuple(
        smallest_difference(one.cell, records, data, confidence, anytime=one.until_decided, images_seen=images_seen)
        if one.cell.difference
        else None
        for one in claim.comparisons
    )


def _claim_json(claim: Decidable, shown: Sequence[Shown | None]) -> dict[str, Any]:
    comparisons = [
        {
            "rows": [[row.method, row.steps] for row in one.cell.rows],
            "metric": one.cell.metric,
            "seeds": one.cell.seeds,
            "widened": one.widened,
            "extractors": one.extractors,
            "verdicts": list(one.verdicts),
            "may_turn": one.turns,
            "strength": one.strength,
            "smallest_difference": difference and asdict(difference),
        }
        for one, difference in zip(claim.comparisons, shown, strict=True)
    ]
    return {"id": claim.claim.id, "decided_by": claim.kind, "because": claim.because, "comparisons": comparisons}
