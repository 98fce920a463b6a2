"""What a loss sees and returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

    from sfddm.extractors.classifier import FrozenClassifier
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser


@dataclass(frozen=True)
class Loss:
    """A loss and its parts. ``total`` is a scalar to minimise; ``parts`` are detached scalars for the log.

    ``trains_student`` is False in a step that trains the auxiliary networks alone.
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
class Batch:
    """What one step sees.

    Attributes:
        x0: (B, C, H, W) float32 images in [-1, 1]; of a data-free training a tensor of torch's device ``meta``, which
            has a shape and no numbers.
        noise: (B, C, H, W) float32, standard normal.
        k: (B,) int64 positions in the student's index set.
        labels: (B,) int64 classes of x0, or drawn uniformly without data; None where the student's network takes none.
        step: from 0.
        pairs: of the teacher, where the training asks for them.
    """

    x0: Tensor
    noise: Tensor
    k: Tensor
    labels: Tensor | None = None
    step: int = 0
    pairs: Pairs | None = None


@dataclass(frozen=True)
class Networks:
    """The networks that a loss asks, those with classes bound to the batch's.

    Attributes:
        student: the network in training; its ``index_set`` is the training's.
        teacher: what it learns from.
        auxiliary: what is trained beside the student, by name.
        average: a moving average of the student, where the objective keeps one.
        classifier: of the run's own labelled images, where the training asks for it.
    """

    student: Denoiser
    teacher: FrozenDenoiser
    auxiliary: nn.ModuleDict | dict[str, Any] = field(default_factory=dict)
    average: FrozenDenoiser | None = None
    classifier: FrozenClassifier | None = None


@dataclass(frozen=True)
class Evaluations:
    """Evaluations of a network for one image in one training step, on average."""

    student: float = 1
    teacher: float = 1
