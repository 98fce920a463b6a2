"""Stores: what is written comes back, and what is damaged does not open."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tiny_data import (
    LABELS,
    pictures,
    refused,
    section,
    sha256,
)

from sfddm.data import store as store_module
from sfddm.data.store import Store, open_store, write_store
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import write_json

ZEROS = "0" * 64


def stored(folder: Path, images: np.ndarray, labels: list[int], **options: Any) -> Store:
    given = {"label": "tiny", "source": {"source": "none"}, "count": None, **options}
    pairs = zip(images, labels, strict=True)
    write_store(folder, shape=images.shape[1:], examples=pairs, **given)
    return open_store(folder)


# The store


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [5, None])
def test_store_gives_back_what_was_written(tmp_path: Path, channels: int, count: int | None) -> None:
    images = pictures(5, 6, 7, channels)
    store = stored(tmp_path / "store", images, LABELS, count=count, class_names=tuple("abcdef"))
    np.testing.assert_array_equal(store.images, images)
    np.testing.assert_array_equal(store.labels, LABELS)
    assert store.labels.dtype == np.int64
    assert not store.images.flags.writeable
    assert isinstance(store.images, np.memmap)
    assert store.manifest["shape"] == [5, 6, 7, channels]
    assert store.manifest["label"] == "tiny"
    assert store.manifest["source"] == {"source": "none"}
    assert store.manifest["class_names"] == list("abcdef")
    assert np.load(tmp_path / "store" / "images.npy").shape == images.shape
    assert store.manifest["sha256"]["images.npy"] == sha256((tmp_path / "store" / "images.npy").read_bytes())


def test_store_header_has_room_for_a_large_count(tmp_path: Path) -> None:
    images = pictures(12_345, 1, 1, 1)
    assert stored(tmp_path / "store", images, [0] * 12_345).images.shape == (12_345, 1, 1, 1)


def test_store_larger_than_memory_is_streamed(tmp_path: Path) -> None:
    image = pictures(512, 512, 3)
    tracemalloc.start()
    try:
        examples = ((image.copy(), 0) for _ in range(40))
        write_store(tmp_path / "store", "tiny", {}, image.shape, examples, count=40)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 * image.nbytes


def test_digest_is_that_of_the_content_alone(tmp_path: Path) -> None:
    images = pictures(5, 4, 4, 1)
    first = stored(tmp_path / "a", images, LABELS)
    assert stored(tmp_path / "b", images, LABELS, label="other", source={"folder": "/elsewhere"}).digest == first.digest
    assert stored(tmp_path / "c", images, LABELS[::-1]).digest != first.digest
    assert stored(tmp_path / "d", images[::-1], LABELS).digest != first.digest
    assert stored(tmp_path / "e", images, LABELS, class_names=tuple("abcdef")).digest != first.digest


def test_store_is_replaced_as_a_whole(tmp_path: Path) -> None:
    stored(tmp_path / "store", pictures(5, 4, 4, 1), LABELS)
    assert len(stored(tmp_path / "store", pictures(2, 4, 4, 1), [0, 1]).images) == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        ".sfddm-outputs",
        "images.npy",
        "labels.npy",
        "manifest.json",
        "store",
    ]


# Stores


def tiny_store(folder: Path) -> Path:
    images = pictures(5, 4, 4, 1)
    write_store(folder, "tiny", {}, (4, 4, 1), zip(images, LABELS, strict=True), count=5)
    return folder


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "manifest.json"])
@pytest.mark.parametrize("damage", ["absent", "empty", "cut in the header", "one byte short", "one byte longer"])
def test_a_damaged_store_does_not_open(tmp_path: Path, name: str, damage: str) -> None:
    path = tiny_store(tmp_path / "store") / name
    content = path.read_bytes()
    damaged = {"empty": b"", "cut in the header": content[:30], "one byte short": content.rstrip()[:-1]}
    if damage == "absent":
        path.unlink()
    else:
        path.write_bytes(damaged.get(damage, content + b"x"))
    with pytest.raises(SfddmError, match=name):
        open_store(tmp_path / "store")


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SfddmError, match="no such store"):
        open_store(tmp_path / "store")


@pytest.mark.parametrize(
    "change",
    [{"count": 4}, {"shape": [4, 4, 4, 1]}, {"label": "other"}, {"source": {"source": "x"}}, {"digest": ZEROS}],
)
def test_a_manifest_that_was_edited(tmp_path: Path, change: dict[str, Any]) -> None:
    path = tiny_store(tmp_path / "store") / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    (path.parent / ".sfddm-outputs").unlink()  # its own digest is enough
    with pytest.raises(SfddmError, match=r"manifest\.json: was changed, its content does not fit its content_sha256"):
        open_store(tmp_path / "store")


def test_a_manifest_of_another_time(tmp_path: Path) -> None:
    path = tiny_store(tmp_path / "store") / "manifest.json"
    content = json.loads(path.read_text())
    write_json(path, content | {"schema": 2}, with_digest=True)
    with pytest.raises(SfddmError, match="schema 1"):
        open_store(tmp_path / "store")
    del content["content_sha256"]
    write_json(path, content)
    with pytest.raises(SfddmError, match=r"manifest\.json: lacks content_sha256"):
        open_store(tmp_path / "store")


def test_images_of_another_store(tmp_path: Path) -> None:
    tiny_store(tmp_path / "store")
    np.save(tmp_path / "store" / "images.npy", pictures(4, 4, 4, 1))
    with pytest.raises(SfddmError, match=r"images\.npy: its sha256 is .*, but the manifest says"):
        open_store(tmp_path / "store")


@pytest.mark.parametrize(
    ("examples", "options", "sentence"),
    [
        ([], {}, "no images"),
        ([(pictures(4, 4, 1), 0)] * 3, {"count": 4}, "announced 4 images but gave 3"),
        ([(pictures(4, 4, 1), 0)] * 5, {"count": 4}, "announced 4 images but gave 5"),
        ([(pictures(4, 4, 1), 0), (pictures(4, 5, 1), 0)], {}, r"image 1 is uint8 \(4, 5, 1\)"),
        ([(pictures(4, 4, 1).astype(float), 0)], {}, "image 0 is float64"),
        ([(pictures(4, 4, 1), 2)], {"class_names": ("a", "b")}, "label 2; -1 .none. to 1 is allowed"),
        ([(pictures(4, 4, 1), -2)], {}, "label -2"),
    ],
)
def test_a_store_is_not_written_from_wrong_examples(
    tmp_path: Path, examples: list[Any], options: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(SfddmError, match=sentence):
        write_store(tmp_path / "s", "x", {}, (4, 4, 1), iter(examples), **{"count": None, **options})
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_older_store(tmp_path: Path) -> None:
    digest = open_store(tiny_store(tmp_path / "store")).digest

    def breaking() -> Iterator[Any]:
        yield pictures(4, 4, 1), 0
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_store(tmp_path / "store", "x", {}, (4, 4, 1), breaking(), count=None)
    assert open_store(tmp_path / "store").digest == digest
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_no_space_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        array = np.asarray

        def __getattr__(self, name: str) -> Any:
            return getattr(np, name)

        def save(self, *_: Any) -> None:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(store_module, "np", Full())
    refused(section("sklearn-digits"), tmp_path, "no space left", "out/train")
