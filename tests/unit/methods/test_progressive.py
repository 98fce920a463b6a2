"""Progressive distillation, against data for which DDIM is known in closed form and two DDIM steps written out."""

from __future__ import annotations

from itertools import pairwise
from math import log2, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exact_networks import assert_same_weights, gaussian_denoiser, normal, tiny_denoiser, weights_of
from support.trainings import fresh_student, loss_of

from sfddm.diffusion.process import Prediction, PredictionKind, q_sample
from sfddm.diffusion.schedule import Float64, Schedule, ScheduleKind, make_schedule
from sfddm.methods.base import Training
from sfddm.methods.progressive import Progressive, ProgressiveOptions, distillation_target
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.ddim import ddim_step


def progressive(timesteps: int, start: int | None = None) -> Progressive:
    return Progressive(ProgressiveOptions(method="progressive", start=start), make_schedule("cosine", timesteps))


def in_double(denoiser: Denoiser) -> Denoiser:
    """Keep the levels in float64, so that a test sees the formulas and not float32's rounding."""
    schedule = Schedule(denoiser.steps.alphas_bar)
    denoiser.signal, denoiser.sigma = torch.from_numpy(schedule.signal), torch.from_numpy(schedule.sigma)
    return denoiser


def teachers_of(trainings: tuple[Training, ...], root: Denoiser) -> list[Denoiser]:
    """Return the teacher of each training, given that every model is the exact one on its own steps."""
    models: dict[str | None, Denoiser] = {None: root}
    for fold in trainings:
        models[fold.name] = in_double(
            Denoiser(root.network, root.prediction, root.steps.subsequence(fold.index_set, fold.index_set))
        )
    return [models[fold.teacher] for fold in trainings]


# --- folds --------------------------------------------------------------------------------------------------------


def test_1024_to_4_steps_takes_eight_folds_each_from_the_one_before() -> None:
    folds = progressive(1024).plan(4).trainings
    assert [fold.name for fold in folds] == ["512", "256", "128", "64", "32", "16", "8", "4"]
    assert [fold.teacher for fold in folds] == [None, "512", "256", "128", "64", "32", "16", "8"]
    assert [len(fold.index_set) for fold in folds] == [512, 256, 128, 64, 32, 16, 8, 4]
    assert progressive(1024).plan(4).students == folds[-1:]
    assert folds[-1].index_set == (255, 511, 767, 1023)


@given(st.integers(1, 9), st.integers(0, 8), st.integers(0, 3))
def test_every_student_takes_every_second_step_of_its_teacher(halvings: int, odd: int, skipped: int) -> None:
    steps = 2 * odd + 1
    start = steps * 2**halvings
    timesteps = start * 2**skipped
    folds = progressive(timesteps, start).plan(steps).trainings
    assert len(folds) == halvings == round(log2(start / steps))
    first = (timesteps // start) * np.arange(1, start + 1) - 1  # the teacher, read on `start` of its steps
    grids = [tuple(first.tolist()), *(fold.index_set for fold in folds)]
    assert all(student == teacher[1::2] for teacher, student in pairwise(grids))


@pytest.mark.parametrize(
    ("timesteps", "start", "steps"),
    [(1024, None, 3), (1024, None, 1024), (1024, 64, 128), (1000, None, 62), (96, 48, 4)],
)
def test_a_step_count_that_halving_does_not_reach_is_refused(timesteps: int, start: int | None, steps: int) -> None:
    with pytest.raises(SfddmError, match=rf"steps: halving from {start or timesteps} does not reach {steps}; allowed"):
        progressive(timesteps, start).plan(steps)


def test_a_start_that_does_not_divide_the_teacher_is_refused() -> None:
    with pytest.raises(SfddmError, match="start: 100 does not divide the teacher's 1024 timesteps"):
        progressive(1024, 100).plan(50)


# --- the target ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["linear", "cosine", "sigmoid"])
@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
def test_for_a_single_image_the_target_is_that_image_at_every_fold(
    schedule: ScheduleKind, prediction: PredictionKind
) -> None:
    """Where the data is one image, DDIM is exact in any number of steps: two of them lead where one would."""
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    root = in_double(gaussian_denoiser(make_schedule(schedule, 1024), image, 0.0, prediction))
    folds = progressive(1024).plan(4).trainings
    for fold, teacher in zip(folds, teachers_of(folds, root), strict=True):
        t = torch.tensor(fold.index_set)
        z_t = q_sample(image, normal(len(t), 1, 2, 2).double(), in_double(teacher).level(t))
        target = distillation_target(FrozenDenoiser(teacher), z_t, t, stride=1024 // len(t))
        # the network answers in float32; near pure noise its rounding is divided by a small difference of signals
        assert torch.equal(t[:1], torch.tensor([1024 // len(t) - 1]))
        torch.testing.assert_close(target[:1], image.double(), rtol=0, atol=1e-5)  # the step to the clean image
        amplified = 1e-6 / teacher.level(t).signal if prediction != "x0" else torch.tensor(1e-9)
        worst = ((target - image).abs() / (1e-6 + amplified)).max()
        assert float(worst) < 5, (fold.name, float(worst))


def test_in_float32_the_target_of_a_single_image_stays_right_to_a_grey_level() -> None:
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    schedule = make_schedule("cosine", 1024)
    root = gaussian_denoiser(schedule, image, 0.0, "x0")
    frozen = FrozenDenoiser(root)
    for fold in progressive(1024).plan(4).trainings:
        t = torch.tensor(fold.index_set)
        z_t = q_sample(image, normal(len(t), 1, 2, 2), root.level(t))
        target = distillation_target(frozen, z_t, t, stride=1024 // len(t))
        assert target.dtype == torch.float32
        assert float((target - image).abs().max()) < 1 / 127.5, fold.name


def two_steps_written_out(alphas_bar: Float64, z: float, t: int, stride: int, mean: float, deviation: float) -> float:
    """Algorithm 2 of Salimans & Ho for the exact eps of N(mean, deviation^2), in plain numbers."""

    def ddim(z: float, here: float, there: float) -> float:
        eps = (1 - here) ** 0.5 * (z - here**0.5 * mean) / (here * deviation**2 + 1 - here)
        return there**0.5 * (z - (1 - here) ** 0.5 * eps) / here**0.5 + (1 - there) ** 0.5 * eps

    here, middle = float(alphas_bar[t]), float(alphas_bar[t - stride // 2])
    there = float(alphas_bar[t - stride]) if t >= stride else 1.0
    z_there = ddim(ddim(z, here, middle), middle, there)
    ratio = ((1 - there) / (1 - here)) ** 0.5
    return (z_there - ratio * z) / (there**0.5 - ratio * here**0.5)


@pytest.mark.parametrize("steps", [2, 8, 32])
def test_for_gaussian_data_the_target_is_two_ddim_steps_written_out(steps: int) -> None:
    schedule, mean, deviation = make_schedule("cosine", 64), 0.25, 0.5
    teacher = in_double(gaussian_denoiser(schedule, torch.tensor(mean), deviation, "v"))
    t = torch.tensor([64 // steps * (k + 1) - 1 for k in range(steps)])
    z_t = normal(steps, 1, 1, 1).double()
    target = distillation_target(FrozenDenoiser(teacher), z_t, t, stride=64 // steps)
    wanted = [
        two_steps_written_out(schedule.alphas_bar, float(z), int(step), 64 // steps, mean, deviation)
        for z, step in zip(z_t.flatten(), t, strict=True)
    ]
    # the network's answer is float32; the target divides by the distance of two levels
    np.testing.assert_allclose(target.flatten().numpy(), wanted, rtol=0, atol=2e-6)


@settings(max_examples=6)
@given(st.integers(0, 1000), st.sampled_from([2, 4, 16, 32]))
def test_one_step_with_the_target_arrives_where_the_teacher_arrives_in_two(seed: int, steps: int) -> None:
    """Whatever the teacher: the student's DDIM step ends where the teacher's own sampler ends after two."""
    schedule, stride = make_schedule("sigmoid", 64), 64 // steps
    teacher = tiny_denoiser(schedule, size=4)
    z_t = normal(1, 1, 4, 4, seed=seed)
    for end in (stride - 1, 2 * stride - 1, 63):  # to the clean image, to the level before, from pure noise
        t = torch.tensor([end])
        here, middle, there = (float(schedule.alphas_bar[i]) if i >= 0 else 1.0 for i in levels_down(end, stride))
        with torch.no_grad():
            halfway = ddim_step(teacher.predict(z_t, t), here, middle)
            wanted = ddim_step(teacher.predict(halfway, t - stride // 2), middle, there)
        target = distillation_target(FrozenDenoiser(teacher), z_t, t, stride)
        student = Prediction(target, (z_t - sqrt(here) * target) / sqrt(1 - here))
        scale = max(1.0, float(halfway.abs().max()), float(wanted.abs().max()))
        assert float((ddim_step(student, here, there) - wanted).abs().max()) < 1e-5 * scale


def levels_down(end: int, stride: int) -> tuple[int, int, int]:
    return end, end - stride // 2, end - stride


# --- the loss -----------------------------------------------------------------------------------------------------


def test_the_loss_weighs_the_error_in_the_image_by_the_truncated_snr() -> None:
    """max(SNR, 1) || x0_target - x0_student ||^2 (Salimans & Ho 2022, eq. 9), a mean over the batch and its pixels."""
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    schedule = make_schedule("cosine", 64)
    root = gaussian_denoiser(schedule, image, 0.0, "x0")
    method = progressive(64)
    fold = method.plan(16).trainings[-1]
    wrong = gaussian_denoiser(schedule, image + 0.5, 0.0, "x0")  # off by one half in every pixel, at every step
    student = Denoiser(wrong.network, "x0", root.steps.subsequence(fold.index_set, fold.index_set))
    k = torch.arange(16)
    loss = loss_of(method, student, root, Batch(image.expand(16, 1, 2, 2), normal(16, 1, 2, 2), k))
    alphas_bar = schedule.alphas_bar[list(fold.index_set)]
    wanted = np.mean(np.maximum(alphas_bar / (1 - alphas_bar), 1.0) * 0.25)
    assert float(loss.total) == pytest.approx(wanted, rel=1e-2)


def test_the_exact_student_has_no_loss() -> None:
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    root = gaussian_denoiser(make_schedule("cosine", 64), image, 0.0, "x0")
    method = progressive(64)
    trainings = method.plan(2).trainings
    for fold, teacher in zip(trainings, teachers_of(trainings, root), strict=True):
        student = fresh_student(method, fold, teacher)
        k = torch.arange(len(fold.index_set))
        batch = Batch(image.expand(len(k), 1, 2, 2), normal(len(k), 1, 2, 2), k)
        assert float(loss_of(method, student, teacher, batch).total) < 1e-6


def test_a_student_starts_from_its_teachers_weights() -> None:
    method, teacher = progressive(64), tiny_denoiser(size=4)
    student = fresh_student(method, method.plan(32).trainings[0], teacher)
    assert_same_weights(weights_of(student), weights_of(teacher))
    assert all(parameter.requires_grad for parameter in student.network.parameters())
    assert student.steps.conditioning == student.steps.index_set == tuple(range(1, 64, 2))
