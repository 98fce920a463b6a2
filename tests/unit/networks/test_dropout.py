"""Points that a loss compares are seen through the same dropout mask."""

from __future__ import annotations

import pytest
import torch
from support.exact_networks import normal, tiny_denoiser
from support.methods import method_of
from support.trainings import GivenDraws

from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.scd import total_derivative
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.dropout import same_dropout
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.kinds.unet import UNetOptions
from sfddm.networks.steps import Steps
from sfddm.objectives.terms import Batch

SCHEDULE = make_schedule("cosine", 64)


def dropping(seed: int = 0) -> Denoiser:
    options = UNetOptions(channels=8, channel_multipliers=(1, 2), blocks_per_level=1, dropout=0.5)
    return Denoiser(build_network(options.config(4, 1), seed), "v", Steps.of_teacher(SCHEDULE)).train()


def test_what_runs_within_drops_out_what_runs_next_drops_out() -> None:
    model, x, t = dropping(), normal(2, 1, 4, 4), torch.tensor([3, 40])
    for _ in range(2):  # twice: the masks move on
        with same_dropout(x.device):
            one, two = model.raw(x, t), model.raw(x, t)
        after = model.raw(x, t)
        assert torch.equal(one, after)
        assert not torch.equal(one, two)
        assert after.requires_grad
        assert not one.requires_grad


@pytest.mark.parametrize("name", ["scd", "ect"])
def test_every_evaluation_of_the_student_in_one_loss_sees_the_same_masks(name: str) -> None:
    method, student, teacher = method_of(name), dropping(), tiny_denoiser(SCHEDULE, prediction="v", size=4)
    states: list[torch.Tensor] = []
    student.network.register_forward_pre_hook(lambda module, inputs: states.append(torch.get_rng_state()))
    (training,) = method.plan(1).trainings
    objective = method.objective(training, student, FrozenDenoiser(teacher)).train()
    x = normal(2, 1, 4, 4)
    objective(Batch(x, x, torch.tensor([0, 0])), GivenDraws(("level",), x[None], torch.tensor([[0.3, 0.9]])))
    assert len(states) == method.evaluations(training).student
    assert all(torch.equal(state, states[0]) for state in states)


def test_a_finite_difference_is_not_reckoned_in_half_precision() -> None:
    network = build_network(PerceptronOptions(kind="mlp", width=8, depth=1).config(1, 2), 0)
    student = Denoiser(network, "v", Steps.of_teacher(SCHEDULE))
    x, t = normal(4, 2, 1, 1), torch.tensor([0, 5, 30, 63])
    said = FrozenDenoiser(student).predict(x, t)
    full, exact = total_derivative(student, said, t, 1), student.raw(x, t)
    with torch.autocast("cpu", torch.bfloat16):
        assert not torch.equal(student.raw(x, t), exact), "it is on"
        assert torch.equal(total_derivative(student, said, t, 1), full)
