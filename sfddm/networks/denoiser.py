"""The contract every method and sampler relies on: ``denoiser.predict(x, t) -> Prediction(x0, eps)``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sfddm.diffusion.process import (
    CLEAN,
    FromNoise,
    NoiseLevel,
    Prediction,
    PredictionKind,
    consistency_prediction,
    image_of_noise,
    prediction_from,
    prediction_of_noise,
)
from sfddm.diffusion.schedule import Schedule
from sfddm.networks.base import Condition, Network
from sfddm.networks.steps import Steps

#: What a second time embedding sees of the clean image, one below the first step of a teacher.
_CLEAN_NUMBER = -1


@dataclass
class EvaluationCounter:
    """How many images a network was evaluated for; one image under guidance counts twice."""

    images: int = 0


class Denoiser(nn.Module):
    """A network together with the steps at which it is a model.

    ``t`` is always the teacher's zero-based index, (B,) int64 in [0, T), also for students; images are (B, C, H, W)
    float32 in [-1, 1]. ``arrival``, where a step goes, is such an index, too, or -1 for the clean image; only networks
    with a second time look at it, and None means t: a step of no length, what any other network is asked.

    Attributes:
        classes: n where the network takes class labels 0 .. n - 1, and n for "no class"; None where it takes none.
        labels: (B,) int64 classes of the batch at hand, set by :meth:`given`; None: no class.
        guidance_scale: w of classifier-free guidance, set by :meth:`given`.
        from_noise: what the network makes of pure noise, which it then sees at every step instead of a noised image;
            None: it is a denoiser.
        counter: of evaluations, shared with the views that :meth:`given` returns.
    """

    network: Network
    labels: Tensor | None = None
    guidance_scale: float = 1.0
    index_set: Tensor
    conditioning: Tensor
    position: Tensor
    signal: Tensor
    sigma: Tensor

    def __init__(
        self, network: Network, prediction: PredictionKind, steps: Steps, from_noise: FromNoise | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self._called: tuple[Callable[..., Any]] = (network,)  # in a tuple: no second entry among the weights
        self.prediction: PredictionKind = prediction
        self.steps = steps
        self.from_noise: FromNoise | None = from_noise
        self.counter = EvaluationCounter()
        self.classes, self.takes_arrival = network.classes, network.takes_arrival
        schedule = Schedule(steps.alphas_bar)
        position = torch.full((steps.timesteps,), len(steps.index_set))  # an index beyond the end: looking it up fails
        position[list(steps.index_set)] = torch.arange(len(steps.index_set))
        for name, values in {
            "index_set": torch.tensor(steps.index_set),
            "conditioning": torch.tensor(steps.conditioning),
            "position": position,
            "signal": torch.from_numpy(schedule.signal).float(),
            "sigma": torch.from_numpy(schedule.sigma).float(),
        }.items():
            self.register_buffer(name, values, persistent=False)

    def compile_network(self) -> None:
        """Let torch compile the network; its weights stay where they are."""
        self._called = (torch.compile(self.network),)

    def predict(self, x: Tensor, t: Tensor, arrival: Tensor | None = None) -> Prediction:
        """Return the predicted clean image and noise.

        With a second time, their DDIM step leads to ``arrival``; with ``from_noise``, they are what the network makes
        of the noise x.
        """
        if self.from_noise is not None:
            return prediction_of_noise(self.from_noise, self.image_of(x, t), x, self.level(t), self.last_level)
        raw, level = self.raw(x, t, arrival), self.level(t)
        if self.prediction == "consistency":
            return consistency_prediction(raw, x, level, self.level(self.index_set[:1]))
        return prediction_from(self.prediction, raw, x, level)

    def image_of(self, noise: Tensor, t: Tensor) -> Tensor:
        """Return F(noise, t), (B, C, H, W): the image that a network of pure noise says, see ``image_of_noise``."""
        return image_of_noise(self.prediction, self.raw(noise, t), noise, self.last_level)

    @property
    def last_level(self) -> NoiseLevel:
        """The noisiest level, shaped (1, 1, 1, 1)."""
        return self.level(self.index_set[-1:])

    def given(self, labels: Tensor | None, guidance_scale: float = 1.0) -> Denoiser:
        """Return this very denoiser, weights shared, for a batch of these classes; without classes, itself.

        Args:
            labels: (B,) int64 classes in [0, n), or n for "no class"; None: no class.
            guidance_scale: w; the answer is (1 - w) times that without a class plus w times that with it
                (Ho & Salimans 2022, eq. 6, with their w one less). 1 asks the network once, others twice.
        """
        if self.classes is None:
            return self
        view = copy.copy(self)
        view.labels, view.guidance_scale = labels, guidance_scale
        return view

    def raw(self, x: Tensor, t: Tensor, arrival: Tensor | None = None) -> Tensor:
        """Return the network's own output, float32, whatever it predicts; guided where a guidance scale is set.

        What is guided is linear in x0 and in eps at one (x, t), so that guiding either of them gives the same.
        """
        numbers, there = self.conditioning[self.position[t]], self._numbers_of_arrival(t, arrival)
        if self.classes is None:
            return self._ask(x, Condition(numbers, None, there))
        none = torch.full_like(t, self.classes)
        labels = none if self.labels is None else self.labels
        if self.guidance_scale == 1.0 or self.labels is None:
            return self._ask(x, Condition(numbers, labels, there))
        both, there = torch.cat([labels, none]), None if there is None else there.repeat(2)
        twice = self._ask(x.repeat(2, 1, 1, 1), Condition(numbers.repeat(2), both, there))
        with_class, without = twice.chunk(2)
        return torch.lerp(without, with_class, self.guidance_scale)

    def _numbers_of_arrival(self, t: Tensor, arrival: Tensor | None) -> Tensor | None:
        """Return (B,) what the second time embedding sees; None for a network without one."""
        if not self.takes_arrival:
            return None
        arrival = t if arrival is None else arrival
        known = arrival.where(arrival >= 0, self.index_set[0])  # an index it knows; replaced where arrival < 0
        return self.conditioning[self.position[known]].masked_fill(arrival < 0, _CLEAN_NUMBER)

    def _ask(self, x: Tensor, condition: Condition) -> Tensor:
        self.counter.images += len(x)
        output: Tensor = self._called[0](x, condition)
        return output.float()

    @property
    def evaluations(self) -> int:
        """Evaluations of the network so far, one for each image."""
        return self.counter.images

    def level(self, t: Tensor) -> NoiseLevel:
        """Return the noise level at t, shaped (B, 1, 1, 1)."""
        k = self.position[t]
        return NoiseLevel(self.signal[k].view(-1, 1, 1, 1), self.sigma[k].view(-1, 1, 1, 1))

    def level_or_clean(self, t: Tensor) -> NoiseLevel:
        """Return the level at t (B,), and the clean level where t is negative; (B, 1, 1, 1) each."""
        level = self.level(t.clamp(min=self.steps.index_set[0]))  # an index it knows; replaced where t < 0
        clean = (t < 0).view(-1, 1, 1, 1)
        return NoiseLevel(
            level.signal.masked_fill(clean, CLEAN.signal),  # type: ignore[union-attr]
            level.sigma.masked_fill(clean, CLEAN.sigma),  # type: ignore[union-attr]
        )

    def alpha_bar(self, t: int) -> float:
        """Return the cumulative alpha at index ``t`` in float64."""
        return float(self.steps.alphas_bar[int(self.position[t])])

    def batch_of(self, t: int, count: int) -> Tensor:
        """Return (count,) copies of the index ``t`` on the model's device."""
        return torch.full((count,), t, device=self.position.device)

    def with_features(self, x: Tensor, t: Tensor) -> tuple[Prediction, Tensor]:
        """Return the prediction and the features that enter the network's last layers.

        Of a U-Net: the output of the last up-block, before the final normalisation and convolution, (B, D, H, W). Of a
        perceptron: what its last linear map sees, (B, D). With guidance, those of the classes given.
        """
        with self.network.catching_features() as caught:
            prediction = self.predict(x, t)
        return prediction, caught[0][: len(x)].float()

    def middle_features(self, x: Tensor, t: Tensor) -> Tensor:
        """Return the features (B, D, h, w) that leave the U-Net's middle block, or (B, D) the perceptron's last one."""
        with self.network.catching_bottleneck() as caught:
            self.raw(x, t)
        return caught[0][: len(x)].float()


class FrozenDenoiser:
    """A denoiser that is only asked: no gradient reaches its weights and nothing in it changes.

    Args:
        denoiser: the network and its steps.
        guidance_scale: of classifier-free guidance, wherever a batch has classes; see :meth:`Denoiser.given`.
    """

    def __init__(self, denoiser: Denoiser, guidance_scale: float = 1.0) -> None:
        self.denoiser = denoiser.eval().requires_grad_(False)
        self.steps = denoiser.steps
        self.level, self.level_or_clean = denoiser.level, denoiser.level_or_clean
        self.guidance_scale = guidance_scale

    def given(self, labels: Tensor | None) -> FrozenDenoiser:
        """Return it for a batch of these classes."""
        if self.denoiser.classes is None:
            return self
        view = copy.copy(self)
        view.denoiser = self.denoiser.given(labels, self.guidance_scale)
        return view

    @torch.no_grad()
    def predict(self, x: Tensor, t: Tensor, arrival: Tensor | None = None) -> Prediction:
        """Return the predicted clean image and noise."""
        return self.denoiser.predict(x, t, arrival)

    def predict_with_gradient(self, x: Tensor, t: Tensor) -> Prediction:
        """Return the prediction as a function of ``x``, through which a gradient flows; the weights still get none."""
        return self.denoiser.predict(x, t)

    @torch.no_grad()
    def with_features(self, x: Tensor, t: Tensor) -> tuple[Prediction, Tensor]:
        """Return the prediction and the features before the last layers."""
        return self.denoiser.with_features(x, t)
