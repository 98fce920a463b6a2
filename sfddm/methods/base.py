"""The contract between a method and everything else.

A method says which trainings it needs (``folds``), what one training minimises (``loss``) and how the result is sampled
(``sampler``). The command line, the DAG, the report and the contract tests know methods only through this file.
Method files compute with tensors but import no torch themselves, so that reading a spec stays fast.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from sfddm.diffusion.index_sets import IndexSetKind, check_index_set, make_index_set
from sfddm.diffusion.process import PredictionKind
from sfddm.diffusion.schedule import Schedule
from sfddm.networks.spec import NetworkSpec
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.strict import Strict

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sfddm.data.store import Store
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.spec.experiment import Spec

SamplerKind = Literal["ddim", "ancestral", "consistency"]
StepCount = Annotated[int, Field(ge=1)]


class TrainingOptions(Strict):
    """How one network is trained. Exactly one of ``images`` and ``epochs`` sets the length."""

    images: Annotated[int, Field(gt=0)] | None = None
    epochs: Annotated[float, Field(gt=0)] | None = None
    batch_size: Annotated[int, Field(gt=0)] = 128
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    learning_rate_schedule: Literal["constant", "linear", "cosine"] = "constant"
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    adam_betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clip: Annotated[float, Field(gt=0)] | None = 1.0
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    mixed_precision: Literal["no", "bf16"] = "no"
    compile: bool = False
    horizontal_flip: bool = False
    shuffle: bool = True
    #: Share of labels replaced by "no class", so that a class-conditional network also learns to do without one.
    label_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    checkpoint_seconds: Annotated[float, Field(gt=0)] = 60.0


class MethodOptions(Strict):
    """The options every method has. ``method`` defaults to the row's own name in the spec.

    Attributes:
        network: the students' own network, of the teacher's classes; None: the teacher's architecture.
        student_of: another row; its student at the same steps takes the teacher's place.
        guidance_scale: w of classifier-free guidance (Ho & Salimans 2022): the teacher says (1 - w) of what it says
            without a class plus w of what it says with it. A student that learned from a guided teacher needs none.
    """

    method: str
    title: str | None = None
    steps: tuple[StepCount, ...] | None = None
    training: TrainingOptions | None = None
    index_set: IndexSetKind | tuple[int, ...] = "uniform"
    concentrated_share: Annotated[float, Field(gt=0, le=1)] = 0.4
    eta: Annotated[float, Field(ge=0, le=1)] = 0.0
    sampler: SamplerKind = "ddim"
    clip: bool = True
    network: NetworkSpec | None = None
    student_of: str | None = None
    guidance_scale: Annotated[float, Field(ge=0)] = 1.0
    #: What the student's network predicts; None: what its teacher's does. The weights' start does not depend on it.
    prediction: PredictionKind | None = None


@dataclass(frozen=True)
class Fold:
    """One training. Its name is unique within the method and names its folder.

    Attributes:
        name: for example "16".
        index_set: (T',) the teacher's indices that the student stands for.
        teacher: the name of the fold it learns from; None for the experiment's own teacher, or for the row that the
            option ``student_of`` names.
        start: the name of the fold whose weights it starts from; None: where ``initialisation`` says.
        stage: which of the method's losses it minimises, where there are several.
        part: (i, K), the student's part of the classes where K students share them; None: all classes.
    """

    name: str
    index_set: tuple[int, ...]
    teacher: str | None = None
    start: str | None = None
    stage: str = ""
    part: tuple[int, int] | None = None


@dataclass(frozen=True)
class Sampler:
    """How a model is sampled: the kind of step, DDIM's eta, and whether x0 is clipped to [-1, 1]."""

    kind: SamplerKind
    eta: float
    clip: bool


@dataclass(frozen=True)
class Loss:
    """A loss and its parts. ``total`` is a scalar to minimise; ``parts`` are detached scalars for the log.

    ``trains_student`` is False in a step that trains the companions alone.
    """

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)
    trains_student: bool = True


@dataclass(frozen=True)
class Pairs:
    """Images that the teacher made, with the noise they came from; (B, C, H, W) float32 each.

    Attributes:
        labels: (B,) int64 classes, None where there are none.
    """

    noise: Tensor
    images: Tensor
    labels: Tensor | None


@dataclass(frozen=True)
class Beside:
    """What some losses need besides the batch.

    Attributes:
        fold: the training.
        step: its step, from 0.
        labels: (B,) int64 classes of x0; None where the network knows none.
        moving_average: one of the student, where ``target_decay`` asks for it.
        companions: networks that are trained alongside, where ``companions`` gives some.
        noise: (D, B, C, H, W) further standard normal noise, D = ``further_draws``.
        uniform: (D, B) further numbers, uniform in [0, 1).
        pairs: of the teacher, where ``needs_pairs``.
    """

    fold: Fold
    step: int = 0
    labels: Tensor | None = None
    moving_average: FrozenDenoiser | None = None
    companions: nn.ModuleDict | None = None
    noise: Tensor | None = None
    uniform: Tensor | None = None
    pairs: Pairs | None = None


class Method(ABC):
    """One way to sample in few steps. Subclasses set ``name``, ``title``, ``reference`` and ``Options``."""

    name: ClassVar[str]
    title: ClassVar[str]
    reference: ClassVar[str]
    Options: ClassVar[type[MethodOptions]] = MethodOptions
    #: Whether its row is what students are compared with.
    is_reference: ClassVar[bool] = False
    #: Evaluations of a network's forward pass for one image in one training step: student's and teacher's.
    student_evaluations: ClassVar[int] = 1
    teacher_evaluations: ClassVar[int] = 1
    #: Further draws of noise that one loss needs.
    further_draws: ClassVar[int] = 0

    def __init__(self, options: MethodOptions, schedule: Schedule) -> None:
        self.options = options
        self.schedule = schedule
        self.timesteps = schedule.timesteps

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
        return make_index_set(chosen, self.timesteps, steps, share=self.options.concentrated_share)

    def folds(self, steps: int) -> tuple[Fold, ...]:
        """Return the trainings that ``steps`` sampling steps need, each after the one it learns from.

        With no fold, the teacher is sampled itself.

        Raises:
            SfddmError: the method cannot reach that step count.
        """
        return ()

    def sampled_folds(self, steps: int) -> tuple[Fold, ...]:
        """Return the folds whose models are sampled together: the last, unless each stands for a part of the work."""
        return self.folds(steps)[-1:]

    def companions(self, fold: Fold, student: Denoiser, teacher: Denoiser) -> nn.ModuleDict | None:
        """Return networks that are trained alongside the student and thrown away with the training; None: none."""
        return None

    @property
    def companion_rate(self) -> float:
        """The companions' learning rate, as a factor on the student's."""
        return 1.0

    def training(self, fold: Fold) -> TrainingOptions | None:
        """Return how a fold is trained; None: as the spec trains all students."""
        return self.options.training

    def classes_of_part(self, fold: Fold, store: Store, spec: Spec) -> tuple[int, ...] | None:
        """Return the classes that a student with a ``part`` is responsible for."""
        return None

    def filters_pairs(self, fold: Fold) -> bool:
        """Say whether a student with a ``part`` sees the pairs of its own classes only."""
        return False

    def needs_pairs(self, fold: Fold) -> bool:
        """Say whether the loss needs images that the teacher made, with their noise."""
        return False

    def sampled_steps(self, steps: tuple[int, ...]) -> tuple[int, ...]:
        """Return the step counts of this method's rows, given the spec's own ``steps``."""
        return self.options.steps or steps

    def prediction(self, teacher: PredictionKind) -> PredictionKind:
        """Return what the student's network predicts, given what its teacher's does."""
        own = self.options.network.prediction if self.options.network else None
        return self.options.prediction or own or teacher

    @property
    def target_decay(self) -> float | None:
        """Decay of a moving average of the student that the loss needs; None: it needs none."""
        return None

    @property
    def initialisation(self) -> Literal["teacher", "random"]:
        """Where a student's weights start."""
        return "teacher"

    def conditioning(self, index_set: tuple[int, ...]) -> tuple[int, ...]:
        """Return (T',) the numbers the student's time embedding is computed from; the teacher's indices by default."""
        return index_set

    def loss(
        self,
        student: Denoiser,
        teacher: FrozenDenoiser,
        x0: Tensor,
        noise: Tensor,
        k: Tensor,
        beside: Beside | None = None,
    ) -> Loss:
        """Return the loss of one batch.

        Args:
            student: the network in training; it stands for its own ``index_set``.
            teacher: what it learns from.
            x0: (B, C, H, W) float32 images in [-1, 1].
            noise: (B, C, H, W) float32, standard normal.
            k: (B,) int64 positions in the student's index set.
            beside: what only some losses need.
        """
        raise SfddmError(f"method {self.name}: nothing is trained")

    @property
    def sampler(self) -> Sampler:
        """How the row is sampled."""
        return Sampler(self.options.sampler, self.options.eta, self.options.clip)

    def row_title(self, steps: int) -> str:
        """Return the row's label in the report."""
        return self.options.title or self.title
