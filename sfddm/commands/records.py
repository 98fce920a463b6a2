"""The verbs on published runs and on where a result comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfddm.commands import options as arg
from sfddm.runtime.outputs import check_outputs


def verify(
    run: Annotated[Path, typer.Argument(help="A new run: a metrics.json or its folder.")],
    record: Annotated[Path, typer.Argument(help="A published record: a metrics.json or its folder.")],
) -> None:
    """Compare a run with a record, figure by figure; exit status 1 when something drifted."""
    from sfddm.records.verify import verify as verify_run

    if not verify_run(run, record):
        raise SystemExit(1)


def record(
    collected: Annotated[Path, typer.Argument(metavar="COLLECTED", help="A folder that `sfddm collect` wrote.")],
    command: Annotated[str, typer.Option("--command", help="The command that made the run, for its README.")],
    out: arg.Out,
    properties: arg.Properties = None,
    story: Annotated[
        Path | None, typer.Option(help="Markdown for its README: question, answer, evidence, what would change it.")
    ] = None,
) -> None:
    """Publish a run as a small folder: table, metrics, spec, sample grid, README."""
    from sfddm.claims import CLAIMS_FOLDER, PUBLISHED_FOLDER
    from sfddm.records.record import write_record

    properties = properties or (arg.PROPERTIES if arg.PROPERTIES.is_file() else None)
    check_outputs([collected, CLAIMS_FOLDER, PUBLISHED_FOLDER, *filter(None, [properties, story])], folders=[out])
    write_record(collected, out, command, properties=properties, story=story)


def check(
    runs: Annotated[
        list[Path] | None, typer.Argument(metavar="[RUN...]", help="Runs, records or files; default: all of reports/.")
    ] = None,
) -> None:
    """Say which outputs are as they were written; exit status 1 when one was changed or is gone."""
    from sfddm.records.check import check as check_runs

    if not check_runs(runs or [arg.REPORTS]):
        raise SystemExit(1)


def provenance(
    file: Annotated[Path, typer.Argument(help="A file or folder that a stage wrote.")],
    why: Annotated[bool, typer.Option("--why", help="Say what changed since.")] = False,
) -> None:
    """Print what a result depends on: spec, code and inputs."""
    from sfddm.records.origin import describe_origin

    print(*describe_origin(file, why), sep="\n")
