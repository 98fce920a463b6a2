"""Parquet files with one encoded image a row, as the Hugging Face hub keeps its data sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from sfddm.data.decode import decode_image
from sfddm.data.examples import NO_LABEL, Example, Examples
from sfddm.data.spec import ImageSource, Sha256, Split
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.machine import memory
from sfddm.runtime.outputs import file_sha256

BATCH_ROWS = 256


class Parquet(ImageSource):
    """Parquet files with one encoded image a row (a struct with ``bytes``, or plain binary).

    Attributes:
        files: the files of each split, read in this order.
        sha256: digests in the order of ``files``; checked before the first image is read.
        image_column: the images' column.
        label_column: an integer column; None where there are no labels.
    """

    name = "parquet"

    files: dict[Split, Annotated[tuple[Path, ...], Field(min_length=1)]]
    sha256: dict[Split, tuple[Sha256, ...]] = Field(default_factory=dict)
    image_column: str = "img"
    label_column: str | None = "label"

    @model_validator(mode="after")
    def _complete(self) -> Parquet:
        self.require("files", self.files)
        for split, digests in self.sha256.items():
            expected = len(self.files.get(split, ()))
            if len(digests) != expected:
                raise ValueError(f"sha256.{split} has {len(digests)} digests for {expected} files in files.{split}")
        return self

    @property
    def labelled(self) -> bool:
        """Whether a column holds labels."""
        return self.label_column is not None

    def read_split(self, split: Split) -> Examples:
        """Return the rows of the split's files, in order.

        Raises:
            SfddmError: a file is missing, has another sha256, is not parquet or lacks a column.
        """
        paths = [path.expanduser() for path in self.files[split]]
        for path, expected in zip(paths, self.sha256.get(split, ()), strict=False):
            _check_sha256(path, expected, f"data.sha256.{split}")
        return read_files(paths, self.image_column, self.label_column)


def read_files(paths: Sequence[Path], image_column: str, label_column: str | None) -> Examples:
    """Return the rows of parquet files.

    Args:
        paths: the files, in the order in which they are read.
        image_column: a struct with the field ``bytes`` or a binary column; each cell is an image file.
        label_column: an integer column; an empty cell is no label. None: no labels.

    Raises:
        SfddmError: a file is missing, is not parquet or lacks a column; while reading, a cell is no image.
    """
    counts = [_check_file(path, image_column, label_column) for path in paths]
    return Examples(_rows(paths, image_column, label_column), sum(counts))


def _rows(paths: Sequence[Path], image_column: str, label_column: str | None) -> Iterator[Example]:
    import pyarrow
    import pyarrow.parquet

    columns = [image_column, *([label_column] if label_column else [])]
    for path in paths:
        row = 0
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(BATCH_ROWS, columns=columns):
                    cells = batch.column(image_column)
                    if pyarrow.types.is_struct(cells.type):
                        cells = cells.field("bytes")
                    labels = batch.column(label_column).to_pylist() if label_column else [None] * len(cells)
                    for content, label in zip(cells.to_pylist(), labels, strict=True):
                        yield _example(content, label, f"{path} row {row}")
                        row += 1
        except SfddmError:
            raise
        except Exception as error:  # as below
            raise SfddmError(f"{path}: damaged after row {row} ({_first_line(error)})") from None


def _example(content: bytes | None, label: int | None, place: str) -> Example:
    if content is None:
        raise SfddmError(f"{place}: holds no image bytes; images stored as paths are not supported")
    return Example(partial(decode_image, content, place), NO_LABEL if label is None else label, place)


def _check_file(path: Path, image_column: str, label_column: str | None) -> int:
    import pyarrow
    import pyarrow.parquet

    if path.exists() and not path.is_file():
        raise SfddmError(f"{path}: is not a file; data.files must name parquet files")
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            _check_sizes(path, file.metadata)
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; data.files must name parquet files") from None
    except SfddmError:
        raise
    except Exception as error:  # a damaged file ends in whatever pyarrow stumbles over
        raise SfddmError(f"{path}: not a whole parquet file ({_first_line(error)})") from None
    kind = _column_type(path, schema, image_column, "data.image_column")
    if not _holds_images(kind):
        raise SfddmError(f"{path}: column {image_column!r} is {kind}; images are binary or a struct with bytes")
    if label_column is not None:
        kind = _column_type(path, schema, label_column, "data.label_column")
        if not pyarrow.types.is_integer(kind):
            raise SfddmError(f"{path}: column {label_column!r} is {kind}; labels must be integers")
    return int(rows)


def _check_sizes(path: Path, metadata: Any) -> None:
    """Raise a SfddmError where the columns of a group of rows promise more bytes than the machine has memory."""
    for number in range(metadata.num_row_groups):
        promised = metadata.row_group(number).total_byte_size
        if not 0 <= promised <= memory():
            raise SfddmError(f"{path}: row group {number} promises {promised:,} bytes; this machine has {memory():,}")


def _column_type(path: Path, schema: Any, name: str, key: str) -> Any:
    if name not in schema.names:
        raise SfddmError(f"{path}: has no column {name!r} ({key}); it has {', '.join(schema.names)}")
    return schema.field(name).type


def _holds_images(kind: Any) -> bool:
    import pyarrow

    if pyarrow.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_images(kind.field(index).type)
    return bool(pyarrow.types.is_binary(kind) or pyarrow.types.is_large_binary(kind))


def _check_sha256(path: Path, expected: str, key: str) -> None:
    if not path.is_file():
        raise SfddmError(f"{path}: no such file; data.files must name parquet files")
    found = file_sha256(path)
    if found != expected:
        raise SfddmError(f"{path}: its sha256 is {found} but {key} says {expected}")


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
