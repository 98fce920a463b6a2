"""How large the package is, by folder: python benchmarks/size.py [FOLDER]. Exits 1 where a limit is passed."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

#: Lines, blank ones and docstrings included. A function of 60 is one screen.
FILE, FUNCTION, PACKAGE, CORE = 350, 60, 14_086, 4_500
#: The folders that a reader needs to follow a figure from its spec to its images.
CORE_FOLDERS = ("spec", "diffusion", "networks", "samplers", "methods", "training", "sampling")


class Length(NamedTuple):
    """A file's or function's length; ``name`` is where it stands."""

    lines: int
    name: str


def main(root: Path) -> int:
    """Print one line for each folder; return the exit status."""
    folders: dict[str, list[Length]] = defaultdict(list)
    functions: dict[str, list[Length]] = defaultdict(list)
    for file in sorted(root.rglob("*.py")):
        text, name = file.read_text(encoding="utf-8"), file.relative_to(root).as_posix()
        folder = name.split("/")[0] if "/" in name else "."
        folders[folder].append(Length(len(text.splitlines()), name))
        functions[folder] += functions_of(text, name)
    print(f"{'folder':12} {'files':>5} {'lines':>6}  {'longest file':40} longest function")
    for folder, files in folders.items():
        row = f"{folder:12} {len(files):5} {total(files):6}  {shown(files):40} {shown(functions[folder])}"
        print(row.rstrip())
    core = total([file for folder in CORE_FOLDERS for file in folders[folder]])
    package = total([file for files in folders.values() for file in files])
    print(f"\ncore (folders {', '.join(CORE_FOLDERS)}): {core} of {CORE} lines\npackage: {package} of {PACKAGE} lines")
    passed = [("core", core, CORE), ("package", package, PACKAGE)]
    passed += [(file.name, file.lines, FILE) for files in folders.values() for file in files]
    passed += [(one.name, one.lines, FUNCTION) for some in functions.values() for one in some]
    passed = [one for one in passed if one[1] > one[2]]
    for name, lines, limit in passed:
        print(f"size: {name} has {lines} lines; {limit} are allowed")
    return int(bool(passed))


def functions_of(text: str, name: str) -> list[Length]:
    """Return the length of every function and method, from ``def`` to its last line."""
    nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [Length((node.end_lineno or node.lineno) - node.lineno + 1, f"{name}:{node.name}") for node in nodes]


def total(files: list[Length]) -> int:
    return sum(file.lines for file in files)


def shown(lengths: list[Length]) -> str:
    longest = max(lengths, default=None)
    return f"{longest.lines} {longest.name}" if longest else ""


if __name__ == "__main__":
    default = Path(__file__).resolve().parent.parent / "sfddm"
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else default))
