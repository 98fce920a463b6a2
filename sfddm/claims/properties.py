"""Properties of the code: which tests the claims name, and a run of just these."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path

from sfddm.claims.claim import Claim
from sfddm.claims.kinds.without_figures import Invariant
from sfddm.results.files import checked
from sfddm.results.properties import NodeOutcome, Properties
from sfddm.runtime.files import digest_of
from sfddm.runtime.provenance import PACKAGE, ROOT, git_commit, library_versions


def named_tests(claims: Iterable[Claim]) -> tuple[str, ...]:
    """Return the node ids that the claims name, each once, in alphabetical order."""
    return tuple(sorted({node for claim in claims if isinstance(claim.test, Invariant) for node in claim.test.tests}))


def files_of(nodes: Iterable[str], root: Path = ROOT.parent) -> list[Path]:
    """Return the files that the outcome of these tests depends on, where they exist: theirs, and what tests share."""
    named = {root / node.partition("::")[0] for node in nodes}
    shared = {root / "tests" / "conftest.py", *(root / "tests" / "support").glob("*.py")}
    return sorted(file for file in named | shared if file.is_file())


def package_digest() -> str:
    """Return the sha256 of every module of the package as it stands: a test may reach any of them."""
    files = {str(file.relative_to(ROOT)): file.read_bytes() for file in ROOT.rglob("*.py")}
    return digest_of({name: hashlib.sha256(content).hexdigest() for name, content in files.items()})


def run_properties(nodes: Sequence[str], root: Path = ROOT.parent) -> Properties:
    """Run tests in one process, on one thread, and return what came of each.

    Args:
        nodes: pytest node ids, without parameters: all cases of a function are run.
        root: the folder of the checkout, which holds ``tests``.
    """
    reason = _why_not(root)
    outcomes: tuple[NodeOutcome, ...] = ()
    if not reason and nodes:
        outcomes, reason = _outcomes(nodes, root)
    versions = library_versions() | ({} if _lacks_pytest() else {"pytest": version("pytest")})
    return Properties(commit=git_commit(), versions=versions, tests=outcomes, reason=reason)


def _why_not(root: Path) -> str:
    if not (root / "tests").is_dir():
        return f"there is no folder tests beside the package {PACKAGE}: it runs in a checkout only"
    return "pytest is not installed" if _lacks_pytest() else ""


def _lacks_pytest() -> bool:
    return importlib.util.find_spec("pytest") is None


def _outcomes(nodes: Sequence[str], root: Path) -> tuple[tuple[NodeOutcome, ...], str]:
    """Return the outcomes, or why there are none."""
    # Whatever else is set for pytest or names plug-ins of a user's would make other tests of these.
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "SFDDM_"))}
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    fixed = threads | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONHASHSEED": "0"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "outcomes.json"
        command = [sys.executable, "-m", "sfddm.claims.node_outcomes", str(out), *nodes]
        done = subprocess.run(command, cwd=root, env=kept | fixed, check=False)
        if done.returncode or not out.is_file():
            return (), f"pytest ended with status {done.returncode} before it could say what came of the tests"
        found = json.loads(out.read_text(encoding="utf-8"))
        return tuple(checked(one, NodeOutcome, out) for one in found), ""
