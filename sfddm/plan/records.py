"""What published records say in advance: how fast these networks were, and how far figures scatter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.plan.costs import Networks, TrainingCost, networks_of
from sfddm.results.metrics import NAMES, read_metrics
from sfddm.results.rows import Collected, Row
from sfddm.runtime.errors import SfddmError
from sfddm.spec.experiment import Spec
from sfddm.spec.load import parse_spec

RECORDS_FOLDER = Path("reports/records")


@dataclass(frozen=True)
class Rate:
    """Seconds for one network evaluation, measured in ``record``.

    Attributes:
        same: what the measured rows have in common with the planned one, besides the network.
        evaluations: how many were measured.
    """

    seconds: float
    record: str
    hardware: str
    same: str
    evaluations: float


@dataclass(frozen=True)
class Record:
    """One experiment of a published record."""

    name: str
    part: Collected

    @property
    def data(self) -> str:
        """The label of its images."""
        return self.part.provenance.data.label

    @cached_property
    def figures(self) -> list[FigureOverSeeds]:
        """Every figure, over its seeds."""
        return Figures([self.part]).all

    @cached_property
    def spec(self) -> Spec | None:
        """The spec that it was made with; None where that cannot be read any more."""
        try:
            return parse_spec(self.part.provenance.spec, self.name)
        except SfddmError:
            return None

    @cached_property
    def rows(self) -> list[tuple[Row, Networks]]:
        """A row for each method, number of steps and seed, whatever its metric, with the networks at work in it."""
        spec = self.spec
        if spec is None:
            return []
        once = {(row.method, row.steps, row.seed): row for row in self.part.rows if row.method in spec.methods}
        networks = {name: networks_of(spec, name) for name in dict.fromkeys(row.method for row in once.values())}
        return [(row, networks[row.method]) for row in once.values()]


def read_records(folder: Path = RECORDS_FOLDER) -> list[Record]:
    """Return every experiment of the records in a folder; none where there is no such folder.

    Raises:
        SfddmError: a record's metrics.json is broken.
    """
    found = sorted(path for path in folder.glob("*") if any((path / name).is_file() for name in NAMES))
    return [Record(path.name, part) for path in found for part in read_metrics(path)]


def of_shape(records: Sequence[Record], spec: Spec) -> list[Record]:
    """Return the records of images with the shape of the spec's, whose networks can be the same; its own data first."""
    data = ("image_size", "channels")
    wanted = [getattr(spec.data, key) for key in data]
    alike = [one for one in records if [one.part.provenance.spec.get("data", {}).get(key) for key in data] == wanted]
    return sorted(alike, key=lambda one: one.data != spec.data.label)


def training_rate(records: Sequence[Record], training: TrainingCost) -> Rate | None:
    """Return how long such a training took for each network evaluation: of the same method, or of any; None: nowhere.

    Of several records the first, and in it the mean over all rows, weighted by their evaluations.
    """
    for same in (f"method {training.method}", "network"):
        for record in records:
            rows = [
                row
                for row, networks in record.rows
                if networks == training.networks and (same == "network" or row.method_name == training.method)
            ]
            if rate := _rate([(row.train_seconds, row.network_evaluations) for row in rows], record, same):
                return rate
    return None


def sampling_rate(records: Sequence[Record], networks: Networks) -> Rate | None:
    """Return how long sampling took for each network evaluation of one image; None: nowhere recorded."""
    for record in records:
        rows = [row for row, measured in record.rows if measured.student == networks.student]
        if rate := _rate([(row.sample_seconds_per_image, row.nfe) for row in rows], record, "network"):
            return rate
    return None


def _rate(measured: Sequence[tuple[float | None, float | None]], record: Record, same: str) -> Rate | None:
    known = [(seconds, count) for seconds, count in measured if seconds and count]
    if not known:
        return None
    evaluations = sum(count for _, count in known)
    seconds = sum(seconds for seconds, _ in known) / evaluations
    return Rate(seconds, record.name, record.part.provenance.hardware, same, evaluations)
