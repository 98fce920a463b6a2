"""The verb ``plan``."""

from __future__ import annotations

from typing import Annotated

import typer

from sfddm.commands.options import SpecArgument


def plan(
    spec: SpecArgument,
    images: Annotated[
        int | None, typer.Option("--images", min=1, help="How many training images there are, for lengths in epochs.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print which claims a spec can decide and what it costs, before anything is trained."""
    from sfddm.plan.planned import plan_of
    from sfddm.plan.show import print_plan
    from sfddm.spec.load import load_spec

    print_plan(plan_of(load_spec(spec), images), as_json)
