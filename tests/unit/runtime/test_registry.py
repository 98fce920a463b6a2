"""``registry``: entries of a folder, of plug-in files, and what is wrong with them in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sfddm.methods.base import Method
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.registry import PLUGINS, entries, find, source_file


def plug_in(folder: Path, name: str, text: str) -> Path:
    file = folder / f"{name}.py"
    file.write_text(text)
    return file


ONE = "from sfddm.methods.ddim import DDIM\n\nclass Mine(DDIM):\n    name = '{name}'\n"


def test_a_folder_gives_its_entries_in_order() -> None:
    names = list(entries("sfddm.methods", Method))
    assert names == sorted(names)
    assert {"ddim", "sfddm", "teacher"} <= set(names)


def test_a_file_adds_an_entry_and_leaves_with_the_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = plug_in(tmp_path, "one", ONE.format(name="mine"))
    monkeypatch.setenv(PLUGINS, str(file))
    assert source_file(find("sfddm.methods", Method, "mine", "method")) == file
    monkeypatch.delenv(PLUGINS)
    with pytest.raises(SfddmError, match=r"method: there is no 'mine'; known: .*ddim"):
        find("sfddm.methods", Method, "mine", "method")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("taken", ONE.format(name="ddim"), "defines 'ddim', which sfddm.methods.ddim defines too"),
        ("broken", "x =", r"cannot be imported \(SyntaxError"),
        ("raising", "raise RuntimeError('no')", r"cannot be imported \(RuntimeError: no\)"),
    ],
)
def test_a_wrong_plug_in_is_told_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, sentence: str
) -> None:
    monkeypatch.setenv(PLUGINS, str(plug_in(tmp_path, name, text)))
    with pytest.raises(SfddmError, match=sentence):
        entries("sfddm.methods", Method)


def test_a_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLUGINS, "/nowhere/plug.py")
    with pytest.raises(SfddmError, match=r"/nowhere/plug\.py"):
        entries("sfddm.methods", Method)


def test_two_files_of_one_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    files = [plug_in(tmp_path / folder, "same", ONE.format(name=f"of-{folder}")) for folder in ("a", "b")]
    monkeypatch.setenv(PLUGINS, os.pathsep.join(map(str, files)))
    with pytest.raises(SfddmError, match=r"a/same\.py and .*b/same\.py have one name"):
        entries("sfddm.methods", Method)
