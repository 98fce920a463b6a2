"""The contract of a sampler: a way from noise to images along the steps of a model.

A new sampler is one file with a class derived from ``Sampler``, in this folder or in a plug-in; a spec names it
(``sampler: heun``). Sampler files compute with tensors but import no torch themselves, so that reading a spec stays
fast.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, log1p, sqrt
from typing import TYPE_CHECKING, ClassVar

from sfddm.diffusion.process import NoiseLevel, Prediction
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.registry import entries, find

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.networks.denoiser import Denoiser
    from sfddm.networks.ensemble import Ensemble

PACKAGE = "sfddm.samplers"
#: (step position k) -> (B, C, H, W) standard normal noise for the step that leaves k.
StepNoise = Callable[[int], "Tensor"]


class Walk:
    """What a sampler walks down: the levels of a model at some of its steps, and what the model says there.

    Steps are counted by their position k in the index set, from T' - 1, the noisiest, down to 0; position -1 is the
    clean image. Levels are plain float64 numbers, so that a step loses nothing to rounding before it meets the images.

    Args:
        denoiser: the model; its steps hold all of ``index_set``.
        index_set: (T',) the teacher's indices to visit, increasing.
        clip: whether predicted images are clipped to [-1, 1].
        step_noise: noise of the random steps; a deterministic sampler does not ask for it.
    """

    def __init__(
        self, denoiser: Denoiser | Ensemble, index_set: Sequence[int], clip: bool, step_noise: StepNoise
    ) -> None:
        self.denoiser, self.index_set, self.clip, self.step_noise = denoiser, tuple(index_set), clip, step_noise
        self._alphas_bar = [denoiser.alpha_bar(t) for t in index_set]

    @property
    def positions(self) -> range:
        """The positions k in the order of the walk: T' - 1, ..., 0."""
        return range(len(self.index_set) - 1, -1, -1)

    def alpha_bar(self, k: int) -> float:
        """Return the cumulative alpha at position k, in (0, 1); 1 for the clean image, k = -1."""
        return 1.0 if k < 0 else self._alphas_bar[k]

    def level(self, k: int) -> NoiseLevel:
        """Return signal and sigma at position k."""
        return NoiseLevel(sqrt(self.alpha_bar(k)), sqrt(1 - self.alpha_bar(k)))

    def half_log_snr(self, k: int) -> float:
        """Return lambda = log(signal / sigma) at position k >= 0; the clean image has none."""
        return (log(self.alpha_bar(k)) - log1p(-self.alpha_bar(k))) / 2

    def predict(self, x: Tensor, k: int) -> Prediction:
        """Return the clean image and the noise that the model sees in ``x`` (B, C, H, W) at position k >= 0.

        A model with a second time is told that the step goes to position k - 1.
        """
        t = self.denoiser.batch_of(self.index_set[k], len(x))
        if self.denoiser.takes_arrival:
            arrival = self.denoiser.batch_of(self.index_set[k - 1] if k else -1, len(x))
            prediction = self.denoiser.predict(x, t, arrival)
        else:
            prediction = self.denoiser.predict(x, t)
        return prediction.clipped(x, self.level(k)) if self.clip else prediction


@dataclass(frozen=True)
class Sampler(ABC):
    """A way from noise to images. Subclasses set ``name`` and ``title`` and define ``sample``.

    Attributes:
        eta: how random a step is, in [0, 1]: 0 is deterministic, 1 has the variance of ancestral sampling.
        clip: whether predicted images are clipped to [-1, 1].

    Raises:
        SfddmError: ``eta`` is not 0 and the sampler has no use for it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    takes_eta: ClassVar[bool] = False

    eta: float = 0.0
    clip: bool = True

    def __post_init__(self) -> None:
        if self.eta and not self.takes_eta:
            takers = [name for name, entry in entries(PACKAGE, Sampler).items() if entry.takes_eta]  # type: ignore[type-abstract]
            raise SfddmError(
                f"eta: the sampler {self.name} has no use for it; leave out eta: {self.eta}, or choose "
                f"sampler: {' or '.join(takers)}"
            )

    def evaluations(self, steps: int) -> int:
        """Return how often an image's walk of ``steps`` steps asks the model; a sampler that asks otherwise says so."""
        return steps

    @abstractmethod
    def sample(self, walk: Walk, x: Tensor) -> Tensor:
        """Return the images (B, C, H, W) that the noise ``x`` (B, C, H, W) leads to; in [-1, 1] where it clips."""


def find_sampler(name: str) -> type[Sampler]:
    """Return the sampler that a spec names.

    Raises:
        SfddmError: there is none of that name.
    """
    return find(PACKAGE, Sampler, name, "sampler")  # type: ignore[type-abstract]


def sample(
    denoiser: Denoiser | Ensemble, index_set: Sequence[int], sampler: Sampler, x: Tensor, step_noise: StepNoise
) -> Tensor:
    """Walk from noise to images along ``index_set``.

    Args:
        denoiser: the model; its steps hold all of ``index_set``.
        index_set: (T',) increasing teacher indices; walked from the last to the first, then to the clean image.
        sampler: how.
        x: (B, C, H, W) standard normal noise.
        step_noise: noise of the random steps; not called by a deterministic sampler.

    Returns:
        (B, C, H, W) images, in [-1, 1] when the sampler clips.
    """
    return sampler.sample(Walk(denoiser, index_set, sampler.clip, step_noise), x)
