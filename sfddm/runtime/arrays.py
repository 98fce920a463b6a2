"""Arrays in files, read only where they are whole: their digest where a list holds one, and their size."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.machine import memory
from sfddm.runtime.unchanged import check_unchanged


def open_array(path: Path) -> NDArray[Any]:
    """Return the array of a ``.npy`` file, mapped read-only: what its header promises is held against the file's size.

    Raises:
        FileNotFoundError: there is no such file.
        SfddmError: it holds something else, or was changed since it was written.
    """
    check_unchanged(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    # numpy evaluates the header as Python: a damaged one ends in whatever its tokenizer and parser raise.
    except Exception as error:
        raise SfddmError(f"{path}: not a whole .npy file ({_reason(error)})") from None
    if not isinstance(array, np.ndarray):
        array.close()
        raise SfddmError(f"{path}: holds an archive, not one array")
    return array


def read_archive(path: Path) -> dict[str, NDArray[Any]]:
    """Return the arrays of a ``.npz`` file by name.

    Raises:
        FileNotFoundError: there is no such file.
        SfddmError: it holds something else, more than the machine's memory, or was changed since it was written.
    """
    check_unchanged(path)
    try:
        with zipfile.ZipFile(path) as archive:
            promised = sum(member.file_size for member in archive.infolist())
        if promised > memory():
            raise SfddmError(f"{path}: promises {promised:,} bytes of arrays; this machine has {memory():,} of memory")
        with np.load(path, allow_pickle=False) as found:
            arrays = {name: found[name] for name in found.files}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("a member is no array")
        return arrays
    except (FileNotFoundError, SfddmError):
        raise
    except Exception as error:  # as above
        raise SfddmError(f"{path}: not an archive of arrays ({_reason(error)})") from None


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
