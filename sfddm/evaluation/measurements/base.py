"""What every further measurement offers.

A new measurement is one file in this folder, or a plug-in, with a class derived from ``Measurement``; a spec lists the
rows that it is made of under ``evaluation.measurements``. Its module is imported with any spec, so it imports torch
inside functions. What it gives lies in ``steps-N/{name}.json`` of its row, arrays in ``steps-N/{name}.npz``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from sfddm.evaluation.metrics.base import Reference
from sfddm.evaluation.reference import load_reference
from sfddm.evaluation.sections import Samples
from sfddm.extractors.base import Features, extract_features
from sfddm.results.files import write_result
from sfddm.runtime.arrays import open_array
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file
from sfddm.runtime.registry import find

#: What a measurement may need of the run; see ``Inputs``.
Need = Literal["samples", "teacher_samples", "reference", "data", "models", "teacher"]
Arrays = dict[str, NDArray[Any]]
#: Names of the other files in a row's folder.
TAKEN = ("index_set", "labels", "samples", "score")


@dataclass(frozen=True)
class Inputs:
    """What a measurement reads; what it does not need is None."""

    section: Any  # what it computes with, of the measurement's own ``Section``
    device: str = "cpu"  # where extractors and models run
    samples: Path | None = None  # the row's images, which ``sfddm sample`` wrote
    teacher_samples: Path | None = None  # those of the teacher's row
    reference: Path | None = None  # folder that ``sfddm reference`` wrote
    data: Path | None = None  # folder of stores
    models: tuple[Path, ...] | None = None  # the model folders that the row samples
    teacher: Path | None = None  # the teacher's model folder

    def given(self, need: Need) -> Any:
        """Return an input; an SfddmError says that it was not given."""
        if not getattr(self, need):
            raise SfddmError(f"{option_of(need)}: is missing, the measurement needs it")
        return getattr(self, need)

    @cached_property
    def images(self) -> NDArray[np.uint8]:
        """(N, H, W, C) uint8, the first ``section.samples`` of the row's images, memory-mapped."""
        return open_samples(self.given("samples"), self.section)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """(N,) int64 the classes that were asked for in these images, where the network knows classes."""
        return open_labels(self.given("samples").with_name("labels.npy"), len(self.images), self.section.classes)

    @cached_property
    def teacher_images(self) -> NDArray[np.uint8]:
        """(N, H, W, C) uint8, as many of the teacher's, image k from the same noise as the row's image k."""
        return open_samples(self.given("teacher_samples"), self.section)

    @cached_property
    def features(self) -> Features:
        """(N, D) float32 of the row's images."""
        return extract_features(self.images, self.section, self.device)

    @cached_property
    def real(self) -> tuple[Reference, dict[str, Any]]:
        """The reference, and the protocol that it was made under."""
        return load_reference(self.given("reference"), self.section)


class Measurement(ABC):
    """Figures of one row beside its score."""

    name: ClassVar[str]  # how a spec, the command line and the files of results call it
    needs: ClassVar[tuple[Need, ...]]  # which inputs it reads
    Section: ClassVar[type[Any]] = Samples  # what it computes with; its digest covers nothing else of the spec
    every_seed: ClassVar[bool] = True  # whether it is made for every training seed, or for the first only
    every_steps: ClassVar[bool] = True  # whether it is made at each of the spec's steps, or at the most of them only
    for_points: ClassVar[bool] = True  # whether it takes points in the plane, too
    template: ClassVar[str | None] = None  # of the report; None: its figures go into the report's tables

    @classmethod
    def labels(cls, section: Any) -> dict[str, str]:
        """Return the label of each figure that it gives, by its name, so that a plan knows them; {}: not known."""
        return {}

    @abstractmethod
    def measure(self, inputs: Inputs) -> tuple[Any, Arrays]:
        """Return a dataclass of ``sfddm/results``, which becomes the JSON file, and arrays by name."""


def find_measurement(name: str) -> type[Measurement]:
    """Return the measurement called ``name``.

    Raises:
        SfddmError: there is none, or its file would have the name of another one of its row.
    """
    if name in TAKEN or name.startswith("score-"):
        raise SfddmError(f"measurement: must not be called {name}: {name}.json or {name}.npy is another file of a row")
    return find("sfddm.evaluation.measurements", Measurement, name, "measurement")  # type: ignore[type-abstract]


def write_measurement(kind: type[Measurement], inputs: Inputs, out: Path) -> None:
    """Measure and write the arrays, none or more, to a .npz file beside ``out``, and then the figures to ``out``."""
    result, arrays = kind().measure(inputs)
    with atomic_file(out.with_suffix(".npz")) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
    write_result(out, result)


def option_of(need: Need) -> str:
    """Return the option of ``sfddm measure`` that gives an input."""
    return "--model" if need == "models" else f"--{need.replace('_', '-')}"


def open_samples(path: Path, section: Samples) -> NDArray[np.uint8]:
    """Return the first ``section.samples`` images of a file of samples, uint8 (N, H, W, C), memory-mapped.

    Raises:
        SfddmError: the file is missing, holds something else, or too few images.
    """
    images, shape = _open_array(path), (section.image_size, section.image_size, section.channels)
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        must = f"samples must be uint8 (N, {', '.join(map(str, shape))})"
        raise SfddmError(f"{path}: holds {images.dtype} {images.shape}, {must}")
    if len(images) < section.samples:
        raise SfddmError(f"{path}: holds {len(images)} images, evaluation.samples asks for {section.samples}")
    return images[: section.samples]


def open_labels(path: Path, count: int, classes: int) -> NDArray[np.int64]:
    """Return the classes of the first ``count`` samples, (count,) int64 in [0, classes).

    Raises:
        SfddmError: the file is missing, holds something else, or too few labels.
    """
    labels = _open_array(path)[:count]
    if labels.dtype != np.int64 or labels.shape != (count,):
        raise SfddmError(f"{path}: holds {labels.dtype} {labels.shape}, labels must be int64 ({count},) or more")
    if labels.min() < 0 or labels.max() >= classes:
        raise SfddmError(f"{path}: holds {labels.min()} to {labels.max()}, labels must be 0 to {classes - 1}")
    return labels


def _open_array(path: Path) -> NDArray[Any]:
    try:
        return open_array(path)
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file; `sfddm sample` writes it") from None
