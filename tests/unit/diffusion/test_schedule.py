"""Schedules and their sub-sequences, against closed forms, the chain's own recursion and diffusers."""

from __future__ import annotations

from itertools import pairwise
from math import cos, exp, pi, sqrt
from typing import get_args

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.exact_networks import student_schedule

from sfddm.diffusion.index_sets import IndexSetKind, check_index_set, make_index_set
from sfddm.diffusion.schedule import Float64, Schedule, ScheduleKind, make_schedule
from sfddm.runtime.errors import SfddmError

EPSILON = float(np.finfo(np.float64).eps)
kinds = st.sampled_from(get_args(ScheduleKind))
index_set_kinds = st.sampled_from(get_args(IndexSetKind))
lengths = st.integers(2, 2048)


@st.composite
def index_sets(draw: st.DrawFn, timesteps: int) -> tuple[int, ...]:
    """Any strictly increasing set: a few chosen indices, or a dense random half, or all but a few."""
    chosen = draw(st.sets(st.integers(0, timesteps - 1), min_size=1, max_size=40))
    style = draw(st.sampled_from(["few", "dense", "all but a few"]))
    if style == "dense":
        generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        chosen = chosen | {int(i) for i in np.flatnonzero(generator.random(timesteps) < 0.5)}
    elif style == "all but a few" and len(chosen) < timesteps:
        chosen = set(range(timesteps)) - chosen
    return tuple(sorted(chosen))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    return make_schedule(draw(kinds), draw(lengths))


@st.composite
def students(draw: st.DrawFn) -> tuple[Schedule, tuple[int, ...]]:
    teacher = draw(schedules())
    return teacher, draw(index_sets(teacher.timesteps))


def chain(schedule: Schedule, every: int | None = None) -> tuple[Float64, Float64]:
    """Iterate x_k = sqrt(alpha_k) x_{k-1} + sqrt(beta_k) eps: the factor on x0 and the variance after each step."""
    factor, variance = 1.0, 0.0
    factors, variances = [], []
    for alpha, beta in zip(schedule.alphas.tolist(), schedule.betas.tolist(), strict=True):
        factor, variance = sqrt(alpha) * factor, alpha * variance + beta
        factors.append(factor)
        variances.append(variance)
    return np.array(factors), np.array(variances)


@given(students())
def test_a_student_has_the_teachers_cumulative_alphas_bit_for_bit(case: tuple[Schedule, tuple[int, ...]]) -> None:
    teacher, index_set = case
    student = student_schedule(teacher, index_set)
    assert student.alphas_bar.tobytes() == np.array([teacher.alphas_bar[t] for t in index_set]).tobytes()
    assert student.timesteps == len(index_set)


@given(students())
def test_per_step_alphas_multiply_back_and_lie_between_0_and_1(case: tuple[Schedule, tuple[int, ...]]) -> None:
    teacher, index_set = case
    student = student_schedule(teacher, index_set)
    # Each ratio and each product rounds once: at most 2 T' half-units in the last place.
    tolerance = 2 * len(index_set) * EPSILON
    np.testing.assert_allclose(np.cumprod(student.alphas), student.alphas_bar, rtol=tolerance, atol=0)
    assert np.all((student.alphas > 0) & (student.alphas < 1))
    assert np.all((student.betas > 0) & (student.betas < 1))
    assert np.all(student.betas + student.alphas == 1)


@given(students())
def test_the_students_chain_has_the_teachers_marginals(case: tuple[Schedule, tuple[int, ...]]) -> None:
    """q(x'_k | x0), iterated over the student's kernels, is q(x_t | x0), iterated over the teacher's T."""
    teacher, index_set = case
    student = student_schedule(teacher, index_set)
    factors, variances = chain(student)
    teacher_factors, teacher_variances = chain(teacher)
    wanted = list(index_set)
    np.testing.assert_allclose(factors, teacher_factors[wanted], rtol=1e-12, atol=0)
    np.testing.assert_allclose(variances, teacher_variances[wanted], rtol=0, atol=1e-12)
    # and both are the closed form of Ho et al. 2020, eq. 4
    np.testing.assert_allclose(factors, student.signal, rtol=1e-12, atol=0)
    np.testing.assert_allclose(variances, student.sigma**2, rtol=0, atol=1e-12)
    np.testing.assert_allclose(factors**2, teacher.alphas_bar[wanted], rtol=1e-11, atol=0)


@given(students(), st.data())
def test_a_subsequence_of_a_subsequence_is_that_of_the_composed_indices(
    case: tuple[Schedule, tuple[int, ...]], data: st.DataObject
) -> None:
    teacher, outer = case
    inner = data.draw(index_sets(len(outer)))
    twice = student_schedule(student_schedule(teacher, outer), inner)
    once = student_schedule(teacher, tuple(outer[k] for k in inner))
    assert np.array_equal(twice.alphas_bar, once.alphas_bar)


@given(schedules())
def test_the_identity_set_gives_back_the_teacher(teacher: Schedule) -> None:
    student = student_schedule(teacher, tuple(range(teacher.timesteps)))
    for name in ("alphas_bar", "alphas", "betas", "signal", "sigma"):
        assert np.array_equal(getattr(student, name), getattr(teacher, name))


@given(schedules())
@example(make_schedule("cosine", 2048))
@example(make_schedule("linear", 2))
def test_every_schedule_falls_strictly_from_below_1_to_above_0(schedule: Schedule) -> None:
    assert schedule.alphas_bar.dtype == np.float64
    assert 0 < schedule.alphas_bar[-1] < schedule.alphas_bar[0] < 1
    assert np.all(np.diff(schedule.alphas_bar) < 0)
    assert schedule.betas.max() <= 0.999 + 1e-12


@given(index_set_kinds, schedules(), st.data())
def test_every_index_set_increases_strictly_within_range(
    kind: IndexSetKind, schedule: Schedule, data: st.DataObject
) -> None:
    timesteps = schedule.timesteps
    steps = data.draw(st.integers(1, timesteps))
    share, spacing = data.draw(st.floats(0.05, 1)), data.draw(st.integers(1, 8))
    try:
        given_levels = {"share": share, "spacing": spacing, "alphas_bar": schedule.alphas_bar}
        index_set = make_index_set(kind, timesteps, steps, **given_levels)
    except SfddmError as error:
        # Only three kinds may refuse, each with its own reason.
        assert kind in ("concentrated", "gits") or (kind == "uniform" and timesteps % steps)
        if not str(error).startswith(f"index_set {kind}: "):
            raise
        return
    assert len(index_set) == steps
    assert all(type(t) is int for t in index_set)
    assert index_set[0] >= 0
    assert index_set[-1] < timesteps
    assert all(before < after for before, after in pairwise(index_set))


@given(st.integers(1, 64), st.integers(1, 32))
def test_uniform_follows_the_papers_alignment(steps: int, ratio: int) -> None:
    """One-based x'_k = x_{ck}, k = 1..T', is zero-based c (k + 1) - 1, k = 0..T' - 1."""
    timesteps = steps * ratio
    uniform = make_index_set("uniform", timesteps, steps)
    assert [t + 1 for t in uniform] == [ratio * k for k in range(1, steps + 1)]
    assert uniform[-1] == timesteps - 1
    assert make_index_set("linspace", timesteps, steps) == uniform
    assert make_index_set("uniform-released", timesteps, steps) == tuple(ratio * k for k in range(steps))


@given(lengths, st.data())
def test_released_alignment_floors_the_ratio_and_linspace_reaches_the_end(timesteps: int, data: st.DataObject) -> None:
    steps = data.draw(st.integers(1, timesteps))
    assert make_index_set("uniform-released", timesteps, steps) == tuple(
        int(timesteps / steps) * k for k in range(steps)
    )
    linspace = make_index_set("linspace", timesteps, steps)
    assert linspace[-1] == timesteps - 1
    exact = [timesteps * (k + 1) / steps - 1 for k in range(steps)]
    assert max(abs(t - e) for t, e in zip(linspace, exact, strict=True)) <= 0.5
    quadratic = make_index_set("quadratic", timesteps, steps)
    assert quadratic[-1] == timesteps - 1
    assert steps < timesteps or quadratic == tuple(range(timesteps))


def test_released_code_at_100_of_1024_steps_drops_the_tail() -> None:
    assert make_index_set("uniform-released", 1024, 100)[-1] == 990


def test_quadratic_is_dense_near_the_data() -> None:
    index_set = make_index_set("quadratic", 1024, 16)
    gaps = np.diff(index_set)
    assert np.all(np.diff(gaps) > 0)
    # (k + 1)^2 of 16^2 parts of 1024, zero-based
    assert index_set == tuple(4 * (k + 1) ** 2 - 1 for k in range(16))


def test_concentrated_packs_its_share_around_the_middle() -> None:
    index_set = make_index_set("concentrated", 1024, 16, share=0.5, spacing=4)
    packed = [t for t in index_set if 496 <= t < 528]
    assert packed == [496, 500, 504, 508, 512, 516, 520, 524]
    assert index_set[-1] == 1023


@pytest.mark.parametrize("kind", get_args(IndexSetKind))
@pytest.mark.parametrize("steps", [-1, 0, 65])
def test_a_step_count_outside_1_to_T_is_refused(kind: IndexSetKind, steps: int) -> None:
    with pytest.raises(SfddmError, match=rf"^steps: must lie in 1\.\.64 \(the teacher's timesteps\), got {steps}$"):
        make_index_set(kind, 64, steps)


@given(lengths, st.data())
def test_bad_index_sets_are_refused_with_the_reason(timesteps: int, data: st.DataObject) -> None:
    good = data.draw(index_sets(timesteps))
    schedule = make_schedule("linear", timesteps)
    with pytest.raises(SfddmError, match="index_set: an index set needs at least one index"):
        check_index_set((), schedule.timesteps)
    for bad in ((*good, good[-1]), (*good[:-1], good[-1], good[0])):  # an index twice; falling
        with pytest.raises(SfddmError, match="index_set: indices must increase strictly, got "):
            check_index_set(bad, schedule.timesteps)
    for bad in ((*good, timesteps), (-1, *good)):
        with pytest.raises(SfddmError, match=rf"index_set: indices must lie in 0\.\.{timesteps - 1}, got "):
            check_index_set(bad, schedule.timesteps)
    check_index_set(good, timesteps)


def test_a_long_bad_index_set_is_shown_in_short() -> None:
    with pytest.raises(SfddmError) as caught:
        check_index_set(tuple(range(500)), 400)
    assert len(str(caught.value)) < 150


def test_uniform_names_the_way_out_where_the_steps_do_not_divide() -> None:
    with pytest.raises(SfddmError, match="100 steps do not divide 1024; use index_set: linspace"):
        make_index_set("uniform", 1024, 100)


@pytest.mark.parametrize(
    "alphas_bar",
    [
        np.array([]),
        np.array([0.5, 0.5]),
        np.array([0.4, 0.5]),
        np.array([1.0, 0.5]),
        np.array([0.5, 0.0]),
        np.array([0.5, np.nan]),
        np.array([[0.5]]),
        np.array([0.9, 0.5], dtype=np.float32),
    ],
)
def test_a_schedule_must_fall_strictly_within_0_and_1(alphas_bar: Float64) -> None:
    with pytest.raises(SfddmError, match="schedule"):
        Schedule(alphas_bar)


def test_a_schedule_needs_a_step() -> None:
    with pytest.raises(SfddmError, match=r"schedule\.timesteps: must be at least 1, got 0"):
        make_schedule("cosine", 0)


# --- known values -------------------------------------------------------------------------------------------------


def test_sigmoid_has_the_values_of_the_released_code() -> None:
    """Zero-based indices of the 1024-step teacher, as tabulated from the released code's own schedule."""
    alphas_bar = make_schedule("sigmoid", 1024).alphas_bar
    for index, value in {0: 0.99971, 896: 0.0524, 960: 0.0218, 992: 0.00985, 1008: 0.00457, 1016: 0.00209}.items():
        assert alphas_bar[index] == pytest.approx(value, rel=5e-3 if index else 1e-5)
    assert alphas_bar[-1] == pytest.approx(2.9e-7, rel=0.02)


@given(lengths)
def test_sigmoid_is_the_formula_of_jabri_et_al(timesteps: int) -> None:
    def gamma(time: float) -> float:
        start, end = 1 / (1 + exp(3)), 1 / (1 + exp(-3))
        return (end - 1 / (1 + exp(-(6 * time - 3)))) / (end - start)

    alphas_bar = make_schedule("sigmoid", timesteps).alphas_bar
    wanted = [gamma((k + 1) / timesteps) for k in range(timesteps - 1)]  # the last is 0, and capped
    np.testing.assert_allclose(alphas_bar[:-1], wanted, rtol=1e-9)
    assert alphas_bar[-1] == pytest.approx(alphas_bar[-2] * 1e-3)


@given(lengths)
def test_cosine_is_the_formula_of_nichol_and_dhariwal(timesteps: int) -> None:
    def level(k: int) -> float:
        return cos((k / timesteps + 0.008) / 1.008 * pi / 2) ** 2

    alphas_bar = make_schedule("cosine", timesteps).alphas_bar
    wanted = np.array([level(k + 1) / level(0) for k in range(timesteps - 1)])
    uncapped = np.cumsum(np.diff(wanted, prepend=1.0) / np.concatenate([[1.0], wanted[:-1]]) < -0.999) == 0
    np.testing.assert_allclose(alphas_bar[:-1][uncapped], wanted[uncapped], rtol=1e-8)


def diffusers_scheduler(name: str, **config: object) -> Schedule:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    scheduler = DDIMScheduler(beta_schedule=name, **config)
    return Schedule(np.cumprod(1.0 - scheduler.betas.double().numpy()))


@pytest.mark.parametrize("timesteps", [64, 1000, 1024])
def test_cosine_agrees_with_diffusers(timesteps: int) -> None:
    theirs = diffusers_scheduler("squaredcos_cap_v2", num_train_timesteps=timesteps)
    ours = make_schedule("cosine", timesteps)
    np.testing.assert_allclose(ours.betas, theirs.betas, rtol=1e-6)  # theirs are float32
    np.testing.assert_allclose(ours.alphas_bar, theirs.alphas_bar, rtol=1e-4)


def test_linear_agrees_with_diffusers() -> None:
    theirs = diffusers_scheduler("linear", num_train_timesteps=1000, beta_start=1e-4, beta_end=0.02)
    ours = make_schedule("linear", 1000)
    np.testing.assert_allclose(ours.betas, theirs.betas, rtol=1e-6)
    np.testing.assert_allclose(ours.alphas_bar, theirs.alphas_bar, rtol=1e-5)


def test_linear_holds_the_same_noise_at_any_length() -> None:
    """Scaling betas by 1000 / T keeps log alphas_bar at the end, up to the second order of the larger betas."""
    full, short = make_schedule("linear", 2000), make_schedule("linear", 500)
    assert np.log(short.alphas_bar[-1]) == pytest.approx(np.log(full.alphas_bar[-1]), rel=0.05)
