"""Files about the project agree with each other, and the table of sizes finds what is too long."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

import sfddm

ROOT = Path(__file__).resolve().parents[2]


def test_citation_changelog_and_package_name_one_version_and_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation.keys() >= {"message", "title", "authors", "type"}
    assert all(author.keys() == {"name"} for author in citation["authors"])
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert released[0] == (citation["version"], citation["date-released"])
    assert project["version"] == citation["version"] == sfddm.__version__
    assert project["license"] == citation["license"] == (ROOT / "LICENSE").read_text().split()[0]


def test_ci_runs_on_every_python_that_the_package_admits() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    job = workflow["jobs"]["check"]
    versions = [tuple(map(int, version.split("."))) for version in job["strategy"]["matrix"]["python"]]
    requires = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert requires == f">=3.{versions[0][1]},<3.{versions[-1][1] + 1}"
    assert versions == [(3, minor) for minor in range(versions[0][1], versions[-1][1] + 1)]
    assert job["steps"][-1] == {"run": "bash .ci/run"}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("def short():\n" + "    pass\n" * 59, None),
        ("class A:\n    def long(self):\n" + "        pass\n" * 60, "part/a.py:long has 61 lines; 60 are allowed"),
        ("# A comment.\n" * 351, "part/a.py has 351 lines; 350 are allowed"),
    ],
)
def test_what_is_too_long_is_named(tmp_path: Path, lines: str, said: str | None) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.py").write_text(lines)
    command = [sys.executable, str(ROOT / "benchmarks" / "size.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == (said is not None)
    assert re.findall("size: (.*)", done.stdout) == ([said] if said else [])
    assert re.search(rf"^part +1 +{len(lines.splitlines())} ", done.stdout, re.M)


def test_lines_of_code_are_counted_without_what_explains_them(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    code = 'import os  # why\n\n# A comment.\nX = (\n    """no\ndocstring"""\n)\n'
    text = '"""Say\nwhat."""\n\n' + code + '\n\ndef f():\n    """Say."""\n    return os\n'
    (tmp_path / "part" / "a.py").write_text(text)
    command = [sys.executable, str(ROOT / "benchmarks" / "size.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.search(rf"^part +1 +{len(text.splitlines())} +7 ", done.stdout, re.M)
