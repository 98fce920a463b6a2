"""What two-time methods share: a step against the exact flow map, the grid, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import gaussian_denoiser, gaussian_flow, normal
from support.methods import TIMESTEPS, method_of
from support.several_students import make_spec
from support.trainings import GivenDraws

from sfddm.diffusion.process import q_sample
from sfddm.diffusion.schedule import make_schedule
from sfddm.methods import all_methods, find_method
from sfddm.methods.options import TrainingOptions
from sfddm.methods.two_times import TwoTimesMethod, jump
from sfddm.networks.build import build_network, with_second_time
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.steps import Steps
from sfddm.objectives.terms import Batch
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM
from sfddm.spec.stages import student_training
from sfddm.training.loop import Seeds, train

NAMES = [name for name in all_methods() if issubclass(find_method(name), TwoTimesMethod)]
SCHEDULE = make_schedule("linear", 64)
every_two_time_method = pytest.mark.parametrize("name", NAMES)


def test_a_step_of_the_exact_student_is_the_flow_map_and_steps_compose() -> None:
    """Against the closed form: quantiles of N(a m, a^2 d^2 + s^2) are kept. A step of no length changes nothing."""
    mean, deviation, indices = 0.25, 0.5, tuple(range(64))
    student = gaussian_flow(SCHEDULE, torch.tensor(mean), deviation, indices)
    x, at = normal(4, 1, 2, 2), torch.from_numpy(SCHEDULE.alphas_bar)
    t, u, s = torch.tensor([63, 40, 20, 5]), torch.tensor([41, 39, 3, 5]), torch.tensor([0, 39, -1, -1])

    def spread(k: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        a = at[k.clamp(min=0)].masked_fill(k < 0, 1.0).view(-1, 1, 1, 1)
        return a.sqrt() * mean, (a * deviation**2 + 1 - a).sqrt()

    (m_t, d_t), (m_s, d_s) = spread(t), spread(s)
    wanted = (m_s + (x.double() - m_t) / d_t * d_s).float()
    with torch.no_grad():
        torch.testing.assert_close(jump(student, x, t, s), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(jump(student, jump(student, x, t, u), u, s), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(jump(student, x, t, t), x, rtol=1e-5, atol=1e-5)
        clean = torch.full((4,), -1)
        assert torch.equal(jump(student, x, clean, clean), x)


def test_a_single_images_noise_stays_what_it_was() -> None:
    image, noise = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2), normal(1, 1, 2, 2)
    student = gaussian_flow(SCHEDULE, image, 0.0, (3, 40))
    x, t, s = (q_sample(image, noise, student.level(torch.tensor([40]))), torch.tensor([40]), torch.tensor([3]))
    with torch.no_grad():
        torch.testing.assert_close(jump(student, x, t, s), q_sample(image, noise, student.level(s)))


@every_two_time_method
def test_one_training_serves_every_index_set_of_its_grid(name: str) -> None:
    method = method_of(name, timesteps=1024, grid=64, index_set="linspace")
    (training,) = method.plan(1).trainings
    assert (training.name, training.second_time, training.initialisation) == ("all", True, "teacher")
    assert (len(training.index_set), training.index_set[0], training.index_set[-1]) == (64, 15, 1023)
    for steps in (1, 2, 4, 8, 64):
        plan = method.plan(steps)
        assert plan.trainings == (training,)
        stride = 1024 // steps
        assert plan.index_set == tuple(range(stride - 1, 1024, stride)), "uniform where the grid has it"
    listed = method_of(name, timesteps=1024, grid=64, index_set=(511, 1023))
    assert listed.plan(2).index_set == (511, 1023)


@every_two_time_method
@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sampler": "heun"}, r"sampler: must be ddim, whose step is what the student learns, got heun"),
        ({"grid": 65}, r"grid: must be at most the teacher's 64 timesteps, got 65"),
        ({"grid": 32, "index_set": [30, 63]}, r"index_set: 30 is none of the 32 points of the grid \(grid\)"),
        ({"grid": 2, "index_set": "linspace"}, r"steps: must be at most the 2 points of the grid \(grid\), got 3"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(name: str, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SfddmError, match=sentence):
        method_of(name, **options).plan(3 if "steps" in sentence else 2)


@every_two_time_method
def test_a_spec_is_refused_before_anything_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, Any] = {name: {"steps": [2]}, "other": {"method": "trajectory", "student_of": name, "steps": [2]}}
    with pytest.raises(SfddmError, match="is told where each step goes; it can be sampled with sampler: ddim, but"):
        make_spec(methods=rows)
    spec = make_spec(methods={name: {"steps": [2]}, "again": {"method": "ddim", "student_of": name, "steps": [2]}})
    assert student_training(spec, name, "all", 0).key["training"]["second_time"] is True
    monkeypatch.setattr(PerceptronOptions, "takes_second_time", False)
    with pytest.raises(SfddmError, match=r"network\.kind: mlp takes no second time, which this method's student needs"):
        make_spec(methods={name: {"steps": [2]}})


@every_two_time_method
def test_classes_reach_all_networks_that_a_loss_asks(name: str) -> None:
    """Each of student, average and teacher, at every evaluation, sees the batch's labels."""
    config = PerceptronOptions(kind="mlp", width=8, depth=1, classes=3).config(1, 2)
    teacher = Denoiser(build_network(config, 0), "v", Steps.of_teacher(make_schedule("cosine", TIMESTEPS)))
    method, asked = method_of(name), []
    (training,) = method.plan(1).trainings
    steps = teacher.steps.subsequence(training.index_set, training.index_set)
    student = Denoiser(with_second_time(teacher.network, 1), "v", steps)
    for network in (teacher.network, student.network):  # a copy of a network has its hooks
        network.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[1].labels))
    objective = method.objective(training, student, FrozenDenoiser(teacher))
    labels, numbers = torch.tensor([0, 2, 1]), torch.full((2, 3), 0.1)
    batch = Batch(normal(3, 2, 1, 1), normal(3, 2, 1, 1, seed=1), torch.tensor([5, 9, 63]), labels)
    loss = objective(batch, GivenDraws(objective.draws, normal(2, 3, 2, 1, 1), numbers)).total
    assert torch.isfinite(loss)
    count = objective.evaluations
    assert len(asked) == count.student + count.teacher
    assert all(torch.equal(seen, labels) for seen in asked)


def test_other_trainings_do_not_state_a_second_time() -> None:
    assert "second_time" not in student_training(make_spec(), "trajectory", "8", 0).key["training"]


#: What suits so short a training.
LEARNING: dict[str, dict[str, Any]] = {
    "ctm": {"target_decay": 0.9, "denoising_weight": 0.1, "grid": 8},
    "shortcut": {"target_decay": 0.9, "bootstrap_share": 0.5, "grid": 8},
    "meanflow": {"grid": 16},
}


@every_two_time_method
def test_it_learns_to_go_where_the_path_of_the_same_noise_leads(name: str, tmp_path: Path) -> None:
    """Points of a Gaussian, an exact teacher, a small perceptron: in one step and in four, from one training."""
    mean, deviation, schedule = torch.tensor([0.4, -0.3]).view(1, 2, 1, 1), 0.25, make_schedule("cosine", TIMESTEPS)
    teacher = gaussian_denoiser(schedule, mean, deviation, "v")
    method = method_of(name, **LEARNING.get(name, {}))
    (training,) = method.plan(1).trainings
    config = PerceptronOptions(kind="mlp", width=48, depth=2).config(1, 2)
    network = with_second_time(build_network(config, 0), 1)
    student = Denoiser(network, "v", teacher.steps.subsequence(training.index_set, training.index_set))
    points = (mean + deviation * normal(4096, 2, 1, 1)).clamp(-1, 1)
    images = (points.permute(0, 2, 3, 1) * 127.5 + 127.5).round().byte().numpy()
    noise, last = normal(512, 2, 1, 1, seed=5), float(schedule.alphas_bar[-1])
    surprise = (noise - last**0.5 * mean) / (last * deviation**2 + 1 - last) ** 0.5
    wanted = mean + deviation * surprise

    def distance(steps: int) -> float:
        made = sample(student, method.index_set(steps), DDIM(0.0, clip=False), noise, lambda k: noise)
        return float((made - wanted).square().mean().sqrt())

    with torch.no_grad():
        before = distance(1)
    options = TrainingOptions(images=128 * 600, batch_size=128, learning_rate=4e-3, learning_rate_schedule="linear")
    train(
        method.objective(training, student, FrozenDenoiser(teacher)),
        images,
        np.full(len(images), -1),
        options,
        seeds=Seeds(0, 1),
        checkpoint=tmp_path / "state",
        device=torch.device("cpu"),
        title=name,
    )
    with torch.no_grad():
        after = {steps: distance(steps) for steps in (1, 4)}
    assert after[1] < before / 3
    assert max(after.values()) < deviation / 2, "one step of the teacher, the mean alone, is a deviation away"
