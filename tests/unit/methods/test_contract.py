"""What holds for every registered method; a new one is tested by existing."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from support.exact_networks import (
    assert_same_weights,
    gaussian_denoiser,
    has_gradient,
    normal,
    tiny_denoiser,
    weights_of,
)
from torch import Tensor

from sfddm.diffusion.index_sets import check_index_set
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods import all_methods, find_method, make_method
from sfddm.methods.base import Beside, Fold, Method
from sfddm.methods.teacher import denoising_loss
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Loss, Pairs
from sfddm.runtime.errors import SfddmError
from sfddm.training.student import make_student

every_method = pytest.mark.parametrize("name", list(all_methods()))
TIMESTEPS = 64
REACHABLE = (16, 8, 2)


def method_of(name: str, timesteps: int = TIMESTEPS, **options: Any) -> Method:
    schedule = make_schedule("cosine", timesteps)
    return make_method(find_method(name).Options.model_validate({"method": name, **options}), schedule)


def reachable(name: str) -> tuple[int, ...]:
    """Return step counts that the method can be asked for: its own where its options allow no others."""
    return method_of(name).options.steps or REACHABLE


def trained_methods() -> list[str]:
    return [name for name in all_methods() if method_of(name).folds(reachable(name)[0])]


def first_fold(method: Method) -> tuple[Fold, Denoiser, Denoiser]:
    """Return the first fold for 8 steps (or for as many as it can), its teacher and its student before training."""
    fold = method.folds(8 if 8 in reachable(method.name) else reachable(method.name)[0])[0]
    teacher = tiny_denoiser(size=4)
    return fold, teacher, make_student(method, fold, teacher, seed=3).eval()


def loss_of(
    method: Method, fold: Fold, student: Denoiser, teacher: Denoiser, x0: Tensor, noise: Tensor, k: Tensor
) -> Loss:
    """Return the loss as the training calls it, with all that the method asks for beside the batch."""
    draws = method.further_draws
    # Row by row the same, however many rows are asked for: the draws are a function of the batch's noise.
    further = torch.stack([noise.flip(-1) * (draw + 1) for draw in range(draws)]) if draws else None
    uniform = torch.sigmoid(noise.flatten(1).mean(1)).expand(draws, -1) if draws else None
    beside = Beside(
        fold=fold,
        moving_average=None if method.target_decay is None else FrozenDenoiser(copy.deepcopy(student)),
        companions=method.companions(fold, student, teacher),
        noise=further,
        uniform=uniform,
        pairs=Pairs(noise.flip(-2), x0, None) if method.needs_pairs(fold) else None,
    )
    return method.loss(student, FrozenDenoiser(teacher), x0, noise, k, beside)


def batch(fold: Fold, count: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    k = torch.tensor([0, len(fold.index_set) - 1, 1, 3]).clamp(max=len(fold.index_set) - 1)[:count]  # both ends
    return normal(count, 1, 4, 4).clamp(-1, 1), normal(count, 1, 4, 4, seed=1), k


def test_the_registry_holds_what_the_table_needs() -> None:
    assert {"teacher", "ddim", "sfddm", "progressive"} <= set(all_methods())
    assert list(all_methods()) == sorted(all_methods())
    assert len(trained_methods()) >= 2


def test_an_unknown_method_is_refused_with_the_known_names() -> None:
    with pytest.raises(SfddmError, match=r"method: there is no method 'ddmi'; known: .*ddim, "):
        find_method("ddmi")


@every_method
def test_it_says_what_it_is(name: str) -> None:
    method = find_method(name)
    assert method.name == name
    assert method.title
    assert method.reference
    assert method_of(name).row_title(8)
    assert method_of(name, title="Mine").row_title(TIMESTEPS).startswith("Mine")


@every_method
@pytest.mark.parametrize("wrong", [{"unknown_key": 1}, {"eta": 2.0}, {"steps": [0]}, {"sampler": "euler"}])
def test_its_options_reject_what_they_do_not_know(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        find_method(name).Options.model_validate({"method": name, **wrong})


@every_method
def test_its_options_are_frozen_and_round_trip_through_json(name: str) -> None:
    options = method_of(name).options
    assert type(options).model_validate(options.model_dump(mode="json")) == options
    with pytest.raises(ValidationError):
        options.eta = 0.5  # type: ignore[misc]


@every_method
@pytest.mark.parametrize("timesteps", [64, 1024])
@pytest.mark.parametrize("steps", REACHABLE)
def test_every_fold_can_be_trained_after_the_one_it_learns_from(name: str, timesteps: int, steps: int) -> None:
    method = method_of(name, timesteps)
    steps = steps if steps in reachable(name) else reachable(name)[0]
    sampled = method.index_set(steps)
    check_index_set(sampled, timesteps)
    assert len(sampled) == steps
    folds = method.folds(steps)
    known: dict[str | None, set[int]] = {None: set(range(timesteps))}
    for fold in folds:
        check_index_set(fold.index_set, timesteps)
        assert fold.name
        assert fold.name not in known
        assert set(fold.index_set) <= known[fold.teacher], "a student stands for steps of its teacher"
        assert fold.start is None or fold.start in known, "the fold it starts from comes before it"
        assert len(method.conditioning(fold.index_set)) == len(fold.index_set)
        known[fold.name] = set(fold.index_set)
    if folds:
        standing = [t for fold in method.sampled_folds(steps) for t in fold.index_set]
        assert set(sampled) <= set(standing), "what is sampled is what these folds trained"
        assert method.initialisation in ("teacher", "random")
        assert method.target_decay is None or 0 <= method.target_decay < 1


@every_method
def test_more_steps_than_the_teacher_has_are_refused(name: str) -> None:
    method = method_of(name)
    with pytest.raises(SfddmError, match=r"^steps: "):
        method.index_set(TIMESTEPS + 1)
    if method.folds(reachable(name)[0]):
        with pytest.raises(SfddmError, match=r"^steps: "):
            method.folds(TIMESTEPS + 1)


@every_method
def test_it_has_at_least_one_row(name: str) -> None:
    assert method_of(name).sampled_steps((16, 8))
    assert method_of(name, steps=[4]).sampled_steps((16, 8)) == (4,)


@pytest.mark.parametrize("name", trained_methods())
def test_its_loss_is_a_finite_scalar_that_pulls_at_the_student_alone(name: str) -> None:
    method = method_of(name)
    fold, teacher, student = first_fold(method)
    before = weights_of(teacher)
    loss = loss_of(method, fold, student, teacher, *batch(fold))
    assert loss.total.shape == ()
    assert torch.isfinite(loss.total)
    assert loss.total > 0
    assert all(part.shape == () and not part.requires_grad for part in loss.parts.values())
    loss.total.backward()
    gradients = [parameter.grad for parameter in student.network.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert has_gradient(student)
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in teacher.parameters())
    assert_same_weights(weights_of(teacher), before)


@pytest.mark.parametrize("name", trained_methods())
def test_its_loss_is_a_pure_function(name: str) -> None:
    method = method_of(name)
    fold, teacher, student = first_fold(method)
    inputs = batch(fold)
    copies = [value.clone() for value in inputs]
    before = weights_of(student)
    random_state = torch.get_rng_state()
    with torch.no_grad():
        one, again = (loss_of(method, fold, student, teacher, *inputs).total for _ in range(2))
    assert torch.equal(one, again)
    assert torch.equal(random_state, torch.get_rng_state()), "it draws no random numbers of its own"
    assert all(torch.equal(value, copy) for value, copy in zip(inputs, copies, strict=True))
    assert_same_weights(weights_of(student), before)


@pytest.mark.parametrize("name", trained_methods())
def test_its_loss_is_a_mean_over_the_batch(name: str) -> None:
    """So that neither the batch size nor the number of devices changes what a learning rate means."""
    method = method_of(name)
    fold, teacher, student = first_fold(method)
    x0, noise, k = batch(fold)
    with torch.no_grad():
        whole = loss_of(method, fold, student, teacher, x0, noise, k).total
        rows = [tuple(v[i : i + 1] for v in (x0, noise, k)) for i in range(4)]
        parts = [loss_of(method, fold, student, teacher, *row).total for row in rows]
    assert float(whole) == pytest.approx(float(torch.stack(parts).mean()), rel=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        name
        for name in trained_methods()
        if method_of(name).prediction("x0") == "x0" and not method_of(name).further_draws
    ],
)
@pytest.mark.parametrize("steps", [8, 2])
def test_where_the_data_is_one_image_the_exact_student_has_no_loss(name: str, steps: int) -> None:
    """There the exact teacher says the image at every step, DDIM is exact, and no method can ask for anything else."""
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    root = gaussian_denoiser(make_schedule("cosine", TIMESTEPS), image, 0.0, "x0")
    wrong = gaussian_denoiser(make_schedule("cosine", TIMESTEPS), image + 0.5, 0.0, "x0")
    method = method_of(name)
    models: dict[str | None, Denoiser] = {None: root}
    for fold in method.folds(steps):
        teacher = models[fold.teacher]
        own_steps = teacher.steps.subsequence(fold.index_set, fold.index_set)
        student = models[fold.name] = Denoiser(root.network, "x0", own_steps)
        k = torch.arange(len(fold.index_set))
        x0, noise = image.expand(len(k), 1, 2, 2), normal(len(k), 1, 2, 2)
        assert float(loss_of(method, fold, student, teacher, x0, noise, k).total) < 1e-6
        other = Denoiser(wrong.network, "x0", own_steps)
        assert float(loss_of(method, fold, other, teacher, x0, noise, k).total) > 1e-2


def test_a_method_without_training_has_no_loss() -> None:
    teacher = tiny_denoiser(size=4)
    x0, noise, k = normal(1, 1, 4, 4), normal(1, 1, 4, 4), torch.tensor([0])
    for name in set(all_methods()) - set(trained_methods()):
        with pytest.raises(SfddmError, match=f"method {name}: nothing is trained"):
            method_of(name).loss(teacher, FrozenDenoiser(teacher), x0, noise, k)


# --- the teacher --------------------------------------------------------------------------------------------------


def test_the_teacher_has_one_row_whose_label_shows_its_length() -> None:
    full, short = method_of("teacher", 1024), method_of("teacher", 1024, reference_steps=128, sampler="ancestral")
    assert full.sampled_steps((16, 8)) == (1024,)
    assert full.row_title(1024) == "Teacher, DDIM, 1024 steps"
    assert short.sampled_steps((16, 8)) == (128,)
    assert short.row_title(128) == "Teacher, ancestral, 128 of 1024 steps"


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
def test_the_exact_network_has_no_denoising_loss(prediction: Any) -> None:
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    schedule = make_schedule("cosine", TIMESTEPS)
    k = torch.arange(TIMESTEPS)
    x0, noise = image.expand(TIMESTEPS, 1, 2, 2), normal(TIMESTEPS, 1, 2, 2)
    exact = denoising_loss(gaussian_denoiser(schedule, image, 0.0, prediction), x0, noise, k)
    assert float(exact.total) < 1e-8


def test_the_denoising_loss_is_the_mean_square_of_what_is_missing() -> None:
    """A network that is off by 0.5 in the image is off by 0.5 a/s in the noise, and by 0.5 / s in v."""
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    schedule = make_schedule("cosine", TIMESTEPS)
    k = torch.arange(TIMESTEPS)
    x0, noise = image.expand(TIMESTEPS, 1, 2, 2), normal(TIMESTEPS, 1, 2, 2)
    alphas_bar = torch.from_numpy(schedule.alphas_bar)
    factors = {"epsilon": alphas_bar / (1 - alphas_bar), "x0": torch.ones(TIMESTEPS), "v": 1 / (1 - alphas_bar)}
    for prediction, factor in factors.items():
        wrong: Any = gaussian_denoiser(schedule, image + 0.5, 0.0, prediction)  # type: ignore[arg-type]
        assert float(denoising_loss(wrong, x0, noise, k).total) == pytest.approx(0.25 * float(factor.mean()), rel=1e-4)
