"""SFDDM: the fixed point of its loss, and every option of the loss against the equation written out."""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exact_networks import assert_same_weights, first_layer, has_gradient, normal, tiny_denoiser, weights_of
from support.trainings import fresh_student, loss_of
from torch import Tensor

from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.ddim import DDIM
from sfddm.methods.options import MethodOptions
from sfddm.methods.sfddm import SFDDM, SFDDMOptions
from sfddm.networks.base import Condition
from sfddm.networks.denoiser import Denoiser
from sfddm.objectives.terms import Batch
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.ancestral import Ancestral
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM as DDIMSampler

IRREGULAR = (2, 3, 9, 20, 21, 40, 55, 63)
STUDENT_STEPS = 8
teachers_by_prediction = {kind: tiny_denoiser(prediction=kind, size=4) for kind in ("epsilon", "v", "x0")}


def sfddm(**options: object) -> SFDDM:
    return SFDDM(SFDDMOptions.model_validate({"method": "sfddm", **options}), make_schedule("cosine", 64))


def student_of(method: SFDDM, teacher: Denoiser, seed: int = 1) -> Denoiser:
    (training,) = method.plan(STUDENT_STEPS).trainings
    assert training.teacher is None
    return fresh_student(method, training, teacher, seed).eval()


def batch(count: int, seed: int = 0) -> Batch:
    k = torch.from_numpy(np.random.default_rng(seed).integers(STUDENT_STEPS, size=count))
    return Batch(normal(count, 1, 4, 4, seed=seed).clamp(-1, 1), normal(count, 1, 4, 4, seed=seed + 1), k)


index_sets = st.one_of(
    st.sampled_from(["uniform", "uniform-released", "linspace", "quadratic", "concentrated"]),
    st.sets(st.integers(0, 63), min_size=STUDENT_STEPS, max_size=STUDENT_STEPS).map(lambda s: tuple(sorted(s))),
)


@settings(max_examples=12)
@given(index_sets, st.sampled_from(["epsilon", "v", "x0"]), st.booleans(), st.integers(0, 1000))
def test_a_student_that_starts_from_the_teacher_is_ddim_already(
    index_set: object, prediction: str, clip: bool, seed: int
) -> None:
    """The fixed point: loss exactly 0, no gradient, and images that equal DDIM's on the same index set bit for bit."""
    teacher = teachers_by_prediction[prediction]
    method = sfddm(initialisation="teacher", index_set=index_set, clip=clip)
    student = student_of(method, teacher)
    loss = loss_of(method, student, teacher, batch(5, seed))
    assert float(loss.total.detach()) == 0.0
    loss.total.backward()
    assert all(p.grad is None or not p.grad.any() for p in student.network.parameters())

    noise = normal(3, 1, 4, 4, seed=seed)
    ddim = DDIM(
        MethodOptions.model_validate({"method": "ddim", "index_set": index_set, "clip": clip}),
        make_schedule("cosine", 64),
    )
    with torch.no_grad():
        ours, theirs = (
            sample(model, plan.index_set, plan.sampler, noise, lambda k: noise)
            for model, plan in ((student, method.plan(STUDENT_STEPS)), (teacher, ddim.plan(STUDENT_STEPS)))
        )
    assert torch.equal(ours, theirs)


def test_any_other_student_has_a_loss() -> None:
    teacher = teachers_by_prediction["epsilon"]
    for options in ({"initialisation": "random"}, {"initialisation": "teacher", "conditioning": "student-index"}):
        method = sfddm(**options)
        loss = loss_of(method, student_of(method, teacher), teacher, batch(16))
        assert float(loss.total.detach()) > 1e-6


def loss_written_out(
    student: Denoiser,
    teacher: Denoiser,
    index_set: tuple[int, ...],
    batch: Batch,
    norm: str,
    gamma: str,
) -> float:
    """sum_k gamma'_k || eps_theta(x_{phi_k}, phi_k) - eps_Theta(x_{phi_k}, .) ||, as a mean, one image at a time."""
    x0, noise, k = batch.x0, batch.noise, batch.k
    alphas_bar = make_schedule("cosine", 64).alphas_bar
    total = 0.0
    for i in range(len(x0)):
        t = index_set[int(k[i])]
        a = float(alphas_bar[t])
        x_t = (sqrt(a) * x0[i : i + 1] + sqrt(1 - a) * noise[i : i + 1]).float()
        step = torch.tensor([t])
        said, wanted = (
            model.network(x_t, Condition(number))
            for model, number in ((student, torch.tensor([student.steps.conditioning[int(k[i])]])), (teacher, step))
        )
        difference = (said - wanted).double()
        error = float((difference**2).mean() if norm == "l2" else difference.abs().mean())
        power = 1.0 if norm == "l2" else 0.5
        total += error * (max(1.0, (1 - a) / a) ** power if gamma == "truncated-snr" else 1.0)
    return total / len(x0)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("gamma", ["one", "truncated-snr"])
@pytest.mark.parametrize("conditioning", ["teacher-index", "student-index"])
def test_the_loss_is_the_papers_equation(norm: str, gamma: str, conditioning: str) -> None:
    teacher = teachers_by_prediction["epsilon"]
    method = sfddm(norm=norm, gamma=gamma, conditioning=conditioning, index_set=IRREGULAR)
    student = student_of(method, teacher)
    six = batch(6)
    assert student.steps.conditioning == (IRREGULAR if conditioning == "teacher-index" else tuple(range(8)))
    with torch.no_grad():
        loss = loss_of(method, student, teacher, six)
        wanted = loss_written_out(student, teacher, IRREGULAR, six, norm, gamma)
    assert float(loss.total) == pytest.approx(wanted, rel=1e-4)


def features_before_the_last_layers(denoiser: Denoiser, x: Tensor, t: Tensor) -> Tensor:
    """Invert the last layers' wiring: catch what the last up-block of the network returns."""
    caught: list[Tensor] = []
    handle = denoiser.network.get_submodule("unet.up_blocks.1").register_forward_hook(
        lambda module, given, output: caught.append(output)
    )
    denoiser.network(x, Condition(t))
    handle.remove()
    return caught[0]


def test_feature_matching_adds_the_distance_before_the_last_layers() -> None:
    teacher = teachers_by_prediction["epsilon"]
    plain, matched = sfddm(), sfddm(feature_weight=2.5)
    student = student_of(plain, teacher)
    four = batch(4)
    with torch.no_grad():
        base = loss_of(plain, student, teacher, four)
        loss = loss_of(matched, student, teacher, four)
        t = student.index_set[four.k]
        level = teacher.level(t)
        x_t = level.signal * four.x0 + level.sigma * four.noise
        ours, theirs = (features_before_the_last_layers(model, x_t, t) for model in (student, teacher))
    distance = float((ours - theirs).abs().mean())
    assert distance > 1e-3
    assert float(loss.parts["features"]) == pytest.approx(distance, rel=1e-5)
    assert float(loss.parts["eps"]) == pytest.approx(float(base.total), rel=1e-6)
    assert float(loss.total) == pytest.approx(float(base.total) + 2.5 * distance, rel=1e-5)


def test_the_gradient_of_the_features_reaches_the_student() -> None:
    teacher, method = teachers_by_prediction["epsilon"], sfddm(feature_weight=1.0)
    student = student_of(method, teacher)
    loss = loss_of(method, student, teacher, batch(4))
    (loss.total - loss_of(sfddm(), student, teacher, batch(4)).total).backward()
    assert has_gradient(student)


def test_a_random_student_is_a_function_of_its_seed_and_shares_nothing_with_the_teacher() -> None:
    teacher, method = teachers_by_prediction["epsilon"], sfddm()
    one, same, other = (weights_of(student_of(method, teacher, seed)) for seed in (1, 1, 2))
    assert_same_weights(one, same)
    assert not torch.equal(one["unet.conv_in.weight"], other["unet.conv_in.weight"])
    assert not torch.equal(one["unet.conv_in.weight"], first_layer(teacher))


def test_any_number_of_steps_takes_one_fold() -> None:
    for steps in (1, 3, 7, 10, 63, 64):
        plan = sfddm(index_set="linspace").plan(steps)
        assert [(t.name, t.teacher, len(t.index_set)) for t in plan.trainings] == [(str(steps), None, steps)]
        assert plan.students == plan.trainings
    with pytest.raises(SfddmError, match="index_set: 8 indices are listed, but steps asks for 4"):
        sfddm(index_set=IRREGULAR).plan(4)


def test_the_row_is_sampled_as_its_options_say() -> None:
    assert sfddm(sampler="ancestral", clip=False).plan(8).sampler == Ancestral(0.0, clip=False)
    assert sfddm(eta=0.5).plan(8).sampler == DDIMSampler(0.5, clip=True)
