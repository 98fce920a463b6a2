"""The decorator that makes a verb of a stage."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import ExitStack
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from sfddm.commands.options import Reads, SpecArgument, Threads, Writes
from sfddm.runtime.outputs import check_outputs, paths_in

if TYPE_CHECKING:
    from sfddm.spec.dependencies import Dependencies


def stage(function: Callable[..., Dependencies]) -> Callable[..., None]:
    """Make a verb of a function that runs a stage and writes ``out``.

    The function gets the spec read and, where it has a parameter ``device``, a device; the verb then has ``--threads``.
    Before it runs, its outputs are checked: they replace nothing of a user's and touch no input. What it returns, the
    stage's dependencies, is kept beside ``out`` as its origin.
    """
    signature = inspect.signature(function)
    needs_device = "device" in signature.parameters
    function.__annotations__ = {"spec": SpecArgument} | {
        name: hint for name, hint in function.__annotations__.items() if name not in ("spec", "device", "return")
    }
    hints = get_type_hints(function, include_extras=True)
    marks = {name: [m for m in get_args(hint) if isinstance(m, Reads | Writes)] for name, hint in hints.items()}
    parameters = [one.replace(annotation=hints[name]) for name, one in signature.parameters.items() if name in hints]
    if needs_device:
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter("threads", keyword, default=None, annotation=Threads))

    @wraps(function)
    def run(**given: Any) -> None:
        from sfddm.records.origin import origin_file, write_origin
        from sfddm.spec.load import find_spec, load_spec

        spec_file = find_spec(given["spec"])
        spec = given["spec"] = load_spec(spec_file)
        threads = given.pop("threads", None)
        read, written = _paths(given, marks, Reads), _paths(given, marks, Writes)
        inputs = [path / part if part else path for path, mark in read for part in mark.parts]
        check_outputs(
            [spec_file, *inputs, *paths_in(spec.model_dump())],
            files=[file for path, mark in written for file in mark.files(path)],
            folders=[path for path, mark in written if mark.kind == "folder"],
            containers=[path for path, mark in written if mark.kind == "container"],
        )
        check_outputs([], files=[origin_file(given["out"])])
        with ExitStack() as stack:
            if needs_device:
                from sfddm.runtime.device import leased_device  # imports torch, which the other verbs do without

                given["device"] = stack.enter_context(leased_device(threads))
            needs = function(**given)
        write_origin(given["out"], needs, spec_file, inputs)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def _paths(given: dict[str, Any], marks: dict[str, list[Any]], kind: type) -> list[tuple[Path, Any]]:
    found = []
    for name, value in given.items():
        mark = next((mark for mark in marks.get(name, ()) if isinstance(mark, kind)), None)
        if mark is not None and value is not None:
            found += [(path, mark) for path in (value if isinstance(value, list) else [value])]
    return found
