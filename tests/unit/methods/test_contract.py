"""What holds for every registered method; a new one is tested by existing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.exact_networks import (
    assert_same_weights,
    gaussian_denoiser,
    has_gradient,
    normal,
    random_images,
    tiny_denoiser,
    weights_of,
)
from support.trainings import NO_DRAWS, GivenDraws, fresh_student
from torch import Tensor

from sfddm.diffusion.index_sets import check_index_set
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods import all_methods, find_method, make_method
from sfddm.methods.base import Method, Training
from sfddm.methods.options import TrainingOptions
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.objective import Objective
from sfddm.objectives.terms import Batch, Loss, Networks, Pairs
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import write_json
from sfddm.samplers.ddim import DDIM as DDIMSampler
from sfddm.training.loop import Seeds, train
from sfddm.training.pairs import PairsFeed

every_method = pytest.mark.parametrize("name", list(all_methods()))
CPU = torch.device("cpu")
TIMESTEPS = 64
REACHABLE = (16, 8, 2)


def method_of(name: str, timesteps: int = TIMESTEPS, **options: Any) -> Method:
    schedule = make_schedule("cosine", timesteps)
    return make_method(find_method(name).Options.model_validate({"method": name, **options}), schedule)


def reachable(name: str) -> tuple[int, ...]:
    """Return step counts that the method can be asked for: its own where its options allow no others."""
    return method_of(name).options.steps or REACHABLE


def trained_methods() -> list[str]:
    return [name for name in all_methods() if method_of(name).plan(reachable(name)[0]).trainings]


def training_of(method: Method, which: int = 0) -> tuple[Training, Denoiser, Denoiser]:
    """Return a training for 8 steps (or for as many as it can), its teacher and its student before training."""
    steps = 8 if 8 in reachable(method.name) else reachable(method.name)[0]
    training, teacher = method.plan(steps).trainings[which], tiny_denoiser(size=4)
    return training, teacher, fresh_student(method, training, teacher, seed=3).eval()


def objective_of(method: Method, training: Training, student: Denoiser, teacher: Denoiser) -> Objective:
    return method.objective(training, student, FrozenDenoiser(teacher))


def loss_of(objective: Objective, training: Training, x0: Tensor, noise: Tensor, k: Tensor, step: int = 0) -> Loss:
    """Return the loss as the training calls it, with all that the method asks for beside the batch."""
    count = len(objective.draws)
    # Row by row the same, however many rows are asked for: the draws are a function of the batch's noise.
    further = torch.stack([noise.flip(-1) * (draw + 1) for draw in range(count)]) if count else noise[None]
    uniform = torch.sigmoid(noise.flatten(1).mean(1)).expand(count, -1)
    pairs = Pairs(noise.flip(-2), x0, None) if training.pairs else None
    return objective(Batch(x0, noise, k, step=step, pairs=pairs), GivenDraws(objective.draws, further, uniform))


def batch(training: Training, count: int = 4) -> tuple[Tensor, Tensor, Tensor]:
    last = len(training.index_set) - 1
    k = torch.tensor([0, last, 1, 3]).clamp(max=last)[:count]  # both ends
    return normal(count, 1, 4, 4).clamp(-1, 1), normal(count, 1, 4, 4, seed=1), k


def test_the_registry_holds_what_the_table_needs() -> None:
    assert {"teacher", "ddim", "sfddm", "progressive"} <= set(all_methods())
    assert list(all_methods()) == sorted(all_methods())
    assert len(trained_methods()) >= 2


def test_an_unknown_method_is_refused_with_the_known_names() -> None:
    with pytest.raises(SfddmError, match=r"method: there is no 'ddmi'; known: .*ddim, "):
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
@pytest.mark.parametrize("wrong", [{"unknown_key": 1}, {"eta": 2.0}, {"steps": [0]}])
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
def test_every_training_comes_after_those_that_it_needs(name: str, timesteps: int, steps: int) -> None:
    method = method_of(name, timesteps)
    steps = steps if steps in reachable(name) else reachable(name)[0]
    plan = method.plan(steps)
    assert plan == method.plan(steps), "a pure function"
    assert plan.index_set == method.index_set(steps)
    check_index_set(plan.index_set, timesteps)
    assert len(plan.index_set) == steps
    known: dict[str | None, set[int]] = {None: set(range(timesteps))}
    for training in plan.trainings:
        check_index_set(training.index_set, timesteps)
        assert training.name
        assert training.name not in known
        assert set(training.index_set) <= known[training.teacher], "a student's steps are steps of its teacher"
        assert training.start is None or training.start in known, "the training it starts from comes before it"
        assert training.conditioning is None or len(training.conditioning) == len(training.index_set)
        assert training.initialisation in ("teacher", "random")
        known[training.name] = set(training.index_set)
    assert tuple(training.name for training in plan.students) == plan.sampled
    assert bool(plan.students) == bool(plan.trainings)
    if plan.students:
        trained = {t for training in plan.students for t in training.index_set}
        assert set(plan.index_set) <= trained, "what is sampled is what these trainings trained"


@every_method
def test_the_sampler_is_the_options(name: str) -> None:
    method = method_of(name, sampler="ddim", eta=0.25, clip=False)
    assert method.plan(reachable(name)[0]).sampler == DDIMSampler(0.25, clip=False)


@every_method
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"sampler": "ancestral", "eta": 0.5}, "eta: the sampler ancestral has no use for it"),
        ({"sampler": "euler"}, "euler"),
    ],
)
def test_a_sampler_that_cannot_be_is_refused_before_anything_runs(
    name: str, wrong: dict[str, Any], sentence: str
) -> None:
    if name == "consistency":  # its options name the samplers that it knows
        pytest.skip("refused with the options")
    with pytest.raises(SfddmError, match=sentence):
        method_of(name, **wrong).plan(reachable(name)[0])


@pytest.mark.parametrize("name", trained_methods())
def test_the_options_choose_length_and_prediction_of_every_training(name: str) -> None:
    prediction = "consistency" if name == "consistency" else "x0"
    method = method_of(name, training={"images": 7}, prediction=prediction)
    for training in method.plan(reachable(name)[0]).trainings:
        assert training.options == TrainingOptions(images=7)
        assert training.prediction == prediction
    default = method_of(name).plan(reachable(name)[0]).trainings
    assert all(training.options is None for training in default), "as the spec trains all students"


@every_method
def test_more_steps_than_the_teacher_has_are_refused(name: str) -> None:
    method = method_of(name)
    for ask in (method.index_set, method.plan):
        with pytest.raises(SfddmError, match=r"^steps: "):
            ask(TIMESTEPS + 1)


@every_method
def test_it_has_at_least_one_row(name: str) -> None:
    assert method_of(name).sampled_steps((16, 8))
    assert method_of(name, steps=[4]).sampled_steps((16, 8)) == (4,)


@pytest.mark.parametrize("name", trained_methods())
def test_its_loss_is_a_finite_scalar_that_pulls_at_the_student_alone(name: str) -> None:
    method = method_of(name)
    training, teacher, student = training_of(method)
    before = weights_of(teacher)
    objective = objective_of(method, training, student, teacher)
    loss = loss_of(objective, training, *batch(training))
    assert loss.total.shape == ()
    assert torch.isfinite(loss.total)
    assert loss.total > 0
    assert all(part.shape == () and not part.requires_grad for part in loss.parts.values())
    loss.total.backward()
    gradients = [parameter.grad for parameter in student.network.parameters()]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)
    assert has_gradient(student)
    fixed = [*teacher.parameters(), *(objective.average.parameters() if objective.average else ())]
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in fixed)
    assert_same_weights(weights_of(teacher), before)


@pytest.mark.parametrize("name", trained_methods())
def test_the_optimiser_gets_the_student_and_the_auxiliary_networks_once_each_and_nothing_else(name: str) -> None:
    method = method_of(name)
    training, teacher, student = training_of(method)
    objective = objective_of(method, training, student, teacher)
    groups = objective.parameter_groups()
    assert [id(p) for p in groups[0]["params"]] == [id(p) for p in student.parameters()]
    assert groups[0]["factor"] == 1.0
    given = [id(parameter) for group in groups for parameter in group["params"]]
    assert len(given) == len(set(given))
    assert set(given) == {id(p) for part in (student, objective.auxiliary) for p in part.parameters()}
    assert all(parameter.requires_grad for group in groups for parameter in group["params"])


@pytest.mark.parametrize("name", trained_methods())
def test_its_loss_is_a_pure_function(name: str) -> None:
    method = method_of(name)
    training, teacher, student = training_of(method)
    inputs = batch(training)
    copies = [value.clone() for value in inputs]
    before = weights_of(student)
    objective = objective_of(method, training, student, teacher)
    state = {key: value.clone() for key, value in objective.state_dict().items()}
    random_state = torch.get_rng_state()
    with torch.no_grad():
        one, again = (loss_of(objective, training, *inputs).total for _ in range(2))
    assert torch.equal(one, again)
    assert torch.equal(random_state, torch.get_rng_state()), "it draws no random numbers of its own"
    assert all(torch.equal(value, copy) for value, copy in zip(inputs, copies, strict=True))
    assert_same_weights(weights_of(student), before)
    assert_same_weights(dict(objective.state_dict()), state)


@pytest.mark.parametrize("name", trained_methods())
def test_its_loss_is_a_mean_over_the_batch(name: str) -> None:
    """So that neither the batch size nor the number of devices changes what a learning rate means."""
    method = method_of(name)
    training, teacher, student = training_of(method)
    objective = objective_of(method, training, student, teacher)
    x0, noise, k = batch(training)
    with torch.no_grad():
        whole = loss_of(objective, training, x0, noise, k).total
        rows = [slice(i, i + 1) for i in range(4)]
        parts = [loss_of(objective, training, x0[row], noise[row], k[row]).total for row in rows]
    assert float(whole) == pytest.approx(float(torch.stack(parts).mean()), rel=1e-3)


#: Objectives with all that one can have: the last training of a row with these options.
FURTHER: list[tuple[str, dict[str, Any]]] = [
    ("one-to-many", {"feature_weight": 0.5}),
    ("multi-student", {"fake_ratio": 2}),
    ("multi-student", {"fake_ratio": 2, "adversarial": {"images": 64}}),
]


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in trained_methods()), *FURTHER[:2]])
def test_the_evaluations_of_the_card_are_those_that_the_loss_makes(name: str, options: dict[str, Any]) -> None:
    """A moving average of the student and a copy of the teacher count too, whichever of the two they are booked on."""
    method, steps = method_of(name, **options), 2
    training, teacher, student = training_of(method, -1)
    counted: Counter[torch.nn.Module] = Counter()

    def count(network: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        counted[network] += len(inputs[0])

    for network in (student.network, teacher.network):
        network.register_forward_pre_hook(count)  # copies of a network have its hooks
    objective = objective_of(method, training, student, teacher)
    with torch.no_grad():
        for step in range(steps):
            loss_of(objective, training, *batch(training), step=step)
    asked = objective.evaluations
    assert asked == method.evaluations(training), "which a plan counts with"
    assert counted.total() == 4 * steps * (asked.student + asked.teacher)
    if objective.average is None and "fake" not in objective.auxiliary:
        assert counted[student.network] == 4 * steps * asked.student


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in trained_methods()), *FURTHER])
def test_an_interrupted_training_gives_the_same_bits(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    """With the method's own objective: auxiliary networks, average and draws included, whatever it has of them."""
    method = method_of(name, **options)
    training, teacher, _ = training_of(method, -1)
    if training.pairs:
        write_made_up_pairs(tmp_path / "pairs")

    def run(checkpoint: str, change: float = 0.0, stop_after: int | None = None) -> Objective:
        torch.manual_seed(0)  # of a critic or projection
        objective = objective_of(method, training, fresh_student(method, training, teacher, seed=3), teacher)
        with torch.no_grad():
            for parameter in objective.parameters():
                parameter.add_(change)
        train(
            objective,
            random_images(10, size=4),
            np.full(10, -1),
            TrainingOptions(images=20, batch_size=4, learning_rate=1e-3, ema=0.9),
            seeds=Seeds(5, 6),
            checkpoint=tmp_path / checkpoint,
            device=CPU,
            title="tiny",
            pairs=PairsFeed(tmp_path / "pairs", 4, 7, CPU) if training.pairs else None,
            stop_after=stop_after,
        )
        return objective

    straight = run("straight")
    for stop in (1, 3):
        run(f"stopped-{stop}", stop_after=stop)
        resumed = run(f"stopped-{stop}", change=1.0)  # all of it has to come out of the checkpoint
        assert_same_weights(dict(resumed.state_dict()), dict(straight.state_dict()))


def write_made_up_pairs(folder: Path) -> None:
    folder.mkdir()
    np.save(folder / "images.npy", normal(12, 1, 4, 4).clamp(-1, 1).half().numpy())
    np.save(folder / "labels.npy", np.full(12, -1))
    write_json(folder / "pairs.json", {"seed": 8})


@pytest.mark.parametrize("name", [name for name in trained_methods() if name not in ("consistency", "multi-student")])
@pytest.mark.parametrize("steps", [8, 2])
def test_where_the_data_is_one_image_the_exact_student_has_no_loss(name: str, steps: int) -> None:
    """There the exact teacher says the image at every step, DDIM is exact, and no method can ask for anything else.

    Consistency distillation, which predicts something else than x0, and multi-student distillation, whose students see
    no image, have exact tests of their own.
    """
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    root = gaussian_denoiser(make_schedule("cosine", TIMESTEPS), image, 0.0, "x0")
    wrong = gaussian_denoiser(make_schedule("cosine", TIMESTEPS), image + 0.5, 0.0, "x0")
    method = method_of(name)
    models: dict[str | None, Denoiser] = {None: root}
    for training in method.plan(steps).trainings:
        assert training.prediction is None, "what the teacher predicts"
        teacher = models[training.teacher]
        own_steps = teacher.steps.subsequence(training.index_set, training.index_set)
        student = models[training.name] = Denoiser(root.network, "x0", own_steps)
        k = torch.arange(len(training.index_set))
        x0, noise = image.expand(len(k), 1, 2, 2), normal(len(k), 1, 2, 2)
        exact = objective_of(method, training, student, teacher)
        assert float(loss_of(exact, training, x0, noise, k).total) < 1e-6
        other = objective_of(method, training, Denoiser(wrong.network, "x0", own_steps), teacher)
        assert float(loss_of(other, training, x0, noise, k).total) > 1e-2


def test_a_method_without_training_has_no_loss() -> None:
    teacher = tiny_denoiser(size=4)
    x0, noise, k = normal(1, 1, 4, 4), normal(1, 1, 4, 4), torch.tensor([0])
    for name in set(all_methods()) - set(trained_methods()):
        with pytest.raises(SfddmError, match=f"method {name}: nothing is trained"):
            method_of(name).loss(Networks(teacher, FrozenDenoiser(teacher)), Batch(x0, noise, k), NO_DRAWS)
