"""The store: the one form in which every other part of the package sees images.

A store is a folder with ``images.npy`` (uint8, N H W C), ``labels.npy`` (int64, N; -1 where there is none)
and ``manifest.json``.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from sfddm.data.examples import NO_LABEL, Image
from sfddm.data.transform import Shape
from sfddm.runtime.arrays import open_array
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_folder, read_json, write_json
from sfddm.runtime.outputs import file_sha256

SCHEMA = 1
IMAGES, LABELS, MANIFEST = "images.npy", "labels.npy", "manifest.json"
BUFFER_BYTES = 4 << 20
#: Where classes have no names.
HIGHEST_LABEL = 1_000_000


@dataclass(frozen=True)
class Store:
    """An open store.

    Attributes:
        folder: where it lies.
        images: (N, H, W, C) uint8 in [0, 255], C = 1 or 3, 2 for points; mapped read-only, so nothing is loaded before
            it is used.
        labels: (N,) int64, -1 where there is none; mapped read-only.
        manifest: the content of ``manifest.json``.
        digest: sha256 of the content: images, labels, shape and class names, wherever they came from.
    """

    folder: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    manifest: Mapping[str, Any]
    digest: str


def write_store(
    folder: Path,
    label: str,
    source: Mapping[str, Any],
    shape: Shape,
    examples: Iterator[tuple[Image, int]],
    *,
    count: int | None,
    class_names: Sequence[str] = (),
) -> None:
    """Write a store; ``folder`` is either whole afterwards or as it was before.

    Images are written as they come, so a store may be larger than memory.

    Args:
        folder: the store; replaced where it is one that was written here, unchanged.
        label: how figures from these images are labelled.
        source: the spec's data section as JSON, for the manifest.
        shape: (H, W, C) of every image.
        examples: (image (H, W, C) uint8, label) pairs.
        count: how many there must be; None where it is not known beforehand.
        class_names: names of labels 0, 1, ...; empty where unknown.

    Raises:
        SfddmError: there are no images, not ``count`` of them, one of another shape or type, a label without
            a name, or no space.
    """
    with atomic_folder(folder) as temporary:
        labels = array("q")
        with (temporary / IMAGES).open("wb", buffering=BUFFER_BYTES) as file:
            _write_header(file, (0, *shape))
            start = file.tell()
            for image, class_index in examples:
                place = f"{folder}: image {len(labels)}"
                _check_image(place, image, shape)
                _check_label(place, class_index, class_names)
                file.write(image.tobytes())
                labels.append(class_index)
            _check_count(folder, len(labels), count)
            # The header keeps room for a longer first axis, so the count can be filled in when it is known.
            file.seek(0)
            _write_header(file, (len(labels), *shape))
            if file.tell() != start:
                raise RuntimeError("the header of the npy file changed its length")
        np.save(temporary / LABELS, np.asarray(labels, dtype=np.int64))
        content = _content(temporary, (len(labels), *shape), class_names)
        write_json(
            temporary / MANIFEST,
            {**content, "schema": SCHEMA, "label": label, "source": dict(source), "digest": _digest(content)},
            with_digest=True,
        )


def open_store(folder: Path) -> Store:
    """Open a store and check the sha256 of its files, which reads all of it: a second for a gigabyte.

    Raises:
        SfddmError: the folder or a file is missing, or a file's content is not what the manifest says.
    """
    if not folder.is_dir():
        raise SfddmError(f"{folder}: no such store; write it with `sfddm fetch`")
    manifest = read_json(folder / MANIFEST, needs_digest=True)
    if manifest.get("schema") != SCHEMA:
        raise SfddmError(f"{folder / MANIFEST}: not the manifest of a store with schema {SCHEMA}; fetch it again")
    images, labels = (_map_array(folder / name, manifest["sha256"][name]) for name in (IMAGES, LABELS))
    return Store(folder, images, labels, manifest, manifest["digest"])


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _check_image(place: str, image: Image, shape: Shape) -> None:
    if image.shape != shape or image.dtype != np.uint8:
        raise SfddmError(f"{place} is {image.dtype} {image.shape}; a store of uint8 {shape} was asked for")


def _check_label(place: str, label: int, class_names: Sequence[str]) -> None:
    highest = len(class_names) - 1 if class_names else HIGHEST_LABEL
    if not NO_LABEL <= label <= highest:
        raise SfddmError(f"{place} has label {label}; {NO_LABEL} (none) to {highest} is allowed")


def _check_count(folder: Path, written: int, count: int | None) -> None:
    if written == 0:
        raise SfddmError(f"{folder}: the source has no images")
    if count is not None and written != count:
        raise SfddmError(f"{folder}: the source announced {count} images but gave {written}")


def _content(folder: Path, shape: tuple[int, ...], class_names: Sequence[str]) -> dict[str, Any]:
    return {
        "count": shape[0],
        "shape": list(shape),
        "class_names": list(class_names),
        "sha256": {name: file_sha256(folder / name) for name in (IMAGES, LABELS)},
    }


def _digest(content: Mapping[str, Any]) -> str:
    # Without the source section and the label: the same pixels have the same digest from wherever they came.
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _map_array(path: Path, expected: str) -> NDArray[Any]:
    try:
        found = file_sha256(path)
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm fetch` writes it") from None
    if found != expected:
        raise SfddmError(f"{path}: its sha256 is {found}, but the manifest says {expected}; fetch it again")
    return open_array(path)
