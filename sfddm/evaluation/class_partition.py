"""The stage ``partition``: which classes each of several students gets, as a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sfddm.data.store import Store, open_store
from sfddm.diffusion.partition import Parts, clustered_parts, equal_parts, random_parts
from sfddm.evaluation.sections import ClassPartition
from sfddm.extractors.base import extract_features
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import write_json

#: At most so many images of a class are looked at; the first ones.
IMAGES_PER_CLASS = 100


def write_partition(stage: ClassPartition, data: Path, out: Path) -> None:
    """Write ``{"partition": [[class, ...], ...]}``, one list a student.

    Raises:
        SfddmError: the listed parts do not cover each class once, or there are more students than classes.
    """
    write_json(out, {"schema": 1, "partition": [list(part) for part in make_partition(stage, data)]})


def make_partition(stage: ClassPartition, data: Path) -> Parts:
    """Return the classes of each student, as :func:`write_partition` writes them."""
    classes, share = tuple(range(stage.classes)), stage.share
    if share.partition == "consecutive":
        return equal_parts(classes, share.count)
    if share.partition == "random":
        return random_parts(classes, share.count, seed=0)
    if share.partition == "k-means":
        return clustered_parts(class_means(open_store(data / "train"), stage), share.count, seed=0)
    assert not isinstance(share.partition, str)
    if sorted(c for part in share.partition for c in part) != list(classes):
        raise SfddmError(f"partition: must list {share.count} parts that hold each of {len(classes)} classes once")
    return share.partition


def class_means(store: Store, stage: ClassPartition) -> NDArray[np.float64]:
    """Return (n, D) the mean features of each class.

    Raises:
        SfddmError: the store has no image of a class.
    """
    rows = [np.flatnonzero(store.labels == label)[:IMAGES_PER_CLASS] for label in range(stage.classes)]
    for label, found in enumerate(rows):
        if not len(found):
            raise SfddmError(f"{store.folder}: holds no image of class {label}")
    features = extract_features(store.images[np.concatenate(rows)], stage.extraction)
    ends = np.cumsum([len(found) for found in rows])[:-1]
    return np.stack([part.mean(axis=0, dtype=np.float64) for part in np.split(features, ends)])
