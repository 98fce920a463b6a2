"""The reference: features of real images, cached, and how far apart real images are among themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfddm.data.store import open_store
from sfddm.diffusion.randomness import derived_seed, epoch_order
from sfddm.evaluation.compare import compare, comparison_protocol, score_protocol
from sfddm.evaluation.metrics.base import Reference
from sfddm.evaluation.metrics.frechet_distance import RealSide, moments
from sfddm.evaluation.metrics.kid import kernel_mean
from sfddm.evaluation.metrics.precision import check_enough
from sfddm.evaluation.pairwise import nearest_by_group
from sfddm.evaluation.sections import Comparison, Scoring
from sfddm.extractors.base import Features, extract_features
from sfddm.results.files import write_result
from sfddm.results.score import Score
from sfddm.runtime.arrays import read_archive
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file, parse_json

_ARRAYS = ("features", "mean", "covariance", "root", "squared_radii", "labels")
_NUMBERS = ("kernel_mean", "nearest_neighbours")


def write_reference(section: Scoring, data: Path, out: Path, device: str = "cpu") -> None:
    """Write ``out/features.npz`` (the reference) and ``out/score.json`` (real images against real images).

    The score is the floor for every other one: where the split of ``data`` has ``section.samples`` images beyond the
    reference, they are scored exactly as generated images are; otherwise one half of the reference is scored against
    the other half, whose smaller numbers bias the Frechet distance upwards. ``protocol.kind`` tells which.
    An SfddmError says that the store is missing or too small, or that the extractor's weights cannot be had.
    """
    store = open_store(data / section.reference_split)
    chosen, others = choose_reference(len(store.images), section)
    features = extract_features(RowsOf(store.images, np.concatenate([chosen, others])), section, device)
    on = device if device.startswith("cuda") else "cpu"
    k, labels = section.nearest_neighbours, store.labels[chosen]
    reference = reference_statistics(features[: len(chosen)], k, on, labels)
    selection = "all images of the split" if section.reference_images is None else "drawn once, with a fixed seed"
    protocol = comparison_protocol(section) | {"data_digest": store.digest, "reference_selection": selection}
    floor = _real_against_real(section, protocol, reference, features[len(chosen) :], on)
    arrays = {name: getattr(reference, name) for name in _ARRAYS}
    about = {"protocol": protocol, "numbers": {name: getattr(reference, name) for name in _NUMBERS}}
    with atomic_file(out / "features.npz") as temporary, temporary.open("wb") as file:
        np.savez(file, about=np.array(json.dumps(about)), **arrays)
    write_result(out / "score.json", floor)


class RowsOf:
    """Chosen rows of an array that may be memory-mapped, read only when a slice is asked for."""

    def __init__(self, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: slice | NDArray[np.int64], /) -> NDArray[np.uint8]:
        return self._images[self._rows[place]]


def choose_reference(count: int, section: Comparison) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the reference's images, and ``section.samples`` others if there are so many, else none."""
    split, wanted = section.reference_split, section.reference_images or count
    if wanted > count:
        raise SfddmError(f"evaluation.reference_images: {wanted} asked for, the split {split!r} has {count} images")
    if count < 4:
        raise SfddmError(f"evaluation.reference_split: {split!r} has {count} images, 4 are needed")
    order = epoch_order(derived_seed("evaluation", "reference"), 0, count)
    others = order[wanted : wanted + section.samples]
    return np.sort(order[:wanted]), others if len(others) == section.samples else others[:0]


def reference_statistics(
    features: Features, nearest_neighbours: int, device: str = "cpu", labels: NDArray[np.int64] | None = None
) -> Reference:
    """Return the statistics of (M, D) float32 reference features with (M,) labels, M > ``nearest_neighbours``."""
    import torch

    count = len(features)
    check_enough(count, nearest_neighbours, "reference")
    mean, covariance = moments(features, device)
    everything = torch.zeros(count, dtype=torch.int64, device=device)
    return Reference(
        features=features,
        mean=mean,
        covariance=covariance,
        root=RealSide.of(features).root,
        kernel_mean=kernel_mean(features, device),
        squared_radii=nearest_by_group(features, everything, 1, nearest_neighbours, device)[:, 0, -1].cpu().numpy(),
        nearest_neighbours=nearest_neighbours,
        labels=np.full(count, -1) if labels is None else np.asarray(labels, dtype=np.int64),
    )


def _real_against_real(
    section: Scoring, protocol: dict[str, Any], reference: Reference, others: Features, device: str
) -> Score:
    kind = "real images against other real images of the same split"
    if not len(others):
        kind = "real images against real images: two halves of the reference"
        order = epoch_order(derived_seed("evaluation", "halves"), 0, len(reference.features))
        half = len(order) // 2
        others = reference.features[order[:half]]
        reference = reference_statistics(reference.features[order[half:]], section.nearest_neighbours, device)
    rows = compare(others, reference, section, device)
    whole = score_protocol(section, protocol, kind, len(others), len(reference.features))
    return Score(rows, whole | {"sampling_seed": None})


def load_reference(folder: Path, section: Comparison | None = None) -> tuple[Reference, dict[str, Any]]:
    """Return the reference and the part of the protocol it was made under, which must be the section's if one is given.

    Raises:
        SfddmError: ``folder/features.npz`` is missing, was changed, is not what ``write_reference`` writes, or of
            another protocol.
    """
    path = folder / "features.npz"
    try:
        file = read_archive(path)
        about = parse_json(str(file["about"]).encode(), path)
        arrays: dict[str, Any] = {name: file[name] for name in _ARRAYS}
        reference, protocol = Reference(**arrays, **about["numbers"]), about["protocol"]
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm reference` writes it") from None
    except (ValueError, KeyError, TypeError) as error:
        raise SfddmError(f"{path}: not a reference written by `sfddm reference` ({error})") from None
    for key, value in (comparison_protocol(section) if section else {}).items():
        if protocol.get(key) != value:
            raise SfddmError(
                f"{folder}: the reference was made under another protocol: its {key} is {protocol.get(key)!r}, "
                f"the spec says {value!r}; make it again with `sfddm reference`"
            )
    return reference, protocol
