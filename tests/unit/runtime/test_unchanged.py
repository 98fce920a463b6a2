"""Outputs against their digests, and the command that makes one again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file, atomic_folder, read_json, whole_file, write_json
from sfddm.runtime.unchanged import check_unchanged, remake, states_below


def write(path: Path, content: str = "whole") -> Path:
    with atomic_file(path) as temporary:
        temporary.write_text(content)
    return path


def test_any_content_that_was_listed_is_whole_and_no_other(tmp_path: Path) -> None:
    path = write(write(tmp_path / "file"), "second")
    check_unchanged(path)
    path.write_text("whole")  # as git or DVC bring it back
    assert check_unchanged(path) == path
    path.write_text("changed")
    with pytest.raises(SfddmError, match="was changed since it was written, its sha256 is "):
        check_unchanged(path)


def test_what_was_read_is_what_is_compared(tmp_path: Path) -> None:
    path = write(tmp_path / "file")
    check_unchanged(path, b"whole")
    with pytest.raises(SfddmError, match="was changed"):
        check_unchanged(path, b"other")


def test_the_list_of_a_folder_holds_what_lies_deeper(tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "model") as temporary:
        (temporary / "unet").mkdir()
        (temporary / "unet" / "config.json").write_text("{}")
    path = tmp_path / "model" / "unet" / "config.json"
    check_unchanged(path)
    path.write_text("{ }")
    with pytest.raises(SfddmError, match=r"unet/config\.json: was changed"):
        check_unchanged(path)


def test_a_file_in_no_list_passes(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("1")
    write(tmp_path / "file")
    assert read_json(tmp_path / "other.json") == 1


def test_a_checkpoint_is_listed_and_may_be_replaced_whatever_it_holds(tmp_path: Path) -> None:
    for content in ("first", "second"):
        with whole_file(tmp_path / "checkpoint") as temporary:
            temporary.write_text(content)
        check_unchanged(tmp_path / "checkpoint")
        (tmp_path / "checkpoint").write_text("changed")
        with pytest.raises(SfddmError, match=r"was changed.*; delete it"):
            check_unchanged(tmp_path / "checkpoint", again="delete it")


def test_a_json_file_is_held_against_the_list(tmp_path: Path) -> None:
    write_json(tmp_path / "score.json", {"value": 1})
    (tmp_path / "score.json").write_text('{"value": 2}')
    with pytest.raises(SfddmError, match=r"score\.json: was changed since it was written"):
        read_json(tmp_path / "score.json")


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_what_is_no_file_is_not_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it.json"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    for read in (check_unchanged, read_json):
        with pytest.raises(SfddmError, match=r"it\.json: is not a file"):
            read(path)


def test_states_of_a_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for name in ("whole", "changed", "gone", "seed-0/.x.origin.json"):
        write(run / name)
    write(run / "logs" / "unread")
    (run / "seed-0" / "old").write_text("no digest")
    (run / "seed-0" / "again").symlink_to(run)
    (run / "changed").write_text("x")
    (run / "gone").unlink()
    (run / "logs" / "unread").write_text("x")
    expected = {
        "changed": "changed", "gone": "gone", "seed-0/.x.origin.json": "whole", "seed-0/old": "no digest",
        "whole": "whole",
    }  # fmt: skip
    assert {str(path.relative_to(run)): state for path, state in states_below(run)} == expected
    assert list(states_below(run / "whole")) == [(run / "whole", "whole")]


def test_the_command_that_makes_it_again(tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    row, model = reports / "runs" / "smoke" / "seed-0" / "ddim", reports / "runs" / "smoke" / "seed-0" / "ddim" / "fold"
    (model / "unet").mkdir(parents=True)
    (model / ".snakemake_timestamp").touch()
    write(row / "reference" / "features.npz")
    again = "make it again with `snakemake --cores 1 --force reports/"
    in_row = f"{again}runs/smoke/seed-0/ddim/"
    assert remake(row / "score.json") == f"{in_row}score.json`"
    assert remake(row / ".score.json.origin.json") == f"{in_row}score.json`"
    assert remake(row / ".reference.origin.json") == f"{in_row}reference/features.npz`"
    assert remake(model / "unet" / "config.json") == f"{in_row}fold`"
    assert remake(reports / "table.html") == f"{again}table.html`"
    assert remake(reports / "a b") == "make it again with `snakemake --cores 1 --force 'reports/a b'`"
    assert remake(reports / "records" / "x" / "table.md") == (
        "`git checkout -- reports/records/x/table.md` brings it back"
    )


def test_outside_of_reports_the_verb_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "score.json")
    assert remake(path) == "remove it and make it again"
    (tmp_path / ".score.json.origin.json").write_text(json.dumps({"kind": "score"}))
    assert remake(path) == "remove it and make it again with `sfddm evaluate`"
    (tmp_path / ".model.origin.json").write_text(json.dumps({"kind": "pairs"}))
    assert remake(tmp_path / "model" / "images.npy") == "remove it and make it again with `sfddm pairs`"
    (tmp_path / ".score.json.origin.json").write_text("[")
    assert remake(path) == "remove it and make it again"
