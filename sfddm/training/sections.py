"""What the stages of training compute with, cut from a spec. Nothing here imports torch: the DAG reads it, too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sfddm.diffusion.schedule import Schedule
from sfddm.diffusion.spec import ScheduleSpec
from sfddm.methods.base import Training
from sfddm.methods.options import MethodOptions, TrainingOptions
from sfddm.networks.spec import NetworkSpec
from sfddm.training.spec import TeacherSpec

#: Options of a row that none of its weights depend on, ``training`` apart, which is stated as a whole.
_NOT_TRAINED_WITH = {"title", "steps", "training", "eta", "sampler", "clip", "budgets", "budget", "budget_of"}


@dataclass(frozen=True)
class Origin:
    """The experiment that a model is part of; no result depends on it.

    Attributes:
        experiment: its name.
        spec_digest: sha256 of the whole spec.
        title: names the training in the log.
    """

    experiment: str
    spec_digest: str
    title: str


@dataclass(frozen=True)
class TeacherTraining:
    """What a teacher is a function of, besides the images.

    Attributes:
        origin: the experiment, for the card and the log.
        seed: the training's seed.
        shape: (C, H, W) of an image.
        schedule: its noise schedule.
        network: its network.
        teacher: how it is trained, or where it comes from.
    """

    origin: Origin
    seed: int
    shape: tuple[int, int, int]
    schedule: ScheduleSpec
    network: NetworkSpec
    teacher: TeacherSpec

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the weights are a function of, as plain JSON."""
        sections = {"schedule": self.schedule, "network": self.network, "teacher": self.teacher}
        unseen = {"training": {"checkpoint_seconds"}}
        plain = {name: part.model_dump(mode="json", exclude=unseen) for name, part in sections.items()}
        return plain | {"seed": self.seed, "shape": list(self.shape)}


@dataclass(frozen=True)
class StudentTraining:
    """What the training of one student is a function of, besides the models and images that it reads.

    Attributes:
        origin: the experiment, for the card and the log.
        row: the method's row in the spec.
        seed: the training's seed.
        method: the row's options.
        schedule: the teacher's.
        training: which of the method's trainings.
        options: how long and how it is trained.
        learns_from: (row, fold) of the model that it learns from.
    """

    origin: Origin
    row: str
    seed: int
    method: MethodOptions
    schedule: Schedule
    training: Training
    options: TrainingOptions
    learns_from: tuple[str, str]

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the weights are a function of, as plain JSON."""
        chosen = self.method.model_dump(mode="json", exclude=_NOT_TRAINED_WITH)
        return {
            "row": self.row,
            "seed": self.seed,
            "method": chosen,
            "training": _plain(self.training),
            "options": self.options.model_dump(mode="json", exclude={"checkpoint_seconds"}),
        }


@dataclass(frozen=True)
class StudentInputs:
    """The files that a student's training reads.

    Attributes:
        data: folder of the stores, one for each split.
        teacher: the model it learns from.
        start: the model whose weights it starts from, where the training has one.
        pairs: what ``sfddm pairs`` wrote, where the loss needs it.
        partition: what ``sfddm partition`` wrote, where the student has a share of the classes.
        classifier: what ``sfddm classifier`` wrote, where the loss asks it.
    """

    data: Path
    teacher: Path
    start: Path | None = None
    pairs: Path | None = None
    partition: Path | None = None
    classifier: Path | None = None


def _plain(training: Training) -> dict[str, Any]:
    """Return a training as plain JSON, without its options.

    What few trainings state is left out elsewhere, so that older digests stay.
    """
    fields = {name: value for name, value in vars(training).items() if name != "options"}
    for name in ("classifier", "data_free", "from_noise", "second_time"):
        if not fields[name]:
            del fields[name]
    return fields | {"share": None if training.share is None else vars(training.share)}
