"""A copy of the project in which the DAG runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FRONT_DOORS = [
    "Snakefile",
    "dvc.yaml",
    ".dvcignore",
    ".dvc/config",
    "params",
    "params.yaml",
    "workflow",
    "profiles",
    "sfddm",
]


class ProjectCopy:
    """A copy of everything but the tests; ``variables`` are set for the commands that run in it."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder, self.variables = folder, variables
        for name in FRONT_DOORS:
            source, target = ROOT / name, folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        tools = f"{self.folder / 'bin'}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": tools, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        environment = os.environ | own | self.variables
        return subprocess.run(
            arguments, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    def planned(self, *arguments: str) -> dict[str, int]:
        """Return how many jobs of each rule a dry run plans."""
        done = self.run("snakemake", "--cores", "8", "--dry-run", *arguments)
        assert done.returncode == 0, done.stderr
        statistics = done.stdout.partition("Job stats:")[2] or done.stderr.partition("Job stats:")[2]
        counts = re.findall(r"^([a-z_]+) +(\d+)$", statistics.partition("\ntotal")[0], flags=re.MULTILINE)
        return {rule: int(count) for rule, count in counts if rule != "table"}

    def edit(self, file: str, old: str, new: str) -> None:
        path = self.folder / file
        text = path.read_text()
        assert old in text, f"{file} no longer holds {old!r}"
        path.write_text(text.replace(old, new))
