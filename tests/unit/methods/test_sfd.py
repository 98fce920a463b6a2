"""SFD: the student's step from its own state against the teacher's path, in closed form."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from support.exact_networks import gaussian_denoiser, normal, tiny_denoiser
from support.methods import method_of
from support.trainings import fresh_student, loss_of

from sfddm.diffusion.schedule import make_schedule
from sfddm.networks.base import Network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Batch, Networks
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM

SCHEDULE = make_schedule("cosine", 64)
INDICES = (7, 15, 31, 63)


def batch_of(count: int) -> Batch:
    """Every step once; no image can be read."""
    return Batch(torch.full((count, 1, 2, 2), torch.nan), normal(count, 1, 2, 2), torch.arange(count))


def ddim(z: np.ndarray, mean: float, deviation: float, stops: list[int]) -> np.ndarray:
    """DDIM along the indices for pixels of N(mean, deviation^2), in float64."""
    for here_index, there_index in pairwise(stops):
        here = SCHEDULE.alphas_bar[here_index]
        there = SCHEDULE.alphas_bar[there_index] if there_index >= 0 else 1.0
        eps = np.sqrt(1 - here) * (z - np.sqrt(here) * mean) / (here * deviation**2 + 1 - here)
        z = np.sqrt(there) * (z - np.sqrt(1 - here) * eps) / np.sqrt(here) + np.sqrt(1 - there) * eps
    return z


def test_the_loss_is_the_distance_of_the_two_paths_in_x_over_signal() -> None:
    """A wrong student, three sub-steps of the teacher, every step of the student, by hand."""
    method = method_of("sfd", index_set=INDICES, finer=2, clip=False)
    teacher = gaussian_denoiser(SCHEDULE, torch.tensor(0.25), 0.5, "v")
    wrong = gaussian_denoiser(SCHEDULE, torch.tensor(-1.0), 0.25, "v")
    student, batch = Denoiser(wrong.network, "v", wrong.steps.subsequence(INDICES, INDICES)), batch_of(4)
    coarse, fine, wanted = [63, 31, 15, 7, -1], [], []
    for start, end in pairwise(coarse):
        fine.append([start - (start - end) * done // 3 for done in range(4)])
    for k in range(4):
        steps, z = 4 - k, batch.noise[k].double().numpy()
        own = ddim(z, -1.0, 0.25, coarse[: steps + 1])
        path = z
        for stops in fine[:steps]:
            path = ddim(path, 0.25, 0.5, stops)
        signal = np.sqrt(SCHEDULE.alphas_bar[coarse[steps]]) if coarse[steps] >= 0 else 1.0
        wanted.append(np.abs(own - path).mean() / signal)
    found = loss_of(method, student, teacher, batch)
    assert float(found.total) == pytest.approx(np.mean(wanted), rel=1e-4)


def test_a_student_on_the_exact_path_has_no_loss() -> None:
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    teacher = gaussian_denoiser(SCHEDULE, image, 0.0, "x0")
    student = Denoiser(teacher.network, "x0", teacher.steps.subsequence(INDICES, INDICES))
    method = method_of("sfd", index_set=INDICES)
    assert float(loss_of(method, student, teacher, batch_of(4)).total) < 1e-4


def test_the_evaluations_are_counted() -> None:
    method = method_of("sfd", finer=1)
    (training,) = method.plan(8).trainings
    teacher = tiny_denoiser(size=4)
    student = fresh_student(method, training, teacher)
    loss_of(method, student, teacher, Batch(normal(8, 1, 4, 4), normal(8, 1, 4, 4), torch.arange(8)))
    counted = method.evaluations(training)
    assert student.evaluations / 8 == counted.student == 4.5
    # From 7 two half-steps lead to the clean image, all of them over an index between.
    assert teacher.evaluations / 8 == counted.teacher == 9.0


def test_it_learns_where_the_path_leads_and_not_what_ddim_says() -> None:
    """Gradient descent on a student of one free shift for each step brings it nearer to the teacher's fine path."""
    method = method_of("sfd", index_set=INDICES, finer=7, clip=False)
    teacher = gaussian_denoiser(SCHEDULE, torch.tensor(0.25), 0.5, "v")

    class Shifted(Network):
        def __init__(self) -> None:
            super().__init__()
            self.shift, self.slope = torch.nn.Parameter(torch.zeros(64)), torch.nn.Parameter(torch.ones(64))
            self.classes, self.config = None, {}

        def forward(self, x: torch.Tensor, condition: object) -> torch.Tensor:
            t = condition.t  # type: ignore[attr-defined]
            shape = (-1, 1, 1, 1)
            return self.slope[t].view(shape) * teacher.network(x, condition).float() + self.shift[t].view(shape)

    student = Denoiser(Shifted(), "v", teacher.steps.subsequence(INDICES, INDICES))
    noise = normal(256, 1, 2, 2, seed=4)
    fine = sample(teacher, tuple(range(0, 64)), DDIM(0.0, clip=False), noise, lambda k: noise)

    def distance() -> float:
        with torch.no_grad():
            return float((sample(student, INDICES, DDIM(0.0, clip=False), noise, lambda k: noise) - fine).abs().mean())

    before, optimiser = distance(), torch.optim.Adam(student.parameters(), 1e-2)
    for step in range(200):
        batch = Batch(noise, normal(64, 1, 2, 2, seed=step), torch.arange(64) % 4)
        optimiser.zero_grad()
        method.loss(Networks(student, FrozenDenoiser(teacher)), batch, None).total.backward()  # type: ignore[arg-type]
        optimiser.step()
    assert distance() < 0.3 * before
