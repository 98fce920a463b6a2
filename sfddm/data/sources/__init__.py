"""The sources: one file each, each with ``read_split(data, split) -> Examples``.

``read_split`` finds, downloads and checks the files; the images are then read one after another. A new source
is a section in ``sfddm/data/spec.py``, a file here and a line below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sfddm.data.examples import Examples
from sfddm.data.sources import cifar10, gaussians_2d, hub, idx, imagefolder, lsun_lmdb, parquet, sklearn_digits
from sfddm.data.spec import Split

SOURCES: dict[str, Callable[[Any, Split], Examples]] = {
    "sklearn-digits": sklearn_digits.read_split,
    "idx": idx.read_split,
    "parquet": parquet.read_split,
    "imagefolder": imagefolder.read_split,
    "cifar10": cifar10.read_split,
    "hub": hub.read_split,
    "lsun-lmdb": lsun_lmdb.read_split,
    "gaussians-2d": gaussians_2d.read_split,
}
