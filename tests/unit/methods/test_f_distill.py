"""f-distill: the weight of the distribution matching gradient against the divergence itself, by quadrature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import normal
from support.trainings import GivenDraws, loss_of

from sfddm.diffusion.process import q_sample
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods import make_method
from sfddm.methods.multi_student import (
    MultiStudent,
    MultiStudentOptions,
    density_weight,
    distribution_gradient,
    generate,
)
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.steps import Steps
from sfddm.objectives.terms import Batch
from sfddm.runtime.errors import SfddmError

SCHEDULE = make_schedule("cosine", 64)
DRAWS = ("match", "fake")
#: f of the divergence E_student[f(p_teacher / p_student)], as textbooks have it.
GENERATORS: dict[Any, Callable[[torch.Tensor], torch.Tensor]] = {
    "reverse-kl": lambda r: -r.log(),
    "kl": lambda r: r * r.log(),
    "jensen-shannon": lambda r: r * r.log() - (r + 1) * ((r + 1) / 2).log(),
}
GRID = torch.linspace(-12, 12, 4001, dtype=torch.float64)


def multi_student(**options: Any) -> MultiStudent:
    method = make_method(MultiStudentOptions.model_validate({"method": "multi-student", **options}), SCHEDULE)
    assert isinstance(method, MultiStudent)
    return method


def batch_of(x: torch.Tensor) -> Batch:
    return Batch(x, x, torch.zeros(len(x), dtype=torch.int64))


def perceptron(seed: int) -> Denoiser:
    config = PerceptronOptions(kind="mlp", width=16, depth=1).config(1, 2)
    return Denoiser(build_network(config, seed), "v", Steps.of_teacher(SCHEDULE))


def log_density(x: torch.Tensor, mean: torch.Tensor | float, variance: float) -> torch.Tensor:
    return -((x - mean) ** 2) / (2 * variance) - 0.5 * np.log(2 * np.pi * variance)


def test_the_best_critics_score_is_the_logarithm_of_the_density_ratio() -> None:
    """Of the loss as ``critic_error`` has it, softplus of the wrong sign, at every x of two Gaussians."""
    p, q = (log_density(GRID, mean, variance).exp() for mean, variance in ((0.4, 0.8), (-0.3, 1.3)))
    score = (log_density(GRID, 0.4, 0.8) - log_density(GRID, -0.3, 1.3)).requires_grad_()
    softplus = torch.nn.functional.softplus
    (slope,) = torch.autograd.grad((p * softplus(-score) + q * softplus(score)).sum(), score)
    assert float(slope.abs().max()) < 1e-14


@pytest.mark.parametrize("divergence", list(GENERATORS))
def test_the_weight_makes_the_gradient_that_of_the_divergence(divergence: Any) -> None:
    """For a student N(theta, 1.3) and a teacher N(0.4, 0.8), with the divergence by quadrature and by its difference.

    x = theta + noise moves with theta, so that the gradient is E_student[h(r) (s_student - s_teacher)].
    """
    step, width = 1e-4, float(GRID[1] - GRID[0])

    def value(theta: float) -> float:
        log_q = log_density(GRID, theta, 1.3)
        return float((log_q.exp() * GENERATORS[divergence]((log_density(GRID, 0.4, 0.8) - log_q).exp())).sum() * width)

    scores = log_density(GRID, 0.4, 0.8) - log_density(GRID, -0.3, 1.3)
    weight = density_weight(scores, divergence, 1e9)
    weight = weight.flatten() if isinstance(weight, torch.Tensor) else weight
    difference = -(GRID + 0.3) / 1.3 + (GRID - 0.4) / 0.8
    gradient = (log_density(GRID, -0.3, 1.3).exp() * weight * difference).sum() * width
    expected = (value(-0.3 + step) - value(-0.3 - step)) / (2 * step)
    assert float(gradient) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("divergence", list(GENERATORS))
def test_the_gradient_of_the_last_stage_is_weighed_by_the_ratio_at_its_own_noised_image(divergence: Any) -> None:
    """A critic that knows the two densities of x_t, and features that are x_t; the ratio is clipped at 2."""
    method = multi_student(
        regression_weight=0.0,
        adversarial={"images": 64},
        adversarial_weight=0.0,
        divergence=divergence,
        largest_ratio=2,
    )

    class Seeing(Denoiser):
        def middle_features(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)

    class Knowing(torch.nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return (log_density(features, 0.4, 0.8) - log_density(features, -0.3, 1.3)).sum(1)

    teacher, student = perceptron(seed=1), perceptron(seed=2)
    generator = Denoiser(student.network, "v", student.steps.subsequence((63,), (63,)))
    fake, noise = Seeing(perceptron(seed=3).network, "v", teacher.steps), normal(16, 2, 1, 1)
    further, uniform = torch.stack([normal(16, 2, 1, 1, seed=s) for s in (1, 2)]), torch.linspace(0, 0.99, 32)
    draws = GivenDraws(DRAWS, further, uniform.view(2, 16))
    auxiliary = {"fake": fake, "critic": Knowing()}
    loss = loss_of(method, generator, teacher, batch_of(noise), draws, auxiliary=torch.nn.ModuleDict(auxiliary))
    made, t = generate(generator, noise).detach(), method._level_index(uniform[:16])
    x_t = q_sample(made, further[0], teacher.level(t)).flatten(1)
    ratio = (log_density(x_t, 0.4, 0.8) - log_density(x_t, -0.3, 1.3)).sum(1).exp().clamp(max=2)
    assert (ratio == 2).any()
    assert (ratio < 2).any()
    h = {"reverse-kl": torch.ones(16), "kl": ratio, "jensen-shannon": ratio / (1 + ratio)}[divergence]
    plain = distribution_gradient(fake, FrozenDenoiser(teacher), made, further[0], t)
    expected = 0.5 * (h[:, None] * plain.flatten(1)).square().mean()
    assert float(loss.parts["matching"]) == pytest.approx(float(expected), rel=1e-4)


def test_another_divergence_needs_a_critic() -> None:
    with pytest.raises(SfddmError, match=r"^divergence: kl needs the last stage's critic; give adversarial, or"):
        multi_student(divergence="kl").plan(1)
    assert multi_student(divergence="kl", adversarial={"images": 64}).plan(1).sampled == ("1.adm-0",)


def test_what_a_row_is_a_function_of_names_the_divergence_only_where_it_is_another() -> None:
    """So that trainings from before there was a choice keep their digests."""
    plain, other = (multi_student(**chosen).options.model_dump() for chosen in ({}, {"divergence": "kl"}))
    assert not {"divergence", "largest_ratio"} & set(plain)
    assert set(other) - set(plain) == {"divergence", "largest_ratio"}
    assert MultiStudentOptions.model_validate(other) == multi_student(divergence="kl").options
