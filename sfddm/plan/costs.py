"""What a spec costs, counted before anything is trained: training images, network evaluations, images to score.

Network evaluations are forward passes of student and teacher for one image, as the cards of trained models count them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from sfddm.diffusion.index_sets import GITS_PATHS, dense_indices
from sfddm.methods.base import Training
from sfddm.methods.options import TrainingOptions, step_count
from sfddm.networks.spec import NetworkOptions
from sfddm.runtime.files import digest_of
from sfddm.spec import stages
from sfddm.spec.experiment import Spec


class Networks(NamedTuple):
    """Digests of the networks at work: the one in training or sampled, and the one that it learns from.

    Images of another shape make another network.
    """

    student: str
    teacher: str


@dataclass(frozen=True)
class TrainingCost:
    """One training of one seed.

    Attributes:
        row, name: whose fold it is.
        method: what implements the row.
        networks: at work in it.
        images: seen; None where the spec gives epochs of a number of images that it does not state.
        per_image: network evaluations for one of them.
    """

    row: str
    name: str
    method: str
    networks: Networks
    images: int | None
    per_image: float

    @property
    def evaluations(self) -> float | None:
        """Network evaluations of the training."""
        return None if self.images is None else self.images * self.per_image


@dataclass(frozen=True)
class SamplingCost:
    """The samples of one row for one seed: ``nfe`` network evaluations for each of ``images``."""

    row: str
    steps: int
    networks: Networks
    images: int
    nfe: int

    @property
    def evaluations(self) -> int:
        """Network evaluations of the row's samples."""
        return self.images * self.nfe


class Costs:
    """The costs of one seed of a spec.

    Args:
        spec: the experiment.
        stored: number of training images, for trainings whose length is in epochs; None: not known.
    """

    def __init__(self, spec: Spec, stored: int | None = None) -> None:
        self._spec, self._stored = spec, stored

    @cached_property
    def teacher(self) -> TrainingCost:
        """The teacher's training, of 0 images where it is pretrained."""
        options, network = self._spec.teacher.training, _digest(self._spec, self._spec.network)
        images = self._images(options) if options else 0
        return TrainingCost("teacher", "teacher", "teacher", Networks(network, network), images, 1.0)

    @cached_property
    def students(self) -> dict[tuple[str, str], TrainingCost]:
        """Each training of the rows, once, by (row, name)."""
        return {
            (row, name): self._training(row, training)
            for row in self._spec.methods
            for name, training in self._spec.trainings(row).items()
        }

    @cached_property
    def sampling(self) -> dict[tuple[str, int], SamplingCost]:
        """The samples of each row of the table, by (row, steps)."""
        return {(row, steps): self._sampling(row, steps) for row, steps in self._spec.rows()}

    @cached_property
    def pairs(self) -> int:
        """Network evaluations of the teacher's pairs, 0 where no training asks for them."""
        pairs, trainings = self._spec.pairs, [self._spec.trainings(row) for row in self._spec.methods]
        if pairs is None or not any(training.pairs for some in trainings for training in some.values()):
            return 0
        return pairs.count * pairs.steps * (1 if pairs.guidance_scale == 1.0 else 2)

    @cached_property
    def index_sets(self) -> int:
        """Network evaluations of the index sets that are found on the teacher's path."""
        rows = [(row, steps) for row, steps in self._spec.rows() if self._spec.plan(row, steps).index_set is None]
        timesteps = self._spec.schedule.timesteps
        return sum(GITS_PATHS * len(dense_indices(timesteps, steps)) * _guided(self._spec, row) for row, steps in rows)

    def of_row(self, row: str, steps: int) -> list[TrainingCost]:
        """Return the trainings that a row of the table states as its costs: its own, or the teacher's for its row."""
        if self._spec.method(row).is_reference:
            return [self.teacher]
        return [self.students[row, training.name] for training in self._spec.plan(row, steps).trainings]

    def _training(self, row: str, training: Training) -> TrainingCost:
        spec, method = self._spec, self._spec.method(row)
        asked = method.evaluations(training)
        per_image = asked.student + asked.teacher * _guided(spec, row)
        shared = training.share is not None  # then how many images there are is up to the classes
        images = self._images(training.options or spec.students, shared)
        return TrainingCost(row, training.name, method.name, networks_of(spec, row), images, per_image)

    def _images(self, options: TrainingOptions, shared: bool = False) -> int | None:
        if options.images is None and (self._stored is None or shared):
            return None
        return step_count(options, self._stored or 0) * options.batch_size

    def _sampling(self, row: str, steps: int) -> SamplingCost:
        section = stages.row_sampling(self._spec, row, steps)
        guided = 1 if section.guidance_scale == 1.0 else 2
        nfe = section.sampler.evaluations(steps) * guided
        return SamplingCost(row, steps, networks_of(self._spec, row), section.count, nfe)


def total(trainings: Iterable[TrainingCost], value: str) -> float | None:
    """Return the sum of ``images`` or ``evaluations``; None where one of them is not known."""
    values = [getattr(training, value) for training in trainings]
    return None if None in values else float(sum(values))


def networks_of(spec: Spec, row: str) -> Networks:
    """Return the digests of the networks that a row trains or samples, and learns from."""
    return Networks(_digest(spec, _sampled_network(spec, row)), _digest(spec, _taught_network(spec, row)))


def _taught_network(spec: Spec, row: str) -> NetworkOptions:
    other = spec.methods[row].student_of
    return spec.network if other is None else _sampled_network(spec, other)


def _sampled_network(spec: Spec, row: str) -> NetworkOptions:
    own = spec.methods[row].network
    return own if own is not None and spec.trainings(row) else _taught_network(spec, row)


def _digest(spec: Spec, network: NetworkOptions) -> str:
    """Return the digest of all that a network's speed depends on; what it predicts does not matter."""
    options = network.model_dump(mode="json", exclude={"prediction", "classes"})
    return digest_of([options, network.kind, *stages.image_shape(spec)])


def _guided(spec: Spec, row: str) -> int:
    return 1 if spec.methods[row].guidance_scale == 1.0 else 2
