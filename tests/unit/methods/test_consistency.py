"""Consistency distillation, against the coefficients of Song et al. 2023 and a single image in closed form."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.exact_networks import gaussian_denoiser, normal
from support.trainings import loss_of

from sfddm.diffusion.process import NoiseLevel, consistency_prediction, prediction_from
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.consistency import Consistency, ConsistencyOptions
from sfddm.networks.base import Condition, Network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.base import sample
from sfddm.samplers.consistency import ConsistencySampler


def level_of(alpha_bar: float) -> NoiseLevel:
    return NoiseLevel(sqrt(alpha_bar), sqrt(1 - alpha_bar))


@given(st.floats(1e-4, 0.99), st.floats(0.001, 1.0), st.integers(0, 1000))
def test_the_coefficients_are_those_of_song_et_al(alpha_bar: float, share: float, seed: int) -> None:
    """Appendix C with sigma_data = 1; c_in / sqrt(tau^2 + 1) is what makes the network's input x itself."""
    smallest = alpha_bar + share * (0.9999 - alpha_bar)
    x, raw = normal(1, 1, 2, 2, seed=seed).double(), normal(1, 1, 2, 2, seed=seed + 1).double()
    tau, tau_min = (sqrt((1 - a) / a) for a in (alpha_bar, smallest))
    c_skip = 1 / ((tau - tau_min) ** 2 + 1)
    c_out = (tau - tau_min) / sqrt(1 + tau**2)
    prediction = consistency_prediction(raw, x, level_of(alpha_bar), level_of(smallest))
    torch.testing.assert_close(prediction.x0, c_skip * x / sqrt(alpha_bar) - c_out * raw, rtol=1e-8, atol=1e-8)
    explained = sqrt(alpha_bar) * prediction.x0 + sqrt(1 - alpha_bar) * prediction.eps
    torch.testing.assert_close(explained, x, rtol=1e-8, atol=1e-8)


@given(st.floats(1e-4, 0.9999), st.integers(0, 1000))
def test_at_the_smallest_noise_it_returns_its_input(alpha_bar: float, seed: int) -> None:
    x, raw = normal(1, 1, 2, 2, seed=seed), normal(1, 1, 2, 2, seed=seed + 1)
    level = level_of(alpha_bar)
    assert torch.equal(consistency_prediction(raw, x, level, level).x0, x / level.signal)


@given(st.floats(1e-3, 0.9999), st.integers(0, 1000))
def test_without_a_smallest_noise_it_is_a_v_prediction(alpha_bar: float, seed: int) -> None:
    x, raw = normal(1, 1, 2, 2, seed=seed).double(), normal(1, 1, 2, 2, seed=seed + 1).double()
    level = level_of(alpha_bar)
    ours, v = consistency_prediction(raw, x, level, NoiseLevel(1.0, 0.0)), prediction_from("v", raw, x, level)
    torch.testing.assert_close(ours.x0, v.x0, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(ours.eps, v.eps, rtol=1e-8, atol=1e-8)


def consistency(**options: Any) -> Consistency:
    return Consistency(
        ConsistencyOptions.model_validate({"method": "consistency", **options}), make_schedule("cosine", 64)
    )


class ExactConsistency(Network):
    classes = None

    """The raw output that makes f constant along a single image's paths: f(x_t, t) = image + tau_min eps."""

    def __init__(self, denoiser: Denoiser, image: torch.Tensor) -> None:
        super().__init__()
        self.levels, self.image = torch.from_numpy(denoiser.steps.alphas_bar), image.double()

    def forward(self, x: torch.Tensor, condition: Condition) -> torch.Tensor:
        t = condition.t
        a = self.levels[t].view(-1, 1, 1, 1)
        tau, tau_min = ((1 - a) / a).sqrt(), ((1 - self.levels[0]) / self.levels[0]).sqrt()
        eps = (x.double() - a.sqrt() * self.image) / (1 - a).sqrt()
        wanted = self.image + tau_min * eps
        beyond = (tau - tau_min).clamp(min=1e-9)
        return (x / a.sqrt() / (beyond**2 + 1) - wanted) / (beyond * a.sqrt())


def test_where_the_data_is_one_image_the_exact_function_has_no_loss() -> None:
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    teacher = gaussian_denoiser(make_schedule("cosine", 64), image, 0.0, "x0")
    method = consistency()
    (training,) = method.plan(4).trainings
    steps = teacher.steps.subsequence(training.index_set, training.index_set)
    student = Denoiser(ExactConsistency(teacher, image), "consistency", steps)
    frozen = FrozenDenoiser(student)
    k = torch.arange(len(training.index_set))
    batch = Batch(image.expand(len(k), 1, 2, 2), normal(len(k), 1, 2, 2), k)
    exact = loss_of(method, student, teacher, batch, average=frozen)
    wrong = Denoiser(ExactConsistency(teacher, image + 0.5), "consistency", steps)
    other = loss_of(method, wrong, teacher, batch, average=frozen)
    assert float(exact.total) < 1e-7
    assert float(other.total) > 1e-2


def test_sampling_noises_the_image_afresh_at_every_step_but_the_last() -> None:
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    schedule = make_schedule("cosine", 64)
    asked: list[int] = []
    seen: list[torch.Tensor] = []

    class Recorder(Network):
        classes = None

        def forward(self, x: torch.Tensor, condition: Condition) -> torch.Tensor:
            seen.append(x)
            return image.expand_as(x)

    def noise_of_step(k: int) -> torch.Tensor:
        asked.append(k)
        return normal(2, 1, 2, 2, seed=k)

    steps = gaussian_denoiser(schedule, image, 0.0).steps
    model = Denoiser(Recorder(), "x0", steps)
    out = sample(model, (9, 30, 63), ConsistencySampler(0.0, clip=False), normal(2, 1, 2, 2), noise_of_step)
    assert asked == [2, 1]
    for k, t in ((2, 30), (1, 9)):
        a = float(schedule.alphas_bar[t])
        torch.testing.assert_close(seen[3 - k], sqrt(a) * image + sqrt(1 - a) * normal(2, 1, 2, 2, seed=k))
    torch.testing.assert_close(out, image.expand(2, 1, 2, 2))


def test_one_training_serves_every_step_count_up_to_its_path() -> None:
    method = consistency(discretisation=18)
    (training,) = method.plan(1).trainings
    assert training.index_set == method.path()
    assert training.prediction == "consistency", "whatever the teacher predicts"
    assert (training.index_set[0], training.index_set[-1], len(training.index_set)) == (0, 63, 18)
    for steps in range(1, 18):
        plan = method.plan(steps)
        assert plan.trainings == plan.students == (training,)
        index_set = method.index_set(steps)
        assert plan.index_set == index_set
        assert len(index_set) == steps
        assert index_set[-1] == 63
        assert set(index_set) <= set(training.index_set[1:])
    with pytest.raises(SfddmError, match=r"steps: a path of 18 points \(discretisation\) gives at most 17 steps"):
        method.index_set(18)
