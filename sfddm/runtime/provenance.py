"""Where a result comes from: the code that made it, its commit, the libraries and the machine."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import platform
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sfddm.runtime.errors import SfddmError

PACKAGE = "sfddm"
ROOT = Path(__file__).resolve().parents[1]
#: The libraries whose versions can change a figure.
LIBRARIES = (
    "accelerate",
    "diffusers",
    "efficientnet-lite-pytorch",
    "numpy",
    "scikit-learn",
    "scipy",
    "torch",
    "torch-fidelity",
    "torchvision",
)


def code_digest(*modules: str, files: Iterable[Path] = ()) -> str:
    """Return the sha256 of :func:`code_digests`.

    Raises:
        SfddmError: as there.
    """
    digest = hashlib.sha256()
    for name, own in sorted(code_digests(*modules, files=files).items()):
        digest.update(f"{name} {own}\n".encode())
    return digest.hexdigest()


def code_digests(*modules: str, files: Iterable[Path] = ()) -> dict[str, str]:
    """Return the sha256 of everything of this package that the modules compute with, by name.

    That is the modules themselves and, over and over, what they import from this package: at the top, inside
    functions, and the packages they lie in. Not counted are imports for type checkers, imports by a computed name, and
    ``sfddm.runtime``, which moves results but computes none. Comments, docstrings, formatting, the words of errors and
    what is printed do not change a digest.

    Args:
        modules: full names, for example ``sfddm.training.teacher``.
        files: other files that count, for example templates; a Python file, such as a plug-in, as a module does.

    Raises:
        SfddmError: a module or file does not exist, or a module is not Python.
    """
    found = {name: _module_digest(_module_file(name)) for name in closure(*modules)}
    for file in files:
        name = str(file.relative_to(ROOT)) if file.is_relative_to(ROOT) else file.name
        found[name] = _module_digest(file) if file.suffix == ".py" else hashlib.sha256(_read(file)).hexdigest()
    return found


def closure(*modules: str) -> list[str]:
    """Return the names of all modules behind :func:`code_digests`, in alphabetical order.

    Raises:
        SfddmError: a module does not exist or is not Python.
    """
    found, waiting = set[str](), list(modules)
    while waiting:
        name = waiting.pop()
        if name in found or f"{name}.".startswith(f"{PACKAGE}.runtime."):
            continue
        found.add(name)
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        waiting.extend(_imported(_module_file(name), name))
    return sorted(found)


def _find_module(name: str) -> Path | None:
    if not _same_package(name, PACKAGE):
        with suppress(ImportError, ValueError):
            found = importlib.util.find_spec(name)
            return Path(found.origin) if found and found.has_location and found.origin else None
        return None
    place = ROOT.joinpath(*name.split(".")[1:])
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _module_file(name: str) -> Path:
    file = _find_module(name)
    if file is None:
        raise SfddmError(f"{name}: there is no such module in the package {PACKAGE} at {ROOT}, nor a plug-in")
    return file


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise SfddmError(f"{file}: cannot be read ({error.strerror})") from None


@cache
def _tree(file: Path) -> ast.Module:
    try:
        return ast.parse(_read(file))
    except (SyntaxError, ValueError) as error:
        raise SfddmError(f"{file}: not a Python file ({error})") from None


@cache
def _imported(file: Path, name: str) -> tuple[str, ...]:
    """Return the modules of this package, and of its own, that the module ``name`` imports when it runs."""
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    found = []
    for node in _executed(_tree(file)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            start = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            source = ".".join(part for part in (start, node.module) if part)
            found.append(source)
            # ``from package import name`` imports a module where there is one of that name.
            members = [f"{source}.{alias.name}" for alias in node.names]
            found += [member for member in members if _counts(member, name) and _find_module(member)]
    return tuple(module for module in dict.fromkeys(found) if _counts(module, name))


def _counts(module: str, importer: str) -> bool:
    return _same_package(module, PACKAGE) or _same_package(module, importer)


def _same_package(one: str, other: str) -> bool:
    return one.partition(".")[0] == other.partition(".")[0]


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Yield every node below ``node``, except what stands under ``if TYPE_CHECKING:``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and _is_type_checking(child.test):
            for other in child.orelse:
                yield other
                yield from _executed(other)
        else:
            yield child
            yield from _executed(child)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


@cache
def _module_digest(file: Path) -> str:
    return hashlib.sha256(_canonical(_tree(file)).encode()).hexdigest()


def _canonical(value: object) -> str:
    """Write a syntax tree without docstrings, messages, positions and empty fields.

    ``ast.dump`` would do but for the empty fields, which differ between versions of Python.
    """
    if isinstance(value, ast.AST):
        fields = dict(ast.iter_fields(value))
        if isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            fields["body"] = _without_docstring(value.body)
        if isinstance(value, ast.Raise):
            fields = {"exc": _name_of(value.exc.func) if isinstance(value.exc, ast.Call) else value.exc}
        written = (f"{key}={_canonical(item)}" for key, item in fields.items() if item is not None and item != [])
        return f"{type(value).__name__}({', '.join(written)})"
    if isinstance(value, list):
        return f"[{', '.join(_canonical(item) for item in value if not _is_print(item))}]"
    return repr(value)


def _is_print(node: object) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and _name_of(node.value.func) == "print"


def _name_of(node: ast.expr) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        return body[1:]
    return body


@cache
def git_commit() -> str:
    """Return the checked-out commit of the code (40 hex digits), "+dirty" after it where tracked files differ.

    "unknown" outside a git checkout: an installed package, or a checkout of another project around it.
    """
    top = _git("rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != ROOT.parent:
        return "unknown"
    commit = _git("rev-parse", "--verify", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    if commit is None or changes is None:
        return "unknown"
    return f"{commit}+dirty" if changes else commit


def _git(*arguments: str) -> str | None:
    # A git hook exports GIT_DIR and its kind, which would name another checkout than this file's.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@cache
def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


def library_versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that can change a figure, without absent ones."""
    versions = {name: found for name in LIBRARIES if (found := _version(name))}
    return {"python": platform.python_version(), **versions}


@cache
def hardware() -> str:
    """Return one line about the machine: the processor's model and architecture, and torch's accelerators."""
    processor = f"{_processor()} ({platform.machine()})"
    return "; ".join([processor, *_accelerators()])


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or "unknown processor"


def _accelerators() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
