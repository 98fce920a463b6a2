"""The contract between a method and everything else.

A method says which trainings a number of sampling steps needs (``plan``) and what one training minimises (``loss``, or
``objective`` where the loss owns more than student and teacher). The command line, the DAG, the report and the contract
tests know methods only through this file. Method files compute with tensors but import no torch themselves, so that
reading a spec stays fast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from sfddm.diffusion.index_sets import check_index_set, dense_indices, make_index_set
from sfddm.diffusion.process import FromNoise, PredictionKind
from sfddm.diffusion.schedule import Schedule
from sfddm.methods.options import MethodOptions, TrainingOptions
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.base import Sampler, find_sampler

if TYPE_CHECKING:
    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective


@dataclass(frozen=True)
class Share:
    """A student's share of the classes, one of ``count`` that leave none out. The stage ``partition`` says which.

    Attributes:
        part: i, from 0.
        count: K.
        partition: "consecutive" classes, "random", "k-means" of the classes' mean features, or the classes of each.
        of_pairs: whether the student sees the pairs of its own classes only.
    """

    part: int
    count: int
    partition: str | tuple[tuple[int, ...], ...] = "consecutive"
    of_pairs: bool = False


@dataclass(frozen=True)
class Training:
    """One training: a fold in the papers' words. Its name is unique within the row and names its folder.

    Attributes:
        name: for example "16".
        index_set: (T',) the teacher's indices at which the student is a model.
        conditioning: (T',) the numbers its time embedding is computed from; None: the indices themselves.
        teacher: the training it learns from; None: the experiment's teacher, or the row that ``student_of`` names.
        start: the training whose weights it starts from; None: where ``initialisation`` says.
        initialisation: where the weights start without one: at the teacher's, or at random.
        prediction: what the student's network predicts; None: what its teacher's does.
        options: how it is trained; None: as the spec trains all students.
        stage: which of the method's losses it minimises, where there are several.
        pairs: whether the loss needs images that the teacher made, with their noise.
        share: of the classes; None: all of them.
        classifier: whether the loss asks the classifier that the run trains on its own labelled images.
        data_free: whether it sees no image: the loss gets noise and, where the network takes classes, classes drawn
            uniformly.
        from_noise: what the student makes of pure noise, where it is no denoiser but sees noise and a step.
        second_time: whether its network is also told where a step goes, though its teacher's is not.

    Raises:
        SfddmError: a data-free training asks for pairs.
    """

    name: str
    index_set: tuple[int, ...]
    conditioning: tuple[int, ...] | None = None
    teacher: str | None = None
    start: str | None = None
    initialisation: Literal["teacher", "random"] = "teacher"
    prediction: PredictionKind | None = None
    options: TrainingOptions | None = None
    stage: str = ""
    pairs: bool = False
    share: Share | None = None
    classifier: bool = False
    data_free: bool = False
    from_noise: FromNoise | None = None
    second_time: bool = False

    def __post_init__(self) -> None:
        if self.data_free and self.pairs:
            raise SfddmError(
                f"pairs: the training {self.name} is data-free and compares with no images; leave them out"
            )


@dataclass(frozen=True)
class Plan:
    """What a row of the table needs.

    Attributes:
        index_set: (T',) the teacher's indices that sampling visits, increasing; None: the stage ``index-set`` finds
            them, and says so in a file.
        sampler: how they are walked.
        trainings: each after those that it learns from or starts from; none: the teacher itself is sampled.
        sampled: names of the trainings whose students are sampled, together where there are several.
    """

    index_set: tuple[int, ...] | None
    sampler: Sampler
    trainings: tuple[Training, ...] = ()
    sampled: tuple[str, ...] = ()

    @property
    def students(self) -> tuple[Training, ...]:
        """The trainings whose students are sampled."""
        return tuple(training for training in self.trainings if training.name in self.sampled)


class Method(ABC):
    """One way to sample in few steps. Subclasses set ``name``, ``title``, ``reference`` and ``Options``."""

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    Options: ClassVar[type[MethodOptions]] = MethodOptions
    #: Whether its row is what students are compared with.
    is_reference: ClassVar[bool] = False

    def __init__(self, options: MethodOptions, schedule: Schedule) -> None:
        self.options = options
        self.schedule = schedule
        self.timesteps = schedule.timesteps

    @abstractmethod
    def plan(self, steps: int) -> Plan:
        """Return what ``steps`` sampling steps need.

        Raises:
            SfddmError: the method cannot reach that step count.
        """

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the loss of one batch; ``draws`` are the random numbers besides the batch's own."""
        raise SfddmError(f"method {self.name}: nothing is trained")

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Return what the training minimises, with all that only its loss needs."""
        from sfddm.objectives.objective import Objective

        return Objective(student, teacher, self.loss, evaluations=self.evaluations(training), draws=self.drawn)

    @property
    def drawn(self) -> tuple[str, ...]:
        """The names of the random numbers that the loss draws besides those of its batch."""
        return ()

    def evaluations(self, training: Training) -> Evaluations:
        """Return how often one training asks student and teacher; one that asks otherwise than once each says so."""
        return Evaluations()

    def index_set(self, steps: int) -> tuple[int, ...]:
        """Return the teacher's indices that ``steps`` sampling steps visit, increasing.

        Raises:
            SfddmError: the option ``index_set`` cannot give that many steps.
        """
        chosen = self.options.index_set
        if isinstance(chosen, tuple):
            check_index_set(chosen, self.timesteps)
            if len(chosen) != steps:
                raise SfddmError(f"index_set: {len(chosen)} indices are listed, but steps asks for {steps}")
            return chosen
        share, alphas_bar = self.options.concentrated_share, self.schedule.alphas_bar
        return make_index_set(chosen, self.timesteps, steps, share=share, alphas_bar=alphas_bar)

    def sampled_steps(self, steps: tuple[int, ...]) -> tuple[int, ...]:
        """Return the step counts of this method's rows, given the spec's own ``steps``."""
        return self.options.steps or steps

    def row_title(self, steps: int) -> str:
        """Return the row's label in the report."""
        return self.options.title or self.title

    def plan_of(self, steps: int, *trainings: Training, sampled: tuple[str, ...] | None = None) -> Plan:
        """Return a plan with the options' sampler; ``sampled`` None samples the last training's student."""
        chosen = self.options
        last = tuple(training.name for training in trainings[-1:])
        sampler = find_sampler(chosen.sampler)(chosen.eta, chosen.clip)
        if chosen.index_set == "gits" and not trainings:
            dense_indices(self.timesteps, steps)  # are they enough?
            return Plan(None, sampler)
        return Plan(self.index_set(steps), sampler, trainings, last if sampled is None else sampled)

    def training(self, name: str, index_set: tuple[int, ...], **details: Any) -> Training:
        """Return a training with the options' own network, prediction and length, and further ``details``."""
        own = self.options.network.prediction if self.options.network else None
        chosen = {"prediction": self.options.prediction or own, "options": self.options.training}
        return Training(name, index_set, **(chosen | details))
