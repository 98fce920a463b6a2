"""The digest of a stage's code: what must change it and what must not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sfddm.runtime import provenance
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.provenance import closure, code_digest, git_commit, hardware, library_versions

MODULES = {
    "__init__.py": '"""The package."""\n',
    "stage.py": '"""A stage."""\nfrom sfddm.top import number\n\ndef run():\n    "Runs."\n    from .inner import late\n'
    "    return late, number\n",
    "top.py": "number = 1\n",
    "inner/__init__.py": "",
    "inner/late.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from sfddm import types\nlate = 2\n",
    "types.py": "x: int\n",
    "unrelated.py": "import sfddm.top\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package in the place of this one."""
    for name, text in MODULES.items():
        file = tmp_path / "sfddm" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "sfddm")
    clear_caches()
    return tmp_path / "sfddm"


def clear_caches() -> None:
    for function in (provenance._tree, provenance._imported, provenance._module_digest, git_commit):
        function.cache_clear()


def digest_after(file: Path, text: str, stage: str = "sfddm.stage") -> str:
    file.write_text(text)
    clear_caches()
    return code_digest(stage)


def test_the_closure_follows_imports_at_the_top_and_inside_functions_but_not_those_for_type_checkers(
    package: Path,
) -> None:
    assert closure("sfddm.stage") == ["sfddm", "sfddm.inner", "sfddm.inner.late", "sfddm.stage", "sfddm.top"]


def test_a_plug_in_counts_with_what_it_imports_from_here_and_from_its_own_package(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/__init__.py").touch()
    (tmp_path / "mine/part.py").write_text("import json\n")
    (tmp_path / "mine/plug.py").write_text("import numpy\nfrom . import part\nfrom sfddm.top import number\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert closure("mine.plug") == ["mine", "mine.part", "mine.plug", "sfddm", "sfddm.top"]
    before = code_digest("mine.plug")
    assert digest_after(tmp_path / "mine/part.py", "import csv\n", "mine.plug") != before
    with pytest.raises(SfddmError, match=r"mine\.absent: there is no such module"):
        closure("mine.absent")


def test_only_what_runs_changes_the_digest(package: Path) -> None:
    before = code_digest("sfddm.stage")
    assert digest_after(package / "top.py", '"""New."""\n# A comment.\nnumber = (  1 )\n') == before
    assert digest_after(package / "unrelated.py", "changed = 1\n") == before
    assert digest_after(package / "types.py", "y: int\n") == before
    assert digest_after(package / "top.py", "number = 3\n") != before
    assert digest_after(package / "top.py", MODULES["top.py"]) == before
    assert digest_after(package / "inner/late.py", "late = '2'\n") != before


def test_other_files_count_byte_for_byte(package: Path, tmp_path: Path) -> None:
    style = tmp_path / "report.css"
    style.write_text("a {}")
    before = code_digest("sfddm.stage", files=[style])
    style.write_text("a { }")
    assert code_digest("sfddm.stage", files=[style]) != before


def test_files_of_one_name_in_two_folders_of_the_package_both_count(package: Path) -> None:
    files = [package / "one" / "page.css", package / "two" / "page.css"]
    for file in files:
        file.parent.mkdir()
        file.write_text("a {}")
    before = code_digest("sfddm.stage", files=files)
    for file in files:
        file.write_text("a { }")
        assert code_digest("sfddm.stage", files=files) != before
        file.write_text("a {}")


def test_a_missing_module_is_an_error(package: Path) -> None:
    (package / "top.py").unlink()
    clear_caches()
    with pytest.raises(SfddmError, match=r"sfddm\.top: there is no such module"):
        code_digest("sfddm.stage")


def test_the_commit_says_whether_the_tree_differs(package: Path) -> None:
    assert git_commit() == "unknown"
    top = package.parent

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        command = ["git", "-C", str(top), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "First")
    clear_caches()
    commit = git("rev-parse", "HEAD")
    assert git_commit() == commit
    (package / "top.py").write_text("number = 5\n")
    clear_caches()
    assert git_commit() == f"{commit}+dirty"


def test_versions_and_hardware_are_named() -> None:
    assert {"python", "torch", "numpy", "torch-fidelity"} <= library_versions().keys()
    assert "unknown" not in hardware()
