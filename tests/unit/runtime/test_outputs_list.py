"""The list of outputs in each folder, and what a failure on the way leaves."""

from __future__ import annotations

import tempfile
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.every_verb import snapshot

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file, atomic_folder, write_json
from sfddm.runtime.outputs import check_folder


def test_what_appears_while_a_folder_is_written_stays(tmp_path: Path) -> None:
    def write() -> None:
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "file").write_text("new")
            (tmp_path / "folder").mkdir()
            (tmp_path / "folder" / "thesis").write_text("x")

    with pytest.raises(SfddmError, match="thesis"):
        write()
    assert snapshot(tmp_path) == {"folder": ("folder", None), "folder/thesis": ("file", b"x")}


def test_the_list_grows_by_new_contents_only(tmp_path: Path) -> None:
    for content in ("a", "b", "a", "b", "a"):
        write_json(tmp_path / "file.json", content)
    assert len((tmp_path / ".sfddm-outputs").read_text().splitlines()) == 2


def test_something_else_of_the_lists_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("a thesis")
    for make in (
        lambda path: path.write_text("a thesis"),
        lambda path: path.symlink_to(tmp_path / "other"),
        lambda path: path.symlink_to(tmp_path / "nowhere"),
        lambda path: path.mkdir(),
    ):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        make(folder / ".sfddm-outputs")
        before = snapshot(tmp_path)
        with pytest.raises(SfddmError, match=r"\.sfddm-outputs: not a file that sfddm wrote"):
            write_json(folder / "file.json", 1)
        assert snapshot(tmp_path) == before


def _write_some(folder: Path, number: int) -> None:
    for part in range(20):
        write_json(folder / f"{number}-{part}.json", part)


def test_jobs_side_by_side_lose_no_line(tmp_path: Path) -> None:
    workers = [get_context("fork").Process(target=_write_some, args=(tmp_path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len((tmp_path / ".sfddm-outputs").read_text().splitlines()) == 80
    _write_some(tmp_path, 3)


def test_a_kill_between_list_and_file_leaves_what_can_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "file.json", "old")

    def killed(*given: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_json(tmp_path / "file.json", "new")
    assert (tmp_path / "file.json").read_text() == '"old"\n'
    write_json(tmp_path / "file.json", "newer")


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(content: str) -> None:
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "file").write_text(content)

    write("old")
    before, replace, calls = snapshot(tmp_path), Path.replace, []

    def fails_the_second_time(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise OSError("no")
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails_the_second_time)
        with pytest.raises(OSError, match="no"):
            write("new")
    assert {path: entry for path, entry in snapshot(tmp_path).items() if entry[0] == "file"} == {
        path: entry for path, entry in before.items() if entry[0] == "file"
    }
    write("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]


def test_the_root_of_the_file_system_is_no_output() -> None:
    with pytest.raises(SfddmError, match="/: is or contains the working folder"):
        check_folder(Path("/"))


def test_names_that_no_list_can_hold_are_written_once(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a\nb") as temporary:
        np.save(temporary.open("wb"), np.zeros(1))
    with pytest.raises(SfddmError, match="not a file that sfddm wrote"), atomic_file(tmp_path / "a\nb"):
        pass
