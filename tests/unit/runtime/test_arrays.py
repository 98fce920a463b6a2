"""Files of arrays: whole ones are read, all else is refused before memory is taken."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sfddm.runtime import arrays
from sfddm.runtime.arrays import open_array, read_archive
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_an_array_is_mapped(tmp_path: Path) -> None:
    (tmp_path / "it.npy").write_bytes(npy(np.arange(6).reshape(2, 3)))
    found = open_array(tmp_path / "it.npy")
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert not found.flags.writeable


@pytest.mark.parametrize(
    "content",
    [
        b"",
        npy(np.arange(6))[:-1],
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (9000000000000000, 9), }\n"),
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (-1,), }\n"),
        header("{'descr': '|u1', 'fortran_order': False, 'shape': (2"),
        header("{'descr': '\n"),
        header("[" * 5000),
        npy(np.array([{}], dtype=object)),
    ],
)
def test_a_damaged_array_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it.npy").write_bytes(content)
    with pytest.raises(SfddmError, match=r"it\.npy: not a whole \.npy file"):
        open_array(tmp_path / "it.npy")


def test_an_archive_is_no_array(tmp_path: Path) -> None:
    np.savez(tmp_path / "it.npz", a=np.zeros(2))
    (tmp_path / "it.npz").rename(tmp_path / "it.npy")
    with pytest.raises(SfddmError, match="an archive, not one array"):
        open_array(tmp_path / "it.npy")


def test_an_archive_is_read_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "it.npz", a=np.zeros(2), b=np.array("x"))
    found = read_archive(tmp_path / "it.npz")
    assert {name: array.tolist() for name, array in found.items()} == {"a": [0, 0], "b": "x"}


def test_an_archive_that_promises_more_than_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(1_000_000))
    monkeypatch.setattr(arrays, "memory", lambda: 7_999_999)
    with pytest.raises(SfddmError, match=r"bomb\.npz: promises 8,000,\d+ bytes of arrays; this machine has 7,999,999"):
        read_archive(tmp_path / "bomb.npz")


def test_other_members_and_damaged_archives(tmp_path: Path) -> None:
    for name, content in {"a.txt": b"text", "b.npy": header("{"), "c.npy": npy(np.array([{}], dtype=object))}.items():
        with zipfile.ZipFile(tmp_path / "it.npz", "w") as archive:
            archive.writestr(name, content)
        with pytest.raises(SfddmError, match=r"it\.npz: not an archive of arrays"):
            read_archive(tmp_path / "it.npz")


def test_changed_arrays_are_refused(tmp_path: Path) -> None:
    for name in ("it.npy", "it.npz"):
        with atomic_file(tmp_path / name) as temporary, temporary.open("wb") as file:
            np.save(file, np.zeros(4)) if name == "it.npy" else np.savez(file, a=np.zeros(4))
        whole = (tmp_path / name).read_bytes()
        read = open_array if name == "it.npy" else read_archive
        read(tmp_path / name)
        (tmp_path / name).write_bytes(whole[:-1] + b"\x01")
        with pytest.raises(SfddmError, match=f"{name}: was changed since it was written"):
            read(tmp_path / name)
