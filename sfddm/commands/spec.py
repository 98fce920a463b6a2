"""The verbs that check and show a spec."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from sfddm.commands.options import SpecArgument

spec_app = typer.Typer(
    help="Check a spec, show it with every default filled in, or print the schema.", no_args_is_help=True
)


@spec_app.command("check")
def spec_check(specs: Annotated[list[str], typer.Argument(metavar="SPEC...")]) -> None:
    """Check specs; print one line for each."""
    from sfddm.spec.load import load_spec

    for name in specs:
        spec = load_spec(name)
        print(f"{name}: ok, {len(spec.rows())} rows, {len(spec.first_seeds)} seed(s), sha256 {spec.digest[:12]}")


@spec_app.command("show")
def spec_show(spec: SpecArgument) -> None:
    """Print a spec as YAML with every default filled in."""
    import yaml

    from sfddm.spec.load import load_spec

    print(yaml.safe_dump(load_spec(spec).model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")


@spec_app.command("schema")
def spec_schema() -> None:
    """Print the JSON schema of a spec."""
    from sfddm.spec.schema import json_schema

    print(json.dumps(json_schema(), indent=2, sort_keys=True))
