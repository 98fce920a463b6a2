"""The reference: features of real images, cached, and how far apart real images are among themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from sfddm.diffusion.randomness import derived_seed, epoch_order
from sfddm.evaluation.figures import figures_of, protocol_of, ruler_of
from sfddm.evaluation.metrics import Features, ReferenceStatistics, reference_statistics
from sfddm.extractors.extract import EXTRACTORS, extract_features
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file, write_json

if TYPE_CHECKING:
    from sfddm.evaluation.spec import EvaluationSpec
    from sfddm.spec.experiment import Spec

_ARRAYS = ("features", "mean", "covariance", "root", "squared_radii", "labels")


def write_reference(spec: Spec, data: Path, out: Path, device: str = "cpu") -> None:
    """Write ``out/features.npz`` (the reference) and ``out/score.json`` (real images against real images).

    The score is the floor for every other one: where the split has ``evaluation.samples`` images beyond the
    reference, they are scored exactly as generated images are; otherwise one half of the reference is
    scored against the other half, whose smaller numbers bias the Frechet distance upwards.
    ``protocol.kind`` and the numbers of images tell which.

    Args:
        spec: the experiment.
        data: folder of stores; ``data/{reference_split}`` is read.
        out: folder to write to.
        device: where the extractor runs.

    Raises:
        SfddmError: the store is missing, has too few images, or the extractor's weights cannot be had.
    """
    from sfddm.data.store import open_store

    evaluation = spec.evaluation
    store = open_store(data / evaluation.reference_split)
    chosen, others = choose_reference(len(store.images), evaluation)
    images = RowsOf(store.images, np.concatenate([chosen, others]))
    layer = EXTRACTORS[evaluation.extractor].layer
    features = extract_features(images, evaluation, device)[layer]  # type: ignore[arg-type]
    on = device if device.startswith("cuda") else "cpu"
    labels = store.labels[chosen]
    reference = reference_statistics(features[: len(chosen)], evaluation.neighbourhood, on, labels)
    ruler = ruler_of(spec) | {"data_digest": store.digest, "reference_selection": _selection(evaluation)}
    score = _real_against_real(spec, ruler, reference, features[len(chosen) :], on)
    _save(out / "features.npz", reference, ruler)
    write_json(out / "score.json", score)


class RowsOf:
    """Chosen rows of an array that may be memory-mapped, read only when a slice is asked for."""

    def __init__(self, images: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self._images, self._rows = images, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, place: slice) -> NDArray[np.uint8]:
        return self._images[self._rows[place]]


def choose_reference(count: int, evaluation: EvaluationSpec) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the reference's images, and ``evaluation.samples`` others if there are so many, else none."""
    wanted = evaluation.reference_images or count
    if wanted > count:
        raise SfddmError(
            f"evaluation.reference_images: {wanted} asked for, "
            f"the split {evaluation.reference_split!r} has {count} images"
        )
    if count < 4:
        raise SfddmError(f"evaluation.reference_split: {evaluation.reference_split!r} has {count} images, 4 are needed")
    order = epoch_order(derived_seed("evaluation", "reference"), 0, count)
    others = order[wanted : wanted + evaluation.samples]
    return np.sort(order[:wanted]), others if len(others) == evaluation.samples else others[:0]


def _selection(evaluation: EvaluationSpec) -> str:
    return "all images of the split" if evaluation.reference_images is None else "drawn once, with a fixed seed"


def _real_against_real(
    spec: Spec, ruler: dict[str, Any], reference: ReferenceStatistics, others: Features, device: str
) -> dict[str, Any]:
    kind = "real images against other real images of the same split"
    if not len(others):
        kind = "real images against real images: two halves of the reference"
        order = epoch_order(derived_seed("evaluation", "halves"), 0, len(reference.features))
        half = len(order) // 2
        others = reference.features[order[:half]]
        reference = reference_statistics(reference.features[order[half:]], spec.evaluation.neighbourhood, device)
    rows = figures_of(others, reference, spec.evaluation, device)
    protocol = protocol_of(spec, ruler, kind, len(others), len(reference.features))
    return {"schema": 1, "rows": rows, "protocol": protocol | {"sampling_seed": None}}


def _save(path: Path, reference: ReferenceStatistics, ruler: dict[str, Any]) -> None:
    arrays = {name: getattr(reference, name) for name in _ARRAYS}
    numbers = {"kernel_mean": reference.kernel_mean, "neighbourhood": reference.neighbourhood}
    about = np.array(json.dumps({"ruler": ruler, "numbers": numbers}))
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez(file, about=about, **arrays)


def load_reference(folder: Path) -> tuple[ReferenceStatistics, dict[str, Any]]:
    """Return the reference and the part of the protocol it was made under.

    Raises:
        SfddmError: ``folder/features.npz`` is missing or is not what ``write_reference`` writes.
    """
    path = folder / "features.npz"
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            arrays = {name: file[name] for name in _ARRAYS}
        return ReferenceStatistics(**arrays, **about["numbers"]), about["ruler"]
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm reference` writes it") from None
    except (ValueError, KeyError, TypeError, EOFError, OSError, BadZipFile) as error:
        raise SfddmError(f"{path}: not a reference written by `sfddm reference` ({error})") from None
