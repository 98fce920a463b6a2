"""How large the package is, by folder: python benchmarks/size.py [FOLDER]. Exits 1 where a limit is passed.

Lines of a file and of a function are all lines. Of the core, lines of code are counted: no blank lines, comments and
docstrings, which make it longer to scroll and shorter to understand.
"""

from __future__ import annotations

import ast
import io
import sys
import tokenize
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

#: Lines, of a function one screen.
FILE, FUNCTION = 350, 60
#: Lines of code that a reader needs to follow a figure from its spec to its images, the file of one method apart.
CORE = 3_600
CORE_FOLDERS = ("spec", "diffusion", "networks", "samplers", "training", "sampling")
CORE_FILES = ("methods/base.py", "methods/options.py", "objectives/objective.py", "objectives/terms.py")


class Length(NamedTuple):
    """A file's or function's length; ``name`` is where it stands."""

    lines: int
    name: str


def main(root: Path) -> int:
    """Print one line for each folder; return the exit status."""
    folders: dict[str, list[Length]] = defaultdict(list)
    functions: dict[str, list[Length]] = defaultdict(list)
    code: dict[str, int] = {}
    for file in sorted(root.rglob("*.py")):
        text, name = file.read_text(encoding="utf-8"), file.relative_to(root).as_posix()
        folder = name.split("/")[0] if "/" in name else "."
        folders[folder].append(Length(len(text.splitlines()), name))
        functions[folder] += functions_of(text, name)
        code[name] = code_lines(text)
    print(f"{'folder':12} {'files':>5} {'lines':>6} {'code':>6}  {'longest file':40} longest function")
    for folder, files in folders.items():
        counts = f"{len(files):5} {sum(file.lines for file in files):6} {sum(code[file.name] for file in files):6}"
        print(f"{folder:12} {counts}  {shown(files):40} {shown(functions[folder])}".rstrip())
    every = [file for files in folders.values() for file in files]
    core = sum(lines for name, lines in code.items() if name.split("/")[0] in CORE_FOLDERS or name in CORE_FILES)
    print(f"\npackage: {sum(file.lines for file in every)} lines, {sum(code.values())} of code")
    print(f"core ({', '.join((*CORE_FOLDERS, *CORE_FILES))}): {core} of {CORE} lines of code")
    passed = [("core", core, CORE)]
    passed += [(file.name, file.lines, FILE) for file in every]
    passed += [(one.name, one.lines, FUNCTION) for some in functions.values() for one in some]
    passed = [one for one in passed if one[1] > one[2]]
    for name, lines, limit in passed:
        print(f"size: {name} has {lines} lines; {limit} are allowed")
    return int(bool(passed))


def code_lines(text: str) -> int:
    """Return how many lines have code: no blank ones, no comments, no docstrings."""
    idle = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    tokens = (token for token in tokenize.generate_tokens(io.StringIO(text).readline) if token.type not in idle)
    lines = {line for token in tokens for line in range(token.start[0], token.end[0] + 1)}
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, documented) and ast.get_docstring(node, clean=False) is not None:
            lines -= set(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return len(lines)


def functions_of(text: str, name: str) -> list[Length]:
    """Return the length of every function and method, from ``def`` to its last line."""
    nodes = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return [Length((node.end_lineno or node.lineno) - node.lineno + 1, f"{name}:{node.name}") for node in nodes]


def shown(lengths: list[Length]) -> str:
    longest = max(lengths, default=None)
    return f"{longest.lines} {longest.name}" if longest else ""


if __name__ == "__main__":
    default = Path(__file__).resolve().parent.parent / "sfddm"
    sys.exit(main(Path(sys.argv[1]) if len(sys.argv) > 1 else default))
