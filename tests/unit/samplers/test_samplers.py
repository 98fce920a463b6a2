"""Samplers, against diffusers' schedulers, the papers' formulas written out, and Gaussian data in closed form."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.exact_networks import gaussian_denoiser, normal, student_schedule, tiny_denoiser
from support.sampled_specs import sampled_spec
from torch import Tensor

from sfddm.diffusion.index_sets import make_index_set
from sfddm.diffusion.process import NoiseLevel, Prediction, prediction_from
from sfddm.diffusion.randomness import initial_noise, step_noise
from sfddm.diffusion.schedule import Schedule, ScheduleKind, make_schedule
from sfddm.networks.base import Condition
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import save_model
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.ancestral import Ancestral, ancestral_step
from sfddm.samplers.base import Sampler, sample
from sfddm.samplers.ddim import DDIM, ddim_step
from sfddm.sampling.images import sample_row
from sfddm.spec.experiment import Spec
from sfddm.spec.stages import row_sampling

IRREGULAR = (2, 3, 9, 20, 21, 40, 55, 63)
UNCLIPPED = DDIM(clip=False)
ANCESTRAL = Ancestral(clip=False)


def no_noise(k: int) -> Tensor:
    raise AssertionError("a deterministic sampler asked for noise")


def level_of(alpha_bar: float) -> NoiseLevel:
    return NoiseLevel(sqrt(alpha_bar), sqrt(1 - alpha_bar))


def scheduler_for(name: str, schedule: Schedule, **config: Any) -> Any:
    """Return a scheduler of diffusers that computes in float64, so that only its formulas are compared.

    It derives its cumulative alphas from float32 betas, which near beta = 1 are right to three digits only.
    """
    import diffusers.schedulers.scheduling_ddim
    import diffusers.schedulers.scheduling_ddpm

    classes = {
        "ddim": diffusers.schedulers.scheduling_ddim.DDIMScheduler,
        "ddpm": diffusers.schedulers.scheduling_ddpm.DDPMScheduler,
    }
    betas = schedule.betas.tolist()
    scheduler: Any = classes[name](num_train_timesteps=len(betas), trained_betas=betas, clip_sample=False, **config)
    # alphas_bar' = prod(1 - beta'), relative error of float32 betas: 6e-8 / alpha' at each step
    error = np.cumsum(2e-7 / schedule.alphas)
    theirs = scheduler.alphas_cumprod.double().numpy()
    assert np.all(np.abs(theirs / schedule.alphas_bar - 1) < error)
    scheduler.alphas_cumprod = torch.from_numpy(schedule.alphas_bar)
    scheduler.set_timesteps(schedule.timesteps)
    return scheduler


def irregular_schedule() -> Schedule:
    return student_schedule(make_schedule("sigmoid", 64), IRREGULAR)


schedules = pytest.mark.parametrize(
    "schedule",
    [
        make_schedule("linear", 64),
        student_schedule(make_schedule("cosine", 50), tuple(range(4, 50, 5))),
        irregular_schedule(),
    ],
    ids=["teacher", "uniform student", "irregular student"],
)


# --- single steps -------------------------------------------------------------------------------------------------


@schedules
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_ddim_step_agrees_with_diffusers(schedule: Schedule, eta: float) -> None:
    scheduler = scheduler_for("ddim", schedule)
    x, eps, noise = (normal(3, 1, 4, 4, seed=seed).double() for seed in range(3))
    for k in range(schedule.timesteps):
        here, there = float(schedule.alphas_bar[k]), float(schedule.alphas_bar[k - 1]) if k else 1.0
        theirs = scheduler.step(eps, k, x, eta=eta, variance_noise=noise if eta else None).prev_sample
        ours = ddim_step(prediction_from("epsilon", eps, x, level_of(here)), here, there, eta, noise)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12 / here)


@schedules
def test_an_ancestral_step_agrees_with_diffusers(schedule: Schedule) -> None:
    scheduler = scheduler_for("ddpm", schedule, variance_type="fixed_small")
    x, eps = (normal(3, 1, 4, 4, seed=seed).double() for seed in range(2))
    for k in range(schedule.timesteps):
        here, there = float(schedule.alphas_bar[k]), float(schedule.alphas_bar[k - 1]) if k else 1.0
        theirs = scheduler.step(eps, k, x, generator=torch.Generator().manual_seed(k)).prev_sample
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(k), dtype=x.dtype)
        ours = ancestral_step(x, prediction_from("epsilon", eps, x, level_of(here)), here, there, noise)
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12 / here)


@given(st.floats(1e-3, 0.99), st.floats(0.01, 0.99), st.integers(0, 1000))
def test_an_ancestral_step_is_ddim_with_eta_1(alpha_bar: float, share: float, seed: int) -> None:
    """The posterior of Ho et al. 2020 and Song et al. 2021 at eta = 1 are the same distribution."""
    alpha_bar_next = alpha_bar + share * (1 - alpha_bar)
    x, eps, noise = (normal(1, 1, 2, 2, seed=seed + i).double() for i in range(3))
    prediction = prediction_from("epsilon", eps, x, level_of(alpha_bar))
    posterior = ancestral_step(x, prediction, alpha_bar, alpha_bar_next, noise)
    torch.testing.assert_close(ddim_step(prediction, alpha_bar, alpha_bar_next, 1.0, noise), posterior)


def test_one_ddim_step_of_a_student_is_the_papers_formula() -> None:
    """x'_{k-1} = sqrt(a'_{k-1}) (x'_k - sqrt(1 - a'_k) eps) / sqrt(a'_k) + sqrt(1 - a'_{k-1}) eps, a'_k = a_{phi_k}."""
    teacher = tiny_denoiser(make_schedule("sigmoid", 64))
    alphas_bar = make_schedule("sigmoid", 64).alphas_bar
    x = normal(2, 1, 8, 8)
    for k in range(1, len(IRREGULAR)):
        pair = (IRREGULAR[k - 1], IRREGULAR[k])
        steps = teacher.steps.subsequence(pair, pair)
        student = Denoiser(teacher.network, "epsilon", steps)
        before, here = (float(alphas_bar[t]) for t in pair)
        with torch.no_grad():
            eps = teacher.network(x, Condition(torch.tensor([pair[1]] * 2))).double()
            x_before = sqrt(before) * (x.double() - sqrt(1 - here) * eps) / sqrt(here) + sqrt(1 - before) * eps
            ours = ddim_step(student.predict(x, student.batch_of(pair[1], 2)), here, before)
            # from there to the clean image: x0 = (x - sqrt(1 - a) eps) / sqrt(a)
            last = teacher.network(x_before.float(), Condition(torch.tensor([pair[0]] * 2))).double()
            clean = (x_before - sqrt(1 - before) * last) / sqrt(before)
            walked = sample(student, pair, UNCLIPPED, x, no_noise)
        scale = float(x_before.abs().max())
        torch.testing.assert_close(ours.double(), x_before, rtol=1e-6, atol=1e-6 * scale)
        torch.testing.assert_close(walked.double(), clean, rtol=1e-4, atol=1e-4 * scale)


def test_a_step_to_the_clean_image_adds_no_noise() -> None:
    prediction = Prediction(normal(1, 1, 2, 2), normal(1, 1, 2, 2, seed=1))
    noise = torch.full((1, 1, 2, 2), 1e6)
    torch.testing.assert_close(ddim_step(prediction, 0.9, 1.0, 1.0, noise), prediction.x0)
    torch.testing.assert_close(ancestral_step(noise, prediction, 0.9, 1.0, noise), prediction.x0)


# --- whole walks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "spacing"), [("uniform", "trailing"), ("uniform-released", "leading")])
@pytest.mark.parametrize("clip", [False, True])
def test_ddim_on_a_subsequence_of_the_teacher_agrees_with_diffusers(kind: Any, spacing: str, clip: bool) -> None:
    """Both alignments are spacings that diffusers knows: the paper's is "trailing", the released code's "leading"."""
    schedule = make_schedule("linear", 64)
    teacher = tiny_denoiser(schedule)
    scheduler = scheduler_for("ddim", schedule, timestep_spacing=spacing)
    scheduler.register_to_config(clip_sample=clip)
    scheduler.set_timesteps(16)
    index_set = make_index_set(kind, 64, 16)
    assert scheduler.timesteps.tolist() == list(reversed(index_set))
    x = noise = normal(2, 1, 8, 8)
    with torch.no_grad():
        for t in scheduler.timesteps:
            eps = teacher.network(x, Condition(t))
            x = scheduler.step(eps, t, x, eta=0.0, use_clipped_model_output=clip).prev_sample
        ours = sample(teacher, index_set, DDIM(clip=clip), noise, no_noise)
    torch.testing.assert_close(ours, x, rtol=1e-4, atol=1e-4 * float(x.abs().max()))


@pytest.mark.parametrize("sampler", [DDIM(eta=0.7, clip=False), ANCESTRAL], ids=["ddim", "ancestral"])
def test_random_walks_ask_for_noise_at_every_step_but_the_last(sampler: Sampler) -> None:
    teacher = tiny_denoiser()
    asked = []

    def noise_of_step(k: int) -> Tensor:
        asked.append(k)
        return torch.zeros(1, 1, 8, 8)

    with torch.no_grad():
        sample(teacher, IRREGULAR, sampler, normal(1, 1, 8, 8), noise_of_step)
    assert asked == [7, 6, 5, 4, 3, 2, 1]


def standard_noise(shape: tuple[int, ...]) -> Callable[[int], Tensor]:
    return lambda k: normal(*shape, seed=1000 + k)


def mean_and_deviation_after_ddim(kind: ScheduleKind, steps: int, mean: float, deviation: float) -> tuple[float, float]:
    """For Gaussian data every DDIM step is affine: two starting points give the whole map of N(0, 1)."""
    schedule = make_schedule(kind, 1024)
    teacher = gaussian_denoiser(schedule, torch.tensor(mean), deviation)
    starts = torch.tensor([0.0, 1.0, 3.0]).view(3, 1, 1, 1)
    zero, one, three = sample(teacher, make_index_set("linspace", 1024, steps), UNCLIPPED, starts, no_noise).flatten()
    assert float(three - zero) == pytest.approx(3 * float(one - zero), rel=1e-3)
    return float(zero), float(one - zero)


@pytest.mark.parametrize("kind", ["linear", "cosine", "sigmoid"])
@pytest.mark.parametrize(("mean", "deviation"), [(0.3, 0.5), (-0.6, 0.1), (0.0, 1.0)])
def test_ddim_carries_noise_to_gaussian_data(kind: ScheduleKind, mean: float, deviation: float) -> None:
    """In the limit of small steps DDIM maps N(0, 1) onto N(mean, deviation^2).

    What remains is the discretisation, of first order in the step, and at the start the little signal of x_T, which
    N(0, 1) lacks: sqrt(alphas_bar_T) mean, at most 6e-3 of the mean here.
    """
    found_mean, found_deviation = mean_and_deviation_after_ddim(kind, 1024, mean, deviation)
    assert found_mean == pytest.approx(mean, abs=0.01)
    assert found_deviation == pytest.approx(deviation, rel=0.03)


def test_the_error_of_ddim_is_of_first_order() -> None:
    """Four times the steps leave about a quarter of the error (Song et al. 2021, section 4.3: an Euler method)."""
    errors = [abs(mean_and_deviation_after_ddim("linear", steps, 0.0, 0.5)[1] - 0.5) for steps in (16, 64, 256)]
    assert 3 < errors[0] / errors[1] < 5.5
    assert 3 < errors[1] / errors[2] < 5.5


def test_ddim_is_exact_for_a_single_image_at_any_number_of_steps() -> None:
    schedule = make_schedule("sigmoid", 64)
    image = normal(1, 1, 4, 4, seed=5).clamp(-1, 1)
    teacher = gaussian_denoiser(schedule, image, 0.0, "x0")
    for index_set in ((63,), (10, 63), IRREGULAR, tuple(range(64))):
        images = sample(teacher, index_set, UNCLIPPED, normal(2, 1, 4, 4), no_noise)
        torch.testing.assert_close(images, image.expand(2, 1, 4, 4), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("sampler", [ANCESTRAL, DDIM(eta=1.0, clip=False)], ids=["ancestral", "eta 1"])
@pytest.mark.parametrize(("mean", "deviation"), [(0.3, 0.5), (-0.6, 0.1)])
def test_ancestral_sampling_carries_noise_to_gaussian_data(sampler: Sampler, mean: float, deviation: float) -> None:
    """Over 512 steps and 10,000 pixels.

    The mean of N pixels strays by deviation / sqrt(N), their deviation by deviation / sqrt(2 N): at four of those the
    chance of a false alarm would be 6e-5, were the seed not fixed. The finite step adds up to 1.5 % to the deviation
    (beta-tilde leaves out the variance of x0 given x_t).
    """
    count = 10_000
    teacher = gaussian_denoiser(make_schedule("cosine", 512), torch.tensor(mean), deviation)
    start = normal(count, 1, 1, 1)
    found = sample(teacher, tuple(range(512)), sampler, start, standard_noise((count, 1, 1, 1)))
    assert float(found.mean()) == pytest.approx(mean, abs=4 * deviation / sqrt(count) + 1e-3)
    assert float(found.std()) == pytest.approx(deviation, rel=4 / sqrt(2 * count) + 0.015)


@pytest.mark.parametrize("steps", [4, 16, 64])
def test_the_variance_of_ancestral_sampling_follows_its_recursion(steps: int) -> None:
    """For Gaussian data a step is x' = g x + h + sqrt(b) z, so mean and variance after few steps are known exactly."""
    mean, deviation, count = 0.3, 0.5, 20_000
    schedule = make_schedule("cosine", 64)
    teacher = gaussian_denoiser(schedule, torch.tensor(mean), deviation)
    index_set = make_index_set("linspace", 64, steps)
    expected_mean, variance = 0.0, 1.0
    own = student_schedule(schedule, index_set)
    for k in reversed(range(steps)):
        here, there = own.alphas_bar[k], own.alphas_bar[k - 1] if k else 1.0
        beta = 1 - here / there
        total = here * deviation**2 + 1 - here  # variance of x_t
        # x' = c0 E[x0 | x] + cx x + noise, with E[x0 | x] = m + sqrt(a) d^2 (x - sqrt(a) m) / total
        c0, cx = sqrt(there) * beta / (1 - here), sqrt(here / there) * (1 - there) / (1 - here)
        gain = c0 * sqrt(here) * deviation**2 / total
        expected_mean = c0 * mean + cx * expected_mean + gain * (expected_mean - sqrt(here) * mean)
        variance = (gain + cx) ** 2 * variance + beta * (1 - there) / (1 - here)
    found = sample(teacher, index_set, ANCESTRAL, normal(count, 1, 1, 1), standard_noise((count, 1, 1, 1)))
    assert float(found.mean()) == pytest.approx(expected_mean, abs=4 * sqrt(variance / count))
    assert float(found.std()) == pytest.approx(sqrt(variance), rel=4 / sqrt(2 * count))


# --- sample k is a function of (seed, k) ----------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", [DDIM(), Ancestral()], ids=lambda s: s.name)
def test_an_image_does_not_depend_on_the_batch_it_is_sampled_in(sampler: Sampler) -> None:
    teacher, shape, total = tiny_denoiser(), (1, 8, 8), 6
    whole = sampled_in_batches(teacher, sampler, shape, total, total)
    for batch_size in (1, 4):
        images = sampled_in_batches(teacher, sampler, shape, total, batch_size)
        torch.testing.assert_close(images, whole, rtol=0, atol=2e-5)
    assert (whole[0] - whole[1]).abs().max() > 0.1


def sampled_in_batches(
    teacher: Denoiser, sampler: Sampler, shape: tuple[int, ...], total: int, batch_size: int
) -> Tensor:
    parts = []
    for first in range(0, total, batch_size):
        count = min(batch_size, total - first)
        x = torch.from_numpy(initial_noise(7, first, count, shape))

        def noise_of_step(k: int, first: int = first, count: int = count) -> Tensor:
            return torch.from_numpy(step_noise(7, k, first, count, shape))

        with torch.no_grad():
            parts.append(sample(teacher, IRREGULAR, sampler, x, noise_of_step))
    return torch.cat(parts)


def tiny_spec(batch_size: int) -> Spec:
    methods = {"ddim": {}, "random": {"method": "ddim", "sampler": "ancestral"}}
    return sampled_spec(methods, steps=8, batch_size=batch_size)


@pytest.mark.parametrize("row", ["ddim", "random"])
def test_a_sampled_row_is_the_same_in_any_batch_size(row: str, tmp_path: Path) -> None:
    save_model(tmp_path / "model", tiny_denoiser(), {"depends_on": "0"})
    rows = []
    for batch_size in (2, 5):
        out = tmp_path / str(batch_size) / "samples.npy"
        sample_row(row_sampling(tiny_spec(batch_size), row, 8), [tmp_path / "model"], out, device=torch.device("cpu"))
        rows.append(np.load(out))
    assert rows[0].shape == (5, 8, 8, 1)
    assert rows[0].dtype == np.uint8
    # rounding may carry a pixel that lies on the edge between two levels to the other side
    assert np.abs(rows[0].astype(int) - rows[1].astype(int)).max() <= 1
    assert rows[0].std() > 1


def test_a_row_is_not_sampled_from_a_model_that_lacks_its_steps(tmp_path: Path) -> None:
    teacher = tiny_denoiser()
    student = Denoiser(teacher.network, "epsilon", teacher.steps.subsequence(IRREGULAR, IRREGULAR))
    save_model(tmp_path / "model", student, {"depends_on": "0"})
    with pytest.raises(SfddmError, match="model: is no model at some of the steps of ddim at 8"):
        sample_row(
            row_sampling(tiny_spec(5), "ddim", 8), [tmp_path / "model"], tmp_path / "s.npy", device=torch.device("cpu")
        )
    assert not (tmp_path / "s.npy").exists()
