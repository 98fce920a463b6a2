"""The verb that decides which rows are trained with one more seed."""

from __future__ import annotations

from typing import Annotated

import typer

from sfddm.commands import options as arg
from sfddm.runtime.outputs import check_outputs


def further_seed(
    spec: arg.SpecArgument,
    runs: arg.Runs,
    seeds: Annotated[int, typer.Option("--seeds", help="How many seeds are there so far.", min=2)],
    out: arg.Out,
) -> None:
    """Say which rows have claims that are still open and need one more training seed."""
    from sfddm.claims import CLAIMS_FOLDER
    from sfddm.report.further_seed import write_further_seed
    from sfddm.spec.load import find_spec, load_spec

    read = [find_spec(spec), CLAIMS_FOLDER, runs / "data", runs / "reference", *runs.glob("seed-*")]
    check_outputs(read, files=[out])
    write_further_seed(load_spec(spec), runs, seeds, out)
