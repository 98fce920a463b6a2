"""The handwritten digits that ship inside scikit-learn (test part of the UCI Optdigits set)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from sfddm.data.examples import Example, Examples
from sfddm.data.spec import ImageSource, Split
from sfddm.runtime.errors import SfddmError

SIDE = 8
HIGHEST = 16
FILE = Path("datasets", "data", "digits.csv.gz")


class SklearnDigits(ImageSource):
    """The 1,797 handwritten digits inside scikit-learn, 8x8 grey in 17 levels. One split only: ``train``."""

    name = "sklearn-digits"

    @model_validator(mode="after")
    def _train_only(self) -> SklearnDigits:
        if self.splits != ("train",):
            raise ValueError("sklearn-digits has one split only; splits must be [train]")
        return self

    def read_split(self, split: Split) -> Examples:
        """Return the digits: 8x8 grey, the 17 levels 0..16 spread over 0..255 by ``round(v * 255 / 16)``.

        Raises:
            SfddmError: scikit-learn is not installed, or its file of digits is damaged.
        """
        path = _find_file()
        try:
            table = np.loadtxt(path, delimiter=",")
            levels = table[:, :-1].reshape(-1, SIDE, SIDE)
        except (OSError, EOFError, ValueError, IndexError) as error:
            raise SfddmError(f"{path}: not scikit-learn's file of digits ({error})") from None
        images = np.round(levels * 255 / HIGHEST).astype(np.uint8)
        names = tuple(str(digit) for digit in range(10))
        return Examples(_rows(images, table[:, -1].astype(np.int64), path), len(images), names)


def _find_file() -> Path:
    # Found without importing scikit-learn: the import costs two seconds, the file 30 milliseconds.
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package else ():
        if (Path(folder) / FILE).is_file():
            return Path(folder) / FILE
    raise SfddmError(f"sklearn/{FILE}: no such file; the source sklearn-digits needs scikit-learn installed")


def _rows(images: NDArray[np.uint8], labels: NDArray[np.int64], path: Path) -> Iterator[Example]:
    for row, label in enumerate(labels):
        yield Example(partial(images.__getitem__, row), int(label), f"{path} row {row}")
