"""The verb that runs the tests which claims on the code rest on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sfddm.commands.options import PROPERTIES
from sfddm.runtime.outputs import check_outputs


def properties(
    out: Annotated[Path, typer.Option("--out", help="The .json file to write.")] = PROPERTIES,
    claims: Annotated[Path, typer.Option("--claims", help="The folder of claims; none: no test is run.")] = Path(
        "params/claims"
    ),
) -> None:
    """Run the tests that claims on the code name, and write what came of each."""
    from sfddm.claims.load import load_claims
    from sfddm.claims.properties import files_of, named_tests, run_properties
    from sfddm.results.files import write_result

    tests = named_tests(load_claims(claims) if claims.is_dir() else ())
    check_outputs([claims, *files_of(tests)], files=[out])
    write_result(out, run_properties(tests))
