"""What one training minimises: which networks its loss sees, what its state is, and how its moving average follows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.exact_networks import assert_same_weights, first_layer, normal, tiny_denoiser, weights_of
from support.trainings import NO_DRAWS, fresh_student

from sfddm.diffusion.draws import Draws
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.consistency import Consistency, ConsistencyOptions
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.steps import Steps
from sfddm.objectives.objective import Objective
from sfddm.objectives.terms import Batch, Evaluations, Loss, Networks

SCHEDULE = make_schedule("cosine", 64)


def no_loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
    raise AssertionError("it is not asked")


def whole_objective(seed: int = 0, loss: Any = no_loss, **options: Any) -> Objective:
    """Return an objective with everything that one can have."""
    given: dict[str, Any] = {
        "auxiliary": torch.nn.ModuleDict({"fake": tiny_denoiser(size=4, seed=seed + 2)}),
        "auxiliary_rate": 0.5,
        "average_decay": 0.75,
    }
    student, teacher = tiny_denoiser(size=4, seed=seed), tiny_denoiser(size=4, seed=seed + 1)
    return Objective(student, FrozenDenoiser(teacher), loss, **(given | options))


# --- the state ----------------------------------------------------------------------------------------------------


def test_its_state_is_student_auxiliary_networks_and_average_and_never_the_teacher() -> None:
    objective = whole_objective()
    names = [name for name, _ in tiny_denoiser(size=4).named_parameters()]
    wanted = [f"{part}.{name}" for part in ("student", "auxiliary.fake", "average") for name in names]
    assert sorted(objective.state_dict()) == sorted(wanted)
    assert objective._teacher is not None
    theirs = {id(parameter) for parameter in objective._teacher.denoiser.parameters()}
    assert not theirs & {id(parameter) for parameter in objective.parameters()}


def test_an_objective_without_them_has_the_student_alone() -> None:
    student = tiny_denoiser(size=4)
    objective = Objective(student, None, no_loss)
    assert sorted(objective.state_dict()) == sorted(f"student.{name}" for name, _ in student.named_parameters())
    assert (objective.average, len(objective.auxiliary), objective.draws) == (None, 0, ())
    assert objective.evaluations == Evaluations(student=1, teacher=1)


def pull_everywhere(networks: Networks, batch: Batch, draws: Draws) -> Loss:
    """Ask every network there is."""
    t = networks.student.index_set[batch.k]
    assert networks.average is not None
    fake: Any = networks.auxiliary["fake"]
    said = [m.predict(batch.noise, t).eps for m in (networks.student, networks.teacher, fake, networks.average)]
    apart = [(n + 1) * (one - other).square().mean() for n, (one, other) in enumerate(pairwise(said))]
    return Loss(torch.stack(apart).sum())


def test_loaded_into_another_objective_the_state_gives_the_same_loss() -> None:
    one, other = whole_objective(0, pull_everywhere), whole_objective(10, pull_everywhere)
    other._teacher = one._teacher
    with torch.no_grad():
        first_layer(one.student).add_(0.1)  # so that the average is not the student
    batch = Batch(normal(4, 1, 4, 4), normal(4, 1, 4, 4, seed=1), torch.tensor([0, 9, 30, 63]))
    with torch.no_grad():
        assert float((one(batch, NO_DRAWS).total - other(batch, NO_DRAWS).total).abs()) > 1e-3
        other.load_state_dict(one.state_dict())
        assert torch.equal(one(batch, NO_DRAWS).total, other(batch, NO_DRAWS).total)


# --- what is trained ----------------------------------------------------------------------------------------------


def test_the_optimiser_trains_the_student_and_the_auxiliary_networks_at_their_own_rate() -> None:
    objective = whole_objective()
    student, auxiliary = objective.parameter_groups()
    assert (student["factor"], auxiliary["factor"]) == (1.0, 0.5)
    assert [id(p) for p in student["params"]] == [id(p) for p in objective.student.parameters()]
    assert [id(p) for p in auxiliary["params"]] == [id(p) for p in objective.auxiliary.parameters()]
    (alone,) = Objective(objective.student, None, no_loss, average_decay=0.5).parameter_groups()
    assert [id(p) for p in alone["params"]] == [id(p) for p in objective.student.parameters()]


def test_training_mode_is_that_of_student_and_auxiliary_networks_alone() -> None:
    """What is only asked must not drop out units."""
    objective = whole_objective()
    assert objective.average is not None
    assert objective._teacher is not None
    fixed = (objective.average, objective._teacher.denoiser)
    assert objective.train() is objective
    assert all(module.training for part in (objective.student, objective.auxiliary) for module in part.modules())
    assert not any(module.training for part in fixed for module in part.modules())
    assert not any(parameter.requires_grad for part in fixed for parameter in part.parameters())
    objective.eval()
    assert not any(module.training for module in objective.modules())


# --- the moving average -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.95])
def test_the_average_follows_with_constant_decay_after_each_step_and_only_then(decay: float) -> None:
    """Written out: average <- decay average + (1 - decay) student, from the student's first weights on, no warm-up."""
    student = tiny_denoiser(size=4)
    objective = Objective(student, None, no_loss, average_decay=decay).train()
    assert objective.average is not None
    assert_same_weights(weights_of(objective.average), weights_of(student))
    wanted = {name: value.double() for name, value in weights_of(student).items()}
    for step in range(20):
        with torch.no_grad():
            for n, parameter in enumerate(student.network.parameters()):
                parameter.copy_(normal(*parameter.shape, seed=100 * step + n))
        objective.after_step()
        for name, value in weights_of(student).items():
            wanted[name] = decay * wanted[name] + (1 - decay) * value.double()
    for name, value in weights_of(objective.average).items():
        np.testing.assert_allclose(value.numpy(), wanted[name].numpy(), rtol=1e-4, atol=1e-6)


def test_without_an_average_a_step_leaves_all_weights_as_they_are() -> None:
    objective = whole_objective(average_decay=None)
    before = {name: value.clone() for name, value in objective.state_dict().items()}
    objective.after_step()
    assert_same_weights(dict(objective.state_dict()), before)


@pytest.mark.parametrize("decay", [0.0, 0.9])
def test_consistency_distillation_aims_at_an_average_of_its_target_decay(decay: float) -> None:
    method = Consistency(ConsistencyOptions(method="consistency", target_decay=decay), SCHEDULE)
    teacher, (training,) = tiny_denoiser(size=4), method.plan(4).trainings
    student = fresh_student(method, training, teacher)
    objective = method.objective(training, student, FrozenDenoiser(teacher)).train()
    assert objective.average is not None
    first = weights_of(student)["unet.conv_in.weight"]
    with torch.no_grad():
        first_layer(student).add_(1.0)
    batch = Batch(normal(4, 1, 4, 4), normal(4, 1, 4, 4, seed=1), torch.tensor([1, 5, 9, 17]))
    with torch.no_grad():
        far = objective(batch, NO_DRAWS).total
        assert torch.equal(weights_of(objective.average)["unet.conv_in.weight"], first), "a loss does not move it"
        objective.after_step()
        near = objective(batch, NO_DRAWS).total
    torch.testing.assert_close(weights_of(objective.average)["unet.conv_in.weight"], first + (1 - decay))
    assert not torch.equal(far, near), "the loss asks it"


@pytest.mark.parametrize("decay", [1.0, -0.1])
def test_a_target_decay_that_is_none_is_refused(decay: float) -> None:
    with pytest.raises(ValidationError):
        ConsistencyOptions(method="consistency", target_decay=decay)


# --- what the loss sees -------------------------------------------------------------------------------------------


def with_classes(seed: int) -> Denoiser:
    config = PerceptronOptions(kind="mlp", width=8, depth=1, classes=3).config(1, 2)
    return Denoiser(build_network(config, seed), "v", Steps.of_teacher(SCHEDULE))


def test_the_loss_sees_networks_bound_to_the_batchs_classes_and_a_guided_teacher() -> None:
    seen: list[tuple[Networks, Batch, Draws]] = []

    def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        seen.append((networks, batch, draws))
        return Loss(networks.student.predict(batch.x0, networks.student.index_set[batch.k]).x0.mean())

    student, teacher, fake = (with_classes(seed) for seed in range(3))
    objective = Objective(
        student,
        FrozenDenoiser(teacher, guidance_scale=2.0),
        loss,
        auxiliary=torch.nn.ModuleDict({"fake": fake}),
        average_decay=0.5,
        draws=("a",),
    )
    labels, x, k = torch.tensor([0, 2, 3]), normal(3, 2, 1, 1), torch.tensor([5, 40, 63])
    batch, draws = Batch(x, x, k, labels, step=7), Draws(("a",), 0, 7, (3, 2, 1, 1), torch.device("cpu"))
    assert objective(batch, draws).total.requires_grad
    ((networks, its_batch, its_draws),) = seen
    assert its_batch is batch
    assert its_draws is draws
    assert networks.auxiliary["fake"] is fake
    assert networks.average is not None
    assert objective.average is not None
    one, two = student.given(labels), teacher.given(labels, 2.0)
    with torch.no_grad():
        assert torch.equal(networks.student.predict(x, k).eps, one.predict(x, k).eps)
        assert torch.equal(networks.teacher.predict(x, k).eps, two.predict(x, k).eps)
        assert torch.equal(networks.average.predict(x, k).eps, one.predict(x, k).eps), "the average is not guided"
        assert not torch.equal(two.predict(x, k).eps, teacher.given(labels).predict(x, k).eps)
    assert (student.labels, teacher.labels, objective.average.labels) == (None, None, None), "views, not the networks"
    assert not networks.teacher.predict(x, k).eps.requires_grad
