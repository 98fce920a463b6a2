"""What holds for the loss of every registered method; a new one is tested by existing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import (
    assert_same_weights,
    gaussian_denoiser,
    has_gradient,
    normal,
    random_images,
    tiny_denoiser,
    weights_of,
)
from support.methods import TIMESTEPS, method_of, reachable, trained_methods
from support.trainings import NO_DRAWS, GivenDraws, fresh_student, tiny_classifier
from torch import Tensor

from sfddm.diffusion.schedule import make_schedule
from sfddm.methods import all_methods
from sfddm.methods.base import Method, Training
from sfddm.methods.options import TrainingOptions
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.objective import Objective
from sfddm.objectives.terms import Batch, Loss, Networks, Pairs
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import write_json
from sfddm.training.loop import Seeds, train
from sfddm.training.pairs import PairsFeed

CPU = torch.device("cpu")
#: Of SiD's loss the sign says nothing: with its alpha above 1 the expectation is a negative multiple of a distance.
OF_ANY_SIGN = ("sid",)


def training_of(method: Method, which: int = 0) -> tuple[Training, Denoiser, Denoiser]:
    """Return a training for 8 steps (or for as many as it can), its teacher and its student before training."""
    steps = 8 if 8 in reachable(method.name) else reachable(method.name)[0]
    training, teacher = method.plan(steps).trainings[which], tiny_denoiser(size=4)
    return training, teacher, fresh_student(method, training, teacher, seed=3).eval()


def objective_of(method: Method, training: Training, student: Denoiser, teacher: Denoiser) -> Objective:
    objective = method.objective(training, student, FrozenDenoiser(teacher))
    with torch.no_grad():
        for parameter in objective.auxiliary.parameters():  # off the teacher's weights, where some losses are at rest
            parameter.mul_(0.9)
    objective.classifier = tiny_classifier() if training.classifier else None
    return objective


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


@pytest.mark.parametrize("name", trained_methods())
def test_its_loss_is_a_finite_scalar_that_pulls_at_the_student_alone(name: str) -> None:
    method = method_of(name)
    training, teacher, student = training_of(method)
    before = weights_of(teacher)
    objective = objective_of(method, training, student, teacher)
    loss = loss_of(objective, training, *batch(training))
    assert loss.total.shape == ()
    assert torch.isfinite(loss.total)
    assert loss.total > 0 or (name in OF_ANY_SIGN and loss.total < 0)
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
    ("cfd", {"from_steps": 8, "entropy_weight": 0.1}),
    ("rdd", {"from_steps": 8, "queue_size": 20, "contrast": 5, "enqueued": 7}),
]


@pytest.mark.parametrize(("name", "options"), [*((name, {}) for name in trained_methods()), *FURTHER[:2], *FURTHER[3:]])
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
    k = torch.arange(len(training.index_set))  # every step once: a loss may ask more at some than at others
    x0, noise = normal(len(k), 1, 4, 4).clamp(-1, 1), normal(len(k), 1, 4, 4, seed=1)
    with torch.no_grad():
        for step in range(steps):
            loss_of(objective, training, x0, noise, k, step=step)
    asked = objective.evaluations
    assert asked == method.evaluations(training), "which a plan counts with"
    assert counted.total() == len(k) * steps * (asked.student + asked.teacher)
    if objective.average is None and "fake" not in objective.auxiliary:
        assert counted[student.network] == len(k) * steps * asked.student


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


HAVE_THEIR_OWN = ("cfd", "rdd")


def learns_what_its_teacher_predicts(name: str) -> bool:
    options = method_of(name).options
    return options.steps is None and options.prediction is None and name not in HAVE_THEIR_OWN


@pytest.mark.parametrize("name", filter(learns_what_its_teacher_predicts, trained_methods()))
@pytest.mark.parametrize("steps", [8, 2])
def test_where_the_data_is_one_image_the_exact_student_has_no_loss(name: str, steps: int) -> None:
    """There the exact teacher says the image at every step, DDIM is exact, and no method can ask for anything else.

    Consistency functions, which predict something else than x0, methods of one step, whose students see no image, and
    those that compare a classifier's features have exact tests of their own.
    """
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    root = gaussian_denoiser(make_schedule("cosine", TIMESTEPS), image, 0.0, "x0")
    wrong = gaussian_denoiser(make_schedule("cosine", TIMESTEPS), image + 0.5, 0.0, "x0")
    method = method_of(name)
    models: dict[str | None, Denoiser] = {None: root}
    for training in method.plan(steps if steps in reachable(name) else reachable(name)[0]).trainings:
        assert training.prediction is None, "what the teacher predicts"
        teacher = models[training.teacher]
        own_steps = teacher.steps.subsequence(training.index_set, training.index_set)
        student = models[training.name] = Denoiser(root.network, "x0", own_steps, training.from_noise)
        k = torch.arange(len(training.index_set))
        x0, noise = image.expand(len(k), 1, 2, 2), normal(len(k), 1, 2, 2)
        exact = objective_of(method, training, student, teacher)
        assert float(loss_of(exact, training, x0, noise, k).total) < 1e-6
        other = objective_of(method, training, Denoiser(wrong.network, "x0", own_steps, training.from_noise), teacher)
        assert float(loss_of(other, training, x0, noise, k).total) > 1e-2


def test_a_method_without_training_has_no_loss() -> None:
    teacher = tiny_denoiser(size=4)
    x0, noise, k = normal(1, 1, 4, 4), normal(1, 1, 4, 4), torch.tensor([0])
    for name in set(all_methods()) - set(trained_methods()):
        with pytest.raises(SfddmError, match=f"method {name}: nothing is trained"):
            method_of(name).loss(Networks(teacher, FrozenDenoiser(teacher)), Batch(x0, noise, k), NO_DRAWS)
