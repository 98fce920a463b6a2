"""Relational diffusion distillation: each term against loops in numpy, and the memory as a queue."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.exact_networks import gaussian_denoiser, has_gradient, normal, tiny_denoiser
from support.methods import method_of
from support.trainings import GivenDraws, fresh_student, tiny_classifier

from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.base import Method
from sfddm.methods.rdd import memory_divergence, pixels_of, similarity_divergence
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.objective import Objective
from sfddm.objectives.pixel_memory import PixelMemory
from sfddm.objectives.terms import Batch

IMAGE = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
SMALL = {"from_steps": 8, "queue_size": 20, "contrast": 5, "enqueued": 7}


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x) / np.exp(x).sum()


def unit(features: torch.Tensor, b: int, place: tuple[int, int]) -> np.ndarray:
    pixel = features.double().numpy()[b, :, place[0], place[1]]
    return pixel / np.sqrt((pixel**2).sum())


PLACES = [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_similarities_are_those_of_every_pixel_with_every_sample(temperature: float) -> None:
    said, wanted = normal(3, 4, 2, 3), normal(3, 4, 2, 3, seed=1)
    terms = []
    for b in range(3):
        for d in range(3):
            for i in PLACES:
                p, q = (
                    softmax(np.array([unit(f, b, i) @ unit(f, d, j) for j in PLACES]) / temperature)
                    for f in (wanted, said)
                )
                terms.append((p * np.log(p / q)).sum())
    assert len(terms) == 3 * 3 * 6
    assert float(similarity_divergence(said, wanted, temperature)) == pytest.approx(np.mean(terms), rel=1e-4)


def test_similarities_of_equal_maps_and_of_turned_ones_do_not_diverge() -> None:
    """Only angles between pixels count: one rotation of all of them, and each one's length, change nothing."""
    said = normal(3, 4, 2, 2)
    rotation, _ = torch.linalg.qr(normal(4, 4, seed=2))
    turned = torch.einsum("ec,bchw->behw", rotation, said) * normal(3, 1, 2, 2, seed=3).abs()
    assert abs(float(similarity_divergence(said, said, 1.0))) < 1e-6
    assert abs(float(similarity_divergence(turned, said, 1.0))) < 1e-6
    assert float(similarity_divergence(normal(3, 4, 2, 2, seed=4), said, 1.0)) > 1e-3
    assert float(similarity_divergence(normal(3, 4, 1, 1), normal(3, 4, 1, 1, seed=1), 1.0)) == 0  # a point


def memory_of(seed: int = 0, width: int = 4, size: int = 10, contrast: int = 4) -> PixelMemory:
    torch.manual_seed(seed)
    return PixelMemory(width, size, contrast)


def head_written_out(memory: PixelMemory, features: torch.Tensor) -> np.ndarray:
    """(P, D) of (B, D, h, w): a linear map, each channel to mean 0 and variance 1, ReLU, a linear map."""
    first, _, _, last = (module for module in memory.head)
    pixels = features.double().permute(0, 2, 3, 1).reshape(-1, features.shape[1]).numpy()
    hidden = pixels @ first.weight.detach().double().numpy()[:, :, 0, 0].T
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
    out: np.ndarray = np.maximum(hidden, 0) @ last.weight.detach().double().numpy()[:, :, 0, 0].T
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)  # ReLU may leave nothing


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_the_memory_compares_each_pixel_with_evenly_spaced_entries(temperature: float) -> None:
    memory, said, wanted = memory_of(), normal(3, 4, 2, 3), normal(3, 4, 2, 3, seed=1)
    entries = memory.queue.double().numpy()[[0, 3, 6, 9]]  # 4 of 10
    students = head_written_out(memory, said)
    targets = np.array([unit(wanted, b, place) for b in range(3) for place in PLACES])
    terms = []
    for student, target in zip(students, targets, strict=True):
        p, q = (softmax(entries @ one / temperature) for one in (target, student))
        terms.append((p * np.log(p / q)).sum())
    found = float(memory_divergence(memory, said, wanted, temperature).detach())
    assert found == pytest.approx(np.mean(terms), rel=1e-3)


def test_the_memorys_first_entries_are_unit_vectors_and_a_pixel_is_its_own_channels() -> None:
    torch.testing.assert_close(memory_of().queue.norm(dim=1), torch.ones(10))
    features = normal(2, 4, 2, 3)
    pixels = pixels_of(features)
    assert pixels.shape == (2, 6, 4)
    np.testing.assert_allclose(pixels[1, 4].numpy(), unit(features, 1, (1, 1)), rtol=1e-5)


@pytest.mark.parametrize("count", [1, 3, 7, 10])
def test_the_queue_is_first_in_first_out(count: int) -> None:
    memory = memory_of()
    wanted = deque(memory.queue.clone(), maxlen=10)
    for round_ in range(9):
        pixels = normal(count, 4, seed=round_)
        memory.enqueue(pixels)
        wanted.extend(pixels)
        first = int(memory.oldest)
        in_order = torch.cat([memory.queue[first:], memory.queue[:first]])
        assert torch.equal(in_order, torch.stack(list(wanted)))


def test_a_step_takes_the_offered_pixels_with_the_smallest_keys_once() -> None:
    memory, pixels = memory_of(), normal(5, 4)
    before = memory.queue.clone()
    memory.offer(pixels, torch.tensor([0.3, -1.0, 2.0, 0.1, 5.0]))
    assert torch.equal(memory.queue, before)
    memory.take(3)
    assert torch.equal(memory.queue[:3], pixels[[1, 3, 0]])
    assert torch.equal(memory.queue[3:], before[3:])
    memory.take(3)
    assert int(memory.oldest) == 3
    memory.offer(pixels[:2], torch.tensor([1.0, 0.0]))
    memory.take(100)
    assert torch.equal(memory.queue[3:5], pixels[[1, 0]])


# --- the loss -----------------------------------------------------------------------------------------------------


def objective_of(method: Method, teacher: Denoiser, student: Denoiser, side: int) -> Objective:
    torch.manual_seed(0)
    student.network.config |= {"sample_size": side}
    objective = method.objective(method.plan(2).trainings[-1], student, FrozenDenoiser(teacher))
    objective.classifier = tiny_classifier((1, side, side))
    return objective


def of_one_image(offset: float, **options: Any) -> tuple[Objective, Batch, GivenDraws]:
    """A teacher that says one image, and a student that says another, each whatever it sees."""
    schedule, method = make_schedule("cosine", 64), method_of("rdd", **(SMALL | options))
    teacher = gaussian_denoiser(schedule, IMAGE, 0.0, "x0")
    steps = teacher.steps.subsequence((31, 63), (31, 63))
    student = Denoiser(gaussian_denoiser(schedule, IMAGE + offset, 0.0, "x0").network, "x0", steps)
    noise = normal(2, 1, 2, 2)
    draws = GivenDraws(("queue",), noise[None], torch.zeros(1, 2))
    return (
        objective_of(method, teacher, student, 2),
        Batch(IMAGE.expand(2, 1, 2, 2), noise, torch.arange(2)),
        draws,
    )


def test_the_loss_is_the_weighted_sum_of_its_three_terms() -> None:
    objective, batch, draws = of_one_image(-0.25, feature_weight=3.0, similarity_weight=5.0, memory_weight=7.0)
    loss = objective(batch, draws)
    parts = {name: float(value) for name, value in loss.parts.items()}
    assert set(parts) == {"features", "similarity", "memory"}
    assert all(value > 1e-6 for value in parts.values())
    wanted = 3 * parts["features"] + 5 * parts["similarity"] + 7 * parts["memory"]
    assert float(loss.total.detach()) == pytest.approx(wanted, rel=1e-5)
    classifier = objective.classifier
    assert classifier is not None
    said, target = (classifier((IMAGE + offset).expand(2, 1, 2, 2)).map for offset in (-0.25, 0.0))
    assert parts["similarity"] == pytest.approx(float(similarity_divergence(said, target, 1.0)), rel=1e-2)
    memory = objective.auxiliary["memory"]
    assert isinstance(memory, PixelMemory)
    assert parts["memory"] == pytest.approx(float(memory_divergence(memory, said, target, 0.1).detach()), rel=1e-2)


def test_the_defaults_are_those_of_the_paper() -> None:
    defaults = method_of("rdd").options.model_dump()
    wanted = {
        "from_steps": 4, "feature_weight": 1.0, "temperature": 0.9, "similarity_weight": 1.0,
        "similarity_temperature": 1.0, "memory_weight": 0.1, "memory_temperature": 0.1, "queue_size": 20_000,
        "contrast": 4096, "enqueued": 128,
    }  # fmt: skip
    assert {key: defaults[key] for key in wanted} == wanted


def test_the_student_that_says_the_target_has_no_loss_but_the_heads() -> None:
    objective, batch, draws = of_one_image(0.0, temperature=1.0)
    parts = objective(batch, draws).parts
    assert abs(float(parts["features"])) < 1e-6
    assert abs(float(parts["similarity"])) < 1e-6
    assert float(parts["memory"]) > 1e-3


def test_after_the_step_the_memory_holds_the_targets_pixels_and_never_the_students() -> None:
    objective, batch, draws = of_one_image(-0.25)
    memory = objective.auxiliary["memory"]
    assert isinstance(memory, PixelMemory)
    assert objective.classifier is not None
    before = memory.queue.clone()
    objective(batch, draws)
    assert torch.equal(memory.queue, before)
    objective.after_step()
    assert int(memory.oldest) == 7
    order = batch.noise.flatten().argsort()[:7]
    pixels = pixels_of(objective.classifier(IMAGE.expand(2, 1, 2, 2)).map).reshape(-1, 32)
    # x_T is the image but for float32's rounding, which a small signal amplifies
    torch.testing.assert_close(memory.queue[:7], pixels[order], rtol=0, atol=1e-3)
    assert torch.equal(memory.queue[7:], before[7:])


def test_gradients_reach_the_student_and_the_head_alone() -> None:
    method, teacher = method_of("rdd", **SMALL), tiny_denoiser(size=4)
    fold = method.plan(2).trainings[-1]
    student = fresh_student(method, fold, teacher, seed=3)
    objective = method.objective(fold, student, FrozenDenoiser(teacher))
    objective.classifier = tiny_classifier()
    noise = normal(4, 1, 4, 4, seed=1)
    draws = GivenDraws(("queue",), noise[None], torch.zeros(1, 4))
    objective(Batch(normal(4, 1, 4, 4), noise, torch.tensor([0, 1, 1, 0])), draws).total.backward()
    assert has_gradient(student)
    head = list(objective.auxiliary.parameters())
    assert len(head) == 4, "two linear maps, scale and shift"
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in head)
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert {"auxiliary.memory.queue", "auxiliary.memory.oldest"} <= set(objective.state_dict())


def test_without_a_weight_a_term_is_not_computed_and_there_is_no_memory() -> None:
    objective, batch, draws = of_one_image(-0.25, similarity_weight=0.0, memory_weight=0.0)
    assert len(objective.auxiliary) == 0
    loss = objective(batch, draws)
    assert set(loss.parts) == {"features"}
    cfd, _, _ = of_one_image(-0.25)
    assert torch.equal(loss.parts["features"], cfd(batch, draws).parts["features"])


@pytest.mark.parametrize("key", ["contrast", "enqueued"])
def test_more_than_the_queue_holds_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match=f"{key}: must be at most queue_size, 20; got 21"):
        method_of("rdd", **(SMALL | {key: 21}))
