"""Reads which classes each of several students got."""

from __future__ import annotations

from pathlib import Path

from sfddm.methods.base import Share
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import read_json


def read_partition(file: Path, share: Share) -> tuple[int, ...]:
    """Return the classes of one student.

    Raises:
        SfddmError: the file holds no partition for so many students.
    """
    try:
        parts = read_json(file)["partition"]
        if len(parts) != share.count:
            raise ValueError(f"{len(parts)} students instead of {share.count}")
        return tuple(int(label) for label in parts[share.part])
    except (KeyError, TypeError, ValueError) as error:
        raise SfddmError(f"{file}: not a partition written by `sfddm partition` ({error})") from None
