"""Scores generated images against the reference."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.by_class import figures_by_class
from sfddm.evaluation.figures import figures_of, protocol_of, ruler_of
from sfddm.evaluation.intervals import Blocks
from sfddm.evaluation.reference import load_reference
from sfddm.extractors.extract import EXTRACTORS, extract_features
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import write_json

if TYPE_CHECKING:
    from sfddm.spec.experiment import Spec


def score(spec: Spec, samples: Path, reference: Path, out: Path, device: str = "cpu") -> None:
    """Write the score of generated images to ``out``, whole or not at all.

    The file is ``{"schema": 1, "rows": [{"metric", "label", "value", "low", "high"}], "protocol": {...}}``; where the
    network knows classes, ``by_class`` holds what :func:`figures_by_class` returns.

    Args:
        spec: the experiment.
        samples: .npy file, uint8 (N, H, W, C); its first ``evaluation.samples`` images are scored. Beside it
            ``labels.npy``, where the network knows classes.
        reference: folder that ``write_reference`` wrote.
        out: the JSON file.
        device: where the extractor runs.

    Raises:
        SfddmError: the samples are missing, too few, of another type or shape; the reference is missing or
            was made under
            another protocol; the extractor's weights cannot be had.
    """
    evaluation = spec.evaluation
    images = open_samples(samples, spec)
    Blocks(len(images), evaluation.blocks)
    statistics, ruler = load_reference(reference)
    check_same_ruler(ruler_of(spec), ruler, reference)
    layer = EXTRACTORS[evaluation.extractor].layer
    features = extract_features(images, evaluation, device)[layer]
    rows = figures_of(features, statistics, evaluation, device)
    kind = "generated images against real images"
    protocol = protocol_of(spec, ruler, kind, len(images), len(statistics.features))
    classes = spec.network.classes
    by_class: list[dict[str, Any]] = []
    if classes is not None:
        labels = open_labels(samples.with_name("labels.npy"), len(images), classes)
        by_class = figures_by_class(features, labels, statistics, classes, evaluation)
    write_json(out, {"schema": 1, "rows": rows, "by_class": by_class, "protocol": protocol})


def open_samples(path: Path, spec: Spec) -> NDArray[np.uint8]:
    """Return the first ``evaluation.samples`` images of a file of samples, uint8 (N, H, W, C), memory-mapped.

    Raises:
        SfddmError: the file is missing, holds something else, or too few images.
    """
    images = _open_array(path)
    size, channels = spec.data.image_size, spec.data.channels
    if images.dtype != np.uint8 or images.shape[1:] != (size, size, channels):
        found = f"{images.dtype} {images.shape}"
        raise SfddmError(f"{path}: holds {found}, samples must be uint8 (N, {size}, {size}, {channels})")
    if len(images) < spec.evaluation.samples:
        raise SfddmError(f"{path}: holds {len(images)} images, evaluation.samples asks for {spec.evaluation.samples}")
    return images[: spec.evaluation.samples]


def open_labels(path: Path, count: int, classes: int) -> NDArray[np.int64]:
    """Return the classes of the first ``count`` samples, (count,) int64 in [0, classes).

    Raises:
        SfddmError: the file is missing, holds something else, or too few labels.
    """
    labels = _open_array(path)
    if labels.dtype != np.int64 or labels.ndim != 1 or len(labels) < count:
        raise SfddmError(f"{path}: holds {labels.dtype} {labels.shape}, labels must be int64 ({count},) or more")
    labels = labels[:count]
    if labels.min() < 0 or labels.max() >= classes:
        raise SfddmError(f"{path}: holds {labels.min()} to {labels.max()}, labels must be 0 to {classes - 1}")
    return labels


def _open_array(path: Path) -> NDArray[Any]:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm sample` writes it") from None
    except (ValueError, EOFError, OSError) as error:
        raise SfddmError(f"{path}: not a whole .npy file ({error})") from None
    if not isinstance(array, np.ndarray):
        raise SfddmError(f"{path}: holds an archive, not one array")
    return array


def check_same_ruler(wanted: dict[str, Any], found: dict[str, Any], folder: Path) -> None:
    """Check that a reference was made under the protocol that the spec asks for.

    Raises:
        SfddmError: it was not.
    """
    for key, value in wanted.items():
        if found.get(key) != value:
            raise SfddmError(
                f"{folder}: the reference was made under another protocol: its {key} is {found.get(key)!r}, "
                f"the spec says {value!r}; make it again with `sfddm reference`"
            )
