"""The mean features of each class of a store: what k-means over classes looks at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sfddm.data.store import Store
from sfddm.extractors.extract import EXTRACTORS, extract_features
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from sfddm.spec.experiment import Spec

#: At most so many images of a class; the first ones.
IMAGES_PER_CLASS = 100


def class_means(store: Store, spec: Spec) -> NDArray[np.float64]:
    """Return (n, D) the mean features of each class, under the spec's extractor.

    Raises:
        SfddmError: the network knows no classes, or the store has no image of one.
    """
    if spec.network.classes is None:
        raise SfddmError("network.classes: is needed for the mean features of each class")
    rows = [np.flatnonzero(store.labels == label)[:IMAGES_PER_CLASS] for label in range(spec.network.classes)]
    for label, found in enumerate(rows):
        if not len(found):
            raise SfddmError(f"{store.folder}: holds no image of class {label}")
    layer = EXTRACTORS[spec.evaluation.extractor].layer
    features = extract_features(store.images[np.concatenate(rows)], spec.evaluation)[layer]
    ends = np.cumsum([len(found) for found in rows])[:-1]
    return np.stack([part.mean(axis=0, dtype=np.float64) for part in np.split(features, ends)])
