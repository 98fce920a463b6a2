"""Where an output comes from: a hidden file beside it that says what it was computed with, and what changed since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sfddm.results.files import read_result, write_result
from sfddm.results.origin import OutputOrigin
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import LEDGER, file_sha256
from sfddm.runtime.provenance import git_commit, library_versions
from sfddm.spec import dependencies
from sfddm.spec.dependencies import Dependencies
from sfddm.spec.load import load_spec


def origin_file(output: Path) -> Path:
    """Return the file that keeps the origin of an output; ``.`` and ``..`` hold their own."""
    return output / ".origin.json" if output.name in ("", "..") else output.with_name(f".{output.name}.origin.json")


def write_origin(output: Path, needs: Dependencies, spec_file: Path, inputs: Iterable[Path]) -> None:
    """Write what an output was computed with: section and code of the stage, the inputs' digests, commit, libraries."""
    origin = OutputOrigin(
        kind=needs.kind,  # type: ignore[arg-type]
        given=needs.given,
        spec_file=str(spec_file),
        section=needs.section,
        code=needs.code_by_module(),
        inputs={str(path): content_digest(path) for path in inputs},
        commit=git_commit(),
        versions=library_versions(),
    )
    write_result(origin_file(output), origin)


def content_digest(path: Path) -> str | None:
    """Return the sha256 of a file, or of what a folder's list of outputs says; None where there is nothing."""
    listed = path / LEDGER if path.is_dir() else path
    return file_sha256(listed) if listed.is_file() else None


def describe_origin(output: Path, why: bool) -> Iterator[str]:
    """Yield lines that say what an output depends on and, with ``why``, what of it changed since.

    Raises:
        SfddmError: sfddm kept no origin of it.
    """
    path = origin_file(output)
    if not path.exists():
        raise SfddmError(f"{output}: no stage of sfddm wrote it, or one of an earlier edition; nothing is known of it")
    origin = read_result(path, OutputOrigin, "train")
    given = "".join(f"{name} {value}, " for name, value in origin.given.items())
    yield f"{output}: {origin.kind} of {origin.spec_file}, {given}commit {origin.commit}"
    now = _now(path, origin) if why else None
    for name, value in sorted(_leaves(origin.section)):
        yield f"  spec  {name} = {value}{_changed(value, dict(_leaves(now.section)).get(name)) if now else ''}"
    if now:
        yield from (f"  spec  {name} = {value}  (new)" for name, value in _added(origin.section, now.section))
    code = now.code_by_module() if now else {}
    for name, digest in origin.code.items():
        yield f"  code  {name} {digest[:12]}{_changed(digest, code.get(name), 12) if now else ''}"
    yield from (f"  code  {name} {code[name][:12]}  (new)" for name in code if name not in origin.code)
    for name, then in origin.inputs.items():
        found = _changed(then, content_digest(Path(name)), 12) if why else ""
        yield f"  input {name} {(then or 'absent')[:12]}{found}"


def _now(path: Path, origin: OutputOrigin) -> Dependencies:
    try:
        found: Dependencies = getattr(dependencies, f"of_{origin.kind}")(load_spec(origin.spec_file), **origin.given)
        return found
    except TypeError:
        raise SfddmError(f"{path}: given: is not what the stage {origin.kind} is asked; got {origin.given}") from None


def _changed(then: Any, now: Any, length: int | None = None) -> str:
    if then == now:
        return ""
    return f"  CHANGED: now {'gone' if now is None else str(now)[:length]}"


def _leaves(section: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(section, dict):
        for key, value in section.items():
            yield from _leaves(value, f"{name}.{key}" if name else str(key))
    elif isinstance(section, list | tuple) and len(section) > 16:
        text = repr(section).encode()
        yield name, f"{len(section)} values, sha256 {hashlib.sha256(text).hexdigest()[:12]}"
    else:
        yield name, list(section) if isinstance(section, tuple) else section


def _added(then: Any, now: Any) -> list[tuple[str, Any]]:
    known = dict(_leaves(then))
    return [(name, value) for name, value in _leaves(now) if name not in known]
