"""SiD against Gaussians, whose Fisher divergence is known, and against its formula written out in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from support.exact_networks import GaussianNetwork, normal
from support.mixture_networks import two_islands
from support.trainings import GivenDraws, loss_of
from torch import Tensor, nn

from sfddm.data.gaussians import Mixture, sample_mixture
from sfddm.diffusion.process import q_sample
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods import make_method
from sfddm.methods.options import TrainingOptions
from sfddm.methods.sid import SiD, SiDOptions, generate, identity_error
from sfddm.networks.base import Condition, Network
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.steps import Steps
from sfddm.objectives.objective import Objective
from sfddm.objectives.terms import Batch
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.base import sample
from sfddm.training.loop import Seeds, train

SCHEDULE = make_schedule("cosine", 64)
SIGNAL, SIGMA = SCHEDULE.signal, SCHEDULE.sigma
TAU = SIGMA / SIGNAL
MEAN, DEVIATION = 0.25, 0.5  # of the data
CPU = torch.device("cpu")


def sid(**options: Any) -> SiD:
    method = make_method(SiDOptions.model_validate({"method": "sid", **options}), SCHEDULE)
    assert isinstance(method, SiD)
    return method


(LEVEL,) = sid().index_set(1)


class Affine(Network):
    """A generator that is exactly Gaussian: its x0 is mean + scale x."""

    def __init__(self, mean: float, scale: float) -> None:
        super().__init__()
        self.config, self.classes = {}, None
        self.mean, self.scale = (nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in (mean, scale))

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        return self.mean + self.scale * x


class Unrounded(Denoiser):
    """A denoiser in float64 throughout."""

    def __init__(self, network: Network, steps: Steps) -> None:
        super().__init__(network, "x0", steps)
        self.signal, self.sigma = (torch.from_numpy(values[list(steps.index_set)]) for values in (SIGNAL, SIGMA))

    def _ask(self, x: Tensor, condition: Condition) -> Tensor:
        output: Tensor = self.network(x, condition)
        return output


def gaussian(mean: float, deviation: float) -> Denoiser:
    """Return the exact denoiser of N(mean, deviation^2)."""
    network = GaussianNetwork(SCHEDULE, torch.tensor(mean, dtype=torch.float64), deviation, "x0")
    return Unrounded(network, Steps.of_teacher(SCHEDULE))


def generator(mean: float, deviation: float) -> Denoiser:
    """Return the generator whose images are N(mean, deviation^2)."""
    steps = Steps.of_teacher(SCHEDULE).subsequence((LEVEL,), (LEVEL,))
    return Unrounded(Affine(mean, deviation / SIGMA[LEVEL]), steps)


def posterior_mean(x: Any, t: Any, mean: float, deviation: float) -> Any:
    """Return E[x0 | x_t] where x0 is N(mean, deviation^2), by hand."""
    a, s = SIGNAL[t], SIGMA[t]
    return (mean * s**2 + a * deviation**2 * x) / (a**2 * deviation**2 + s**2)


def given(count: int = 6, size: int = 2) -> tuple[Batch, GivenDraws, Any, Any, Any]:
    """Return a batch without images, its draws, and as numpy: the noise of both, and the uniform numbers."""
    noise, further = (normal(count, 1, size, size, seed=seed).double() for seed in (1, 2))
    uniform = torch.linspace(0.02, 0.98, count, dtype=torch.float64)
    nothing = torch.full_like(noise, float("nan"))
    batch = Batch(nothing, noise, torch.zeros(count, dtype=torch.int64))
    return batch, GivenDraws(("level",), further[None], uniform[None]), noise.numpy(), further.numpy(), uniform.numpy()


def nearest(log_tau: Any) -> Any:
    return np.abs(np.log(TAU) - np.asarray(log_tau)[:, None]).argmin(1)


def levels(uniform: Any, share: float = 0.8) -> Any:
    """Return the indices of G's loss, as the formula says."""
    low, high = (np.clip(end, TAU[0], TAU[-1]) ** (1 / 7) for end in (0.002, 80.0))
    return nearest(7 * np.log(low + share * uniform * (high - low)))


# --- G's loss -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.2])
def test_loss_and_gradient_are_those_of_the_formula_and_of_its_differences(alpha: float) -> None:
    """So the gradient goes through x_g and through the inputs of both networks, and not through the divisor."""
    batch, draws, noise, further, uniform = given()
    t = levels(uniform)[:, None, None, None]
    fake = (0.1, 0.3)  # psi, not yet the best
    here = np.array([-0.2, 0.6])  # mean and scale of G

    def terms(theta: Any) -> tuple[Any, Any]:
        x_g = theta[0] + theta[1] * SIGMA[LEVEL] * noise
        x_t = SIGNAL[t] * x_g + SIGMA[t] * further
        f, f_psi = posterior_mean(x_t, t, MEAN, DEVIATION), posterior_mean(x_t, t, *fake)
        return (f - f_psi) * ((f - x_g) - alpha * (f - f_psi)), np.abs(x_g - f).mean(axis=(1, 2, 3), keepdims=True)

    divisor = terms(here)[1]
    student = generator(here[0], here[1] * SIGMA[LEVEL])
    loss = loss_of(
        sid(alpha=alpha), student, gaussian(MEAN, DEVIATION), batch, draws, auxiliary={"fake": gaussian(*fake)}
    )
    assert loss.trains_student
    assert loss.total.item() == pytest.approx(float((terms(here)[0] / divisor).mean()), rel=1e-10)
    loss.total.backward()
    ours = [float(parameter.grad) for parameter in student.network.parameters()]
    for i, step in enumerate(1e-5 * np.eye(2)):
        difference = ((terms(here + step)[0] - terms(here - step)[0]) / divisor).mean() / 2e-5
        assert ours[i] == pytest.approx(difference, rel=1e-7)


def divergence(mean: Tensor, deviation: Tensor, t: int) -> Tensor:
    """Return sigma^4 / alpha^2 times the Fisher divergence of the two laws of x_t, N(a mean, v) and the data's.

    The difference of the scores at x is (x - a mean) (1 / v - 1 / v_data) - a (mean - mean_data) / v_data.
    """
    a, s = SIGNAL[t], SIGMA[t]
    v, v_data = a**2 * deviation**2 + s**2, a**2 * DEVIATION**2 + s**2
    fisher = (1 / v - 1 / v_data) ** 2 * v + (a * (mean - MEAN) / v_data) ** 2
    return s**4 / a**2 * fisher


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0, 1.2])
@pytest.mark.parametrize("t", [3, 30, 58])
def test_with_the_best_psi_the_expected_loss_is_a_multiple_of_the_fisher_divergence(alpha: float, t: int) -> None:
    """E[x_g | x_t] = f_psi turns (f - f_psi)(f - x_g) into (f - f_psi)^2, so the value is 1 - alpha times F.

    Of the gradient, psi held fixed: F(theta) is both L(theta, psi*) of the first product and Q(theta, psi*) of the
    square. What F's gradient has besides comes through psi*: with g = E[d f_psi* (f - f_psi)], dF = dL - g = dQ - 2 g,
    so that dF = 2 dL - dQ = 2 d(L - Q / 2): at alpha = 1/2, and there alone, the gradient is half that of F.
    """
    mean, deviation = -0.2, 0.35
    student, psi, teacher = generator(mean, deviation), gaussian(mean, deviation), gaussian(MEAN, DEVIATION)
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)  # exact: the loss is of degree 2 in each noise
    weights = weights / weights.sum()
    images, noise = (torch.from_numpy(grid.reshape(9, 1, 1, 1)) for grid in np.meshgrid(nodes, nodes))
    x_g, index = generate(student, images), torch.full((9,), t)
    x_t = q_sample(x_g, noise, teacher.level(index))
    errors = identity_error(teacher.predict(x_t, index).x0, psi.predict(x_t, index).x0, x_g, alpha)
    expected = (torch.from_numpy(np.outer(weights, weights).ravel()) * errors).sum()
    where = torch.tensor([mean, deviation], dtype=torch.float64, requires_grad=True)
    closed = divergence(*where, t)  # type: ignore[arg-type]
    assert expected.item() == pytest.approx((1 - alpha) * closed.item(), abs=1e-12 + 1e-9 * closed.item())
    ours = torch.stack(torch.autograd.grad(expected, list(student.network.parameters())))
    ours[1] /= SIGMA[LEVEL]  # from the network's scale to the deviation
    (of_divergence,) = torch.autograd.grad(closed, where)
    assert torch.allclose(ours, of_divergence / 2, rtol=1e-8, atol=1e-14) == (alpha == 0.5)


def test_where_the_generator_is_the_data_and_psi_the_best_nothing_pulls() -> None:
    batch, draws, *_ = given()
    teacher, best = gaussian(MEAN, DEVIATION), gaussian(MEAN, DEVIATION)

    def pull(mean: float, psi: Denoiser) -> tuple[float, float]:
        student = generator(mean, DEVIATION)
        loss = loss_of(sid(), student, teacher, batch, draws, auxiliary={"fake": psi})
        loss.total.backward()
        return loss.total.item(), max(abs(float(parameter.grad)) for parameter in student.network.parameters())

    assert pull(MEAN, best) == (0.0, 0.0)
    assert min(map(abs, pull(MEAN + 0.1, gaussian(MEAN + 0.1, DEVIATION)))) > 1e-3


# --- psi, and whose turn it is ------------------------------------------------------------------------------------


def test_psi_denoises_what_the_generator_makes_at_levels_of_edm() -> None:
    batch, draws, noise, further, uniform = given()
    student, teacher = generator(-0.2, 0.35), gaussian(MEAN, DEVIATION)
    odd = Batch(batch.x0, batch.noise, batch.k, step=1)
    loss = loss_of(sid(), student, teacher, odd, draws, auxiliary={"fake": gaussian(0.1, 0.3)})
    t = nearest(norm(-1.2, 1.2).ppf(uniform))[:, None, None, None]
    x_g = -0.2 + 0.35 * noise
    said = posterior_mean(SIGNAL[t] * x_g + SIGMA[t] * further, t, 0.1, 0.3)
    assert loss.total.item() == pytest.approx(((said - x_g) ** 2).mean(), rel=1e-10)
    assert not loss.trains_student


def perceptron(seed: int, classes: int | None = None, width: int = 16) -> Denoiser:
    config = PerceptronOptions(kind="mlp", width=width, depth=1, classes=classes).config(1, 2)
    return Denoiser(build_network(config, seed), "v", Steps.of_teacher(SCHEDULE))


def at_level(model: Denoiser) -> Denoiser:
    return Denoiser(model.network, "v", model.steps.subsequence((LEVEL,), (LEVEL,)))


def test_generator_and_psi_take_turns_and_neither_moves_in_the_others() -> None:
    method, teacher, student = sid(), perceptron(1), at_level(perceptron(2))
    objective = method.objective(method.plan(1).trainings[0], student, FrozenDenoiser(teacher))
    fake: Any = objective.auxiliary["fake"]
    assert all(torch.equal(a, b) for a, b in zip(fake.parameters(), teacher.parameters(), strict=True))
    assert fake.network is not teacher.network
    with torch.no_grad():
        for parameter in fake.parameters():
            parameter.mul_(0.9)
    noise, k = normal(8, 2, 1, 1), torch.zeros(8, dtype=torch.int64)
    draws = GivenDraws(objective.draws, normal(1, 8, 2, 1, 1, seed=1), torch.linspace(0.1, 0.9, 8)[None])
    for step in range(4):
        objective.zero_grad(set_to_none=True)
        loss = objective(Batch(torch.full_like(noise, float("nan")), noise, k, step=step), draws)
        loss.total.backward()
        moved = [any(p.grad is not None for p in model.parameters()) for model in (student, fake)]
        assert moved == [step % 2 == 0, step % 2 == 1]
        assert loss.trains_student == (step % 2 == 0)
    assert all(p.grad is None and not p.requires_grad for p in teacher.parameters())
    assert all(p.requires_grad for p in fake.parameters()), "it learns again in its own turn"


def test_all_three_networks_are_told_the_class() -> None:
    method, labels = sid(), torch.tensor([0, 2, 1, 2])
    teacher, student, fake = perceptron(1, 3), at_level(perceptron(2, 3)), perceptron(3, 3)
    x, further = normal(4, 2, 1, 1), normal(1, 4, 2, 1, 1, seed=1)
    draws = GivenDraws(("level",), further, torch.linspace(0.1, 0.9, 4)[None])
    objective = Objective(
        student, FrozenDenoiser(teacher), method.loss, auxiliary=nn.ModuleDict({"fake": fake}), draws=("level",)
    )
    loss = objective(Batch(x, x, torch.zeros(4, dtype=torch.int64), labels), draws)
    t = torch.from_numpy(levels(np.linspace(0.1, 0.9, 4)))
    made = student.given(labels).predict(float(SIGMA[LEVEL]) * x, torch.full((4,), LEVEL)).x0
    x_t = q_sample(made, further[0], teacher.level(t))
    f, f_psi = (model.given(labels).predict(x_t, t).x0 for model in (teacher, fake))
    scale = (made - f).abs().mean((1, 2, 3))
    expected = (((f - f_psi) * (f - made - 1.2 * (f - f_psi))).mean((1, 2, 3)) / scale).mean()
    assert loss.total.item() == pytest.approx(expected.item(), rel=1e-4)


# --- levels, steps, sampling --------------------------------------------------------------------------------------


def test_levels_are_the_teachers_nearest() -> None:
    uniform = np.linspace(0, 1, 200, endpoint=False)
    for share in (0.8, 0.3):
        ours = sid(noise_share=share)._index(torch.from_numpy(uniform))
        assert ours.tolist() == levels(uniform, share).tolist()
    assert np.abs(np.log(TAU / 2.5)).argmin() == LEVEL


def test_one_evaluation_makes_the_image_that_training_made() -> None:
    method, student, noise = sid(clip=False), at_level(perceptron(2)), normal(5, 2, 1, 1)
    plan = method.plan(1)
    assert plan.index_set == plan.trainings[0].index_set == (LEVEL,)
    with torch.no_grad():
        sampled = sample(student, (LEVEL,), plan.sampler, noise, lambda k: noise)
        assert torch.allclose(sampled, generate(student, noise), atol=1e-6)
    assert student.evaluations == 10


@pytest.mark.parametrize(
    ("options", "steps", "sentence"),
    [
        ({}, 4, r"^steps: SiD's generator makes an image in 1 step, not in 4$"),
        ({"generator_tau": 1e9}, 1, r"^generator_tau: must lie in the teacher's .* to .*, got 1e\+09$"),
        ({"generator_tau": 1e-9}, 1, r"^generator_tau: must lie in the teacher's .* to .*, got 1e-09$"),
    ],
)
def test_what_it_cannot_do_is_refused(options: dict[str, Any], steps: int, sentence: str) -> None:
    with pytest.raises(SfddmError, match=sentence):
        sid(**options).plan(steps)


# --- learning -----------------------------------------------------------------------------------------------------


class ExactMixture(Network):
    """E[x0 | x_t] of points of a mixture, through which a gradient flows."""

    def __init__(self, mixture: Mixture) -> None:
        super().__init__()
        self.config, self.classes = {}, None
        self.means, self.variance = torch.from_numpy(mixture.means).float(), float(mixture.variances[0])

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        a = torch.from_numpy(SIGNAL).float()[condition.t, None]  # (B, 1)
        v = a**2 * self.variance + 1 - a**2
        away = x.flatten(1)[:, None] - a[:, None] * self.means  # (B, M, 2)
        share = torch.softmax(-away.square().sum(2) / (2 * v), dim=1)[:, :, None]
        each = self.means + (a * self.variance / v)[:, None] * away
        return (share * each).sum(1).view_as(x)


def energy_distance(one: Tensor, other: Tensor) -> float:
    between, *within = (torch.cdist(a, b).mean() for a, b in ((one, other), (one, one), (other, other)))
    return float(2 * between - within[0] - within[1])


def test_a_generator_learns_the_teachers_distribution(tmp_path: Path) -> None:
    """From random weights, in the training loop; the images that this one reads are black."""
    mixture, method = two_islands(sigma=0.1), sid()
    teacher = FrozenDenoiser(Denoiser(ExactMixture(mixture), "x0", Steps.of_teacher(SCHEDULE)))
    student, fake = at_level(perceptron(0, width=32)), perceptron(1, width=32)
    auxiliary = nn.ModuleDict({"fake": fake})
    objective = Objective(student, teacher, method.loss, auxiliary=auxiliary, draws=("level",))
    wanted = torch.from_numpy(sample_mixture(mixture, 1000, np.random.default_rng(0))[0]).float()

    def distance() -> float:
        with torch.no_grad():
            return energy_distance(generate(student, normal(1000, 2, 1, 1, seed=9)).flatten(1), wanted)

    before, black = distance(), np.zeros((4, 1, 1, 2), np.uint8)
    options = TrainingOptions(
        images=256 * 600,
        batch_size=256,
        learning_rate=2e-2,
        learning_rate_schedule="linear",
        adam_betas=(0.0, 0.999),
        ema=0.98,
    )
    train(
        objective,
        black,
        np.full(4, -1),
        options,
        seeds=Seeds(1, 2),
        checkpoint=tmp_path / "checkpoint",
        device=CPU,
        title="tiny",
    )
    assert distance() < before / 10
