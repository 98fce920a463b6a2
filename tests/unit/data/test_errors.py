"""Bad data: one clear sentence that names the file, and nothing half-written."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support.tiny_data import (
    LABELS,
    cifar_section,
    cut,
    idx_bytes,
    pictures,
    png,
    refused,
    section,
    write_cifar,
    write_idx,
    write_lmdb,
    write_parquet,
)

from sfddm.data.fetch import fetch
from sfddm.data.store import open_store
from sfddm.runtime.errors import SfddmError

ZEROS = "0" * 64


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


# Sections


@pytest.mark.parametrize(
    ("source", "keys", "sentence"),
    [
        ("sklearn-digits", {"splits": ["train", "test"]}, "one split only"),
        ("sklearn-digits", {"splits": []}, "at least 1 item"),
        ("sklearn-digits", {"splits": ["train", "train"]}, "twice"),
        ("sklearn-digits", {"folder": "x"}, "Extra inputs"),
        ("sklearn-digits", {"channels": 4}, "Input should be 1 or 3"),
        (
            "idx",
            {"downloads": {"train.gz": {"url": "http://x/y", "sha256": ZEROS}}},
            "train-images-idx3-ubyte.gz",
        ),
        ("idx", {"downloads": {"train-images-idx3-ubyte.gz": {"url": "x", "sha256": ZEROS}}}, "url"),
        ("parquet", {"files": {"train": ["a"]}, "splits": ["train", "test"]}, "files has no entry for test"),
        ("parquet", {"files": {"train": []}}, "at least 1 item"),
        ("parquet", {"files": {"train": ["a"]}, "sha256": {"train": [ZEROS] * 2}}, "2 digests for 1 files"),
        ("imagefolder", {"folders": {}}, "folders has no entry for train"),
        ("lsun-lmdb", {"folders": {}}, "folders has no entry for train"),
        ("lsun-lmdb", {"folders": {"train": "a"}, "fraction": 0}, "greater than 0"),
        ("cifar10", {}, "archive, download or both"),
        ("hub", {"repo": "a/b", "revision": "main", "files": {"train": ["a"]}}, "revision"),
        ("hub", {"repo": "a/b", "revision": "0" * 40, "files": {}}, "files has no entry for train"),
    ],
)
def test_a_wrong_section(source: str, keys: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        section(source, **keys)


# Files that are missing


@pytest.mark.parametrize(
    ("source", "keys", "word"),
    [
        ("idx", {"folders": ["absent"]}, "train-images-idx3-ubyte"),
        ("parquet", {"files": {"train": ["absent.parquet"]}}, "absent.parquet"),
        ("parquet", {"files": {"train": ["absent.parquet"]}, "sha256": {"train": [ZEROS]}}, "absent.parquet"),
        ("imagefolder", {"folders": {"train": "absent"}}, "data.folders.train"),
        ("cifar10", {"archive": "absent.tar.gz"}, "absent.tar.gz"),
        ("lsun-lmdb", {"folders": {"train": "absent"}}, "data.folders.train"),
    ],
)
def test_a_missing_file(tmp_path: Path, source: str, keys: dict[str, Any], word: str) -> None:
    refused(section(source, **keys), tmp_path, word)


# idx


@pytest.mark.parametrize(
    ("images", "labels", "word"),
    [
        (idx_bytes(pictures(5, 8, 8))[:-1], None, "truncated; its header promises 5 entries, 4 are whole"),
        (gzip.compress(idx_bytes(pictures(5, 8, 8)))[:-20], None, "truncated or damaged gzip"),
        (gzip.compress(idx_bytes(pictures(5, 8, 8)))[:-8] + bytes(8), None, "truncated or damaged gzip"),
        (gzip.compress(idx_bytes(pictures(5, 8, 8)))[:40] + b"x" * 99, None, "truncated or damaged gzip"),
        (idx_bytes(pictures(5, 8, 8)) + b"x", None, "has bytes after"),
        (b"", None, "begins with nothing"),
        (idx_bytes(pictures(5, 8, 8))[:9], None, "truncated in its header"),
        (idx_bytes(pictures(5, 64)), None, "00000803"),
        (None, idx_bytes(pictures(5, 1, 1)), "00000801"),
        (None, idx_bytes(pictures(4)), "5 images"),
        (None, idx_bytes(pictures(5))[:-1], "labels-idx1-ubyte.gz: truncated"),
        (None, idx_bytes(pictures(5)) + b"x", "labels-idx1-ubyte.gz: has bytes after"),
    ],
)
def test_a_damaged_idx_file(tmp_path: Path, images: bytes | None, labels: bytes | None, word: str) -> None:
    write_idx(tmp_path / "idx", pictures(5, 8, 8), LABELS)
    if images is not None:
        (tmp_path / "idx" / "train-images-idx3-ubyte.gz").write_bytes(images)
    if labels is not None:
        (tmp_path / "idx" / "train-labels-idx1-ubyte.gz").write_bytes(labels)
    refused(section("idx", folders=[tmp_path / "idx"]), tmp_path, word, "-ubyte.gz")


# parquet


def parquet_section(path: Path, **keys: Any) -> Any:
    return section("parquet", files={"train": [path]}, **keys)


def test_damaged_parquet_files(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [png(pictures(8, 8))] * 4, [0] * 4)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    refused(parquet_section(path), tmp_path, "a.parquet: not a whole parquet file")
    path.write_bytes(content[:4] + bytes(60) + content[64:])
    refused(parquet_section(path), tmp_path, "a.parquet")
    refused(parquet_section(path, sha256={"train": [ZEROS]}), tmp_path, "a.parquet: its sha256 is", ZEROS)


def test_parquet_columns_that_do_not_fit(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [png(pictures(8, 8))] * 2, ["cat", "dog"])
    refused(parquet_section(path), tmp_path, "column 'label' is string; labels must be integers")
    refused(parquet_section(path, image_column="image"), tmp_path, "no column 'image'", "it has img, label")
    refused(parquet_section(path, image_column="label"), tmp_path, "column 'label' is string; images are binary")


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        (None, "holds no image bytes"),
        (b"not an image", "row 3: not a whole image file (unknown format)"),
        (png(pictures(64, 64))[:2000], "row 3: not a whole image file (image file is truncated"),
        (png(np.zeros((8, 8), np.uint16)), "more than 8 bits"),
        (png(pictures(8, 9)), "row 3: the image is 9x8 pixels but the first one is 8x8"),
    ],
)
def test_a_parquet_cell_that_is_no_image(tmp_path: Path, cell: bytes | None, word: str) -> None:
    cells = [png(pictures(8, 8))] * 3 + [cell]
    path = write_parquet(tmp_path / "a.parquet", cells, [0] * 4)
    refused(parquet_section(path), tmp_path, "a.parquet row 3", word)


# Sizes


def test_mixed_sizes_name_the_file_and_both_sizes(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(pictures(8, 10)))
    (folder / "b.png").write_bytes(png(pictures(9, 10)))
    data = section("imagefolder", folders={"train": folder})
    refused(data, tmp_path, "b.png", "10x9", "10x8", "data.center_crop")
    fetch(section("imagefolder", folders={"train": folder}, center_crop=8), tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    data = section("imagefolder", folders={"train": folder}, center_crop=9)
    refused(data, tmp_path, "a.png", "10x8", "too small for data.center_crop 9", "at most 8")


def test_an_image_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    refused(section("imagefolder", folders={"train": tmp_path / "in"}), tmp_path, "no image in it", ".png")


def test_an_image_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").symlink_to(tmp_path / "nowhere.png")
    refused(section("imagefolder", folders={"train": tmp_path / "in"}), tmp_path, "a.png: no such file")


def test_the_first_split_stays_whole_when_the_second_fails(tmp_path: Path) -> None:
    write_idx(tmp_path / "idx", pictures(5, 8, 8), LABELS)
    write_idx(tmp_path / "idx", pictures(5, 8, 8), LABELS, prefix="t10k", gz=False)
    cut(tmp_path / "idx" / "t10k-images-idx3-ubyte", 100)
    with pytest.raises(SfddmError, match="t10k"):
        fetch(section("idx", folders=[tmp_path / "idx"], splits=["train", "test"]), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train"]
    open_store(tmp_path / "out" / "train")


# CIFAR-10


@pytest.mark.parametrize("keep", [0.5, 0.97])
def test_a_truncated_cifar_archive(tmp_path: Path, keep: float) -> None:
    path = write_cifar(tmp_path / "c.tar.gz", pictures(6, 32, 32, 3), [0] * 6)
    cut(path, int(path.stat().st_size * keep))
    refused(cifar_section(path), tmp_path, "c.tar.gz: truncated or damaged archive")


def test_a_cifar_archive_that_is_another_one(tmp_path: Path) -> None:
    path = write_cifar(tmp_path / "c.tar.gz", pictures(6, 32, 32, 3), [0] * 6)
    download = {"url": "http://127.0.0.1:9/c.tar.gz", "sha256": ZEROS}
    refused(cifar_section(path, download=download), tmp_path, "c.tar.gz: truncated or another file", ZEROS)
    write_cifar(path, pictures(6, 32, 31, 3), [0] * 6)
    refused(cifar_section(path), tmp_path, "c.tar.gz: not CIFAR-10's binary version", "data_batch_1.bin")
    path.write_bytes(b"not an archive")
    refused(cifar_section(path), tmp_path, "c.tar.gz: truncated or damaged archive")


def test_a_cifar_label_out_of_range(tmp_path: Path) -> None:
    path = write_cifar(tmp_path / "c.tar.gz", pictures(6, 32, 32, 3), [0, 1, 2, 10, 4, 5])
    refused(cifar_section(path), tmp_path, "image 3 has label 10")


# LSUN


def test_damaged_lmdb_folders(tmp_path: Path) -> None:
    values = {bytes([65 + number]): png(pictures(8, 8)) * 40 for number in range(9)}
    folder = write_lmdb(tmp_path / "lmdb", values)
    data = section("lsun-lmdb", folders={"train": folder})
    cut(folder / "data.mdb", 20_000)
    refused(data, tmp_path, "data.mdb: truncated; it needs")
    cut(folder / "data.mdb", 100)
    refused(data, tmp_path, "data.mdb: not an lmdb environment")
    shutil.rmtree(folder)
    write_lmdb(folder, {b"A": b"not an image"})
    refused(data, tmp_path, "lmdb key A: not a whole image file")
