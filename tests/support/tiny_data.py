"""Tiny data sets in every format that the package reads, for tests."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import tarfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from sfddm.data.fetch import fetch
from sfddm.data.spec import DataSpec
from sfddm.runtime.errors import SfddmError

LABELS = [3, 1, 4, 1, 5]


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    """Random uint8 of the given shape."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def section(source: str, **keys: Any) -> Any:
    """A checked data section; 8x8 grey unless told otherwise."""
    given = {"source": source, "label": "tiny", "image_size": 8, "channels": 1, **keys}
    return TypeAdapter(DataSpec).validate_python(given)


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "png")
    return stream.getvalue()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, images: np.ndarray, labels: list[int], prefix: str = "train", gz: bool = True) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    contents = {"images-idx3": idx_bytes(images), "labels-idx1": idx_bytes(np.array(labels, np.uint8))}
    for name, content in contents.items():
        path = folder / f"{prefix}-{name}-ubyte{'.gz' if gz else ''}"
        path.write_bytes(gzip.compress(content) if gz else content)


def write_parquet(path: Path, cells: list[bytes | None], labels: list[Any], struct_cells: bool = True) -> Path:
    import pyarrow
    import pyarrow.parquet

    images = pyarrow.array([{"bytes": cell, "path": "x"} for cell in cells] if struct_cells else cells)
    table = pyarrow.table({"img": images, "label": pyarrow.array(labels)})
    pyarrow.parquet.write_table(table, path, row_group_size=2)
    return path


def cifar_row(image: np.ndarray, label: int) -> bytes:
    return bytes([label]) + image.transpose(2, 0, 1).tobytes()


def write_cifar(path: Path, images: np.ndarray, labels: list[int]) -> Path:
    """One image in each train batch, the sixth in the test batch; members out of order, as officially."""
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(path, "w:gz") as archive:
        for index in (0, 3, 5, 2, 1, 4):
            content = cifar_row(images[index], labels[index])
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{names[index]}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def write_lmdb(folder: Path, values: dict[bytes, bytes]) -> Path:
    import lmdb

    with (
        lmdb.open(str(folder), map_size=1 << 20) as environment,
        environment.begin(write=True) as transaction,
    ):
        for key, value in values.items():
            transaction.put(key, value)
    return folder


def cifar_section(path: Path, **keys: Any) -> Any:
    return section("cifar10", archive=path, image_size=32, channels=3, **keys)


def cut(path: Path, keep: int) -> None:
    """Keep the first ``keep`` bytes of a file."""
    path.write_bytes(path.read_bytes()[:keep])


def refused(data: Any, tmp_path: Path, *words: str) -> None:
    """Fetching ``data`` fails with one sentence that has all ``words`` and leaves nothing behind."""
    with pytest.raises(SfddmError) as caught:
        fetch(data, tmp_path / "out")
    sentence = str(caught.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


@dataclass
class Server:
    """What a test's web server serves, and what it was asked.

    ``break_at``: lengths after which the next answers break off, one an answer.
    """

    files: dict[str, bytes]
    resumes: bool = True
    break_at: list[int] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    ranges: list[str | None] = field(default_factory=list)
    url: str = ""

    def answer(self, request: BaseHTTPRequestHandler, body: bool) -> None:
        content = self.files.get(request.path)
        if content is None:
            request.send_error(404)
            return
        wanted = request.headers.get("Range")
        if body:
            self.ranges.append(wanted)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.resumes else 0
        if start >= len(content):
            request.send_response(416)
            request.send_header("Content-Range", f"bytes */{len(content)}")
            request.send_header("Content-Length", "0")
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        request.send_header("Content-Length", str(len(content) - start))
        for name, value in self.headers.items():
            request.send_header(name, value)
        request.end_headers()
        if body:
            end = start + self.break_at.pop(0) if self.break_at else len(content)
            request.wfile.write(content[start:end])
            request.close_connection = True


@contextmanager
def serving(files: dict[str, bytes], **options: Any) -> Iterator[Server]:
    """Serve ``files`` (path -> content) on 127.0.0.1."""
    server = Server(files, **options)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.answer(self, body=True)

        def do_HEAD(self) -> None:
            server.answer(self, body=False)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield server
        finally:
            http.shutdown()
