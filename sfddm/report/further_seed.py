"""Decide, between the trainings of a run, which rows need one more seed."""

from __future__ import annotations

from pathlib import Path

from sfddm.claims.load import CLAIMS_FOLDER, load_claims
from sfddm.claims.open_rows import open_rows
from sfddm.report.collect import gather
from sfddm.results.files import write_result
from sfddm.results.further_seed import FurtherSeed
from sfddm.runtime.errors import SfddmError
from sfddm.spec.experiment import Spec
from sfddm.spec.seeds import SeedsUntilDecided


def write_further_seed(spec: Spec, runs: Path, seeds: int, out: Path, claims: Path = CLAIMS_FOLDER) -> None:
    """Write which rows, of those with ``seeds`` training seeds, are in a comparison that is still open.

    Args:
        spec: the experiment; its seeds are given as at_least and at_most.
        runs: the experiment's folder, with all that these seeds, and the decisions before, have written.
        seeds: from at_least to at_most - 1.
        out: the file to write.
        claims: the folder of claims.

    Raises:
        SfddmError: the spec lists its seeds, ``seeds`` is none of those numbers, or a file is missing or broken.
    """
    asked = spec.seeds
    if not isinstance(asked, SeedsUntilDecided):
        raise SfddmError(f"{spec.name}: seeds: nothing to decide, the spec lists them; give at_least and at_most")
    if not asked.at_least <= seeds < asked.at_most:
        raise SfddmError(f"--seeds: must be from {asked.at_least} to {asked.at_most - 1}, got {seeds}")
    part, _ = gather(spec, runs, seeds)
    measured = {(row.method, row.seed) for row in part.rows}
    rows = {row: ids for row, ids in open_rows(part, load_claims(claims)).items() if (row, seeds - 1) in measured}
    write_result(out, FurtherSeed(experiment=spec.name, seeds=seeds, rows=rows))
