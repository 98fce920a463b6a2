"""MSD against a known score: where its gradients point, where they vanish, who answers for which class."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exact_networks import normal
from support.mixture_networks import mixture_denoiser, two_islands
from support.score_specs import make_spec
from support.trainings import NO_DRAWS, GivenDraws, loss_of

from sfddm.data.gaussians import Mixture, posterior_mean, sample_mixture, score
from sfddm.data.store import write_store
from sfddm.diffusion.partition import Parts
from sfddm.diffusion.process import Prediction, q_sample
from sfddm.diffusion.schedule import make_schedule
from sfddm.evaluation.class_partition import make_partition
from sfddm.evaluation.sections import ClassPartition
from sfddm.methods import make_method
from sfddm.methods.base import Training
from sfddm.methods.multi_student import (
    MultiStudent,
    MultiStudentOptions,
    critic_error,
    denoising_error,
    density_weight,
    distribution_gradient,
    generate,
    score_matching_loss,
)
from sfddm.networks.auxiliary import Critic
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.ensemble import Ensemble
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.steps import Steps
from sfddm.objectives.terms import Batch, Networks, Pairs
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM as DDIMSampler
from sfddm.spec.load import parse_spec
from sfddm.spec.stages import class_partition

SCHEDULE = make_schedule("cosine", 64)
DRAWS = ("match", "fake")
CENTRE = Mixture(np.zeros((1, 2)), 0.1, np.ones(1), np.zeros(1, dtype=np.int64))


def multi_student(**options: Any) -> MultiStudent:
    method = make_method(MultiStudentOptions.model_validate({"method": "multi-student", **options}), SCHEDULE)
    assert isinstance(method, MultiStudent)
    return method


def moved(mixture: Mixture, shift: tuple[float, float]) -> Mixture:
    return Mixture(mixture.means + np.array(shift), mixture.sigma, mixture.weights, mixture.classes)


def draw(mixture: Mixture, count: int) -> torch.Tensor:
    points, _ = sample_mixture(mixture, count, np.random.default_rng(0))
    return torch.from_numpy(points).float().view(count, 2, 1, 1)


def auxiliary_of(
    method: MultiStudent, student: Denoiser, teacher: Denoiser, training: Training | None = None
) -> torch.nn.ModuleDict:
    objective = method.objective(training or method.plan(1).trainings[0], student, FrozenDenoiser(teacher))
    assert objective.draws == DRAWS
    return objective.auxiliary


def batch_of(x: torch.Tensor, **further: Any) -> Batch:
    return Batch(x, x, torch.zeros(len(x), dtype=torch.int64), **further)


def perceptron(classes: int | None = None, seed: int = 0) -> Denoiser:
    config = PerceptronOptions(kind="mlp", width=16, depth=1, classes=classes).config(1, 2)
    return Denoiser(build_network(config, seed), "v", Steps.of_teacher(SCHEDULE))


# --- distribution matching ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(0.4, 0.0), (-0.3, 0.2), (0.0, -0.5)])
@pytest.mark.parametrize("t", [5, 30, 58])
def test_descending_the_gradient_moves_fakes_to_where_the_teachers_points_are(
    shift: tuple[float, float], t: int
) -> None:
    real, fake = mixture_denoiser(CENTRE), mixture_denoiser(moved(CENTRE, shift))
    images = draw(moved(CENTRE, shift), 64)
    gradient = distribution_gradient(fake, FrozenDenoiser(real), images, normal(64, 2, 1, 1), torch.full((64,), t))
    descent = -gradient.flatten(1).mean(0).numpy()
    assert descent @ -np.array(shift) > 0.9 * np.linalg.norm(descent) * np.linalg.norm(shift)


def test_the_gradient_vanishes_where_fake_and_teacher_agree() -> None:
    mixture = two_islands()
    fake, real = mixture_denoiser(mixture), mixture_denoiser(mixture)
    gradient = distribution_gradient(
        fake, FrozenDenoiser(real), draw(mixture, 32), normal(32, 2, 1, 1), torch.arange(1, 64, 2)
    )
    assert float(gradient.abs().max()) == 0.0


def test_the_gradient_is_the_difference_of_the_scores_up_to_its_weight() -> None:
    """w_t alpha_t (s_fake - s_real), with w_t = sigma^2 / alpha^2 / mean |x - mu_real| as in DMD, written out."""
    real_mixture, fake_mixture = two_islands(), moved(two_islands(), (0.1, 0.2))
    images, noise, t = draw(fake_mixture, 6), normal(6, 2, 1, 1), torch.tensor([3, 10, 25, 40, 50, 60])
    gradient = distribution_gradient(
        mixture_denoiser(fake_mixture), FrozenDenoiser(mixture_denoiser(real_mixture)), images, noise, t
    )
    for i in range(6):
        alpha_bar = float(SCHEDULE.alphas_bar[int(t[i])])
        x_t = (np.sqrt(alpha_bar) * images[i] + np.sqrt(1 - alpha_bar) * noise[i]).double().flatten().numpy()[None]
        difference = score(fake_mixture, x_t, alpha_bar) - score(real_mixture, x_t, alpha_bar)
        weight = (
            (1 - alpha_bar)
            / alpha_bar
            / np.abs(images[i].flatten().numpy() - posterior_mean(real_mixture, x_t, alpha_bar)).mean()
        )
        expected = weight * np.sqrt(alpha_bar) * difference[0]
        assert gradient[i].flatten().numpy() == pytest.approx(expected, rel=1e-2, abs=1e-4)


def test_the_students_gradient_is_the_directions_and_reaches_no_one_else() -> None:
    method = multi_student(regression_weight=0.0)
    teacher, student = perceptron(seed=1), perceptron(seed=2)
    generator = Denoiser(student.network, "v", student.steps.subsequence((63,), (63,)))
    auxiliary = auxiliary_of(method, generator, teacher)
    noise, further = normal(8, 2, 1, 1), torch.stack([normal(8, 2, 1, 1, seed=s) for s in (1, 2)])
    uniform = torch.rand(2, 8, generator=torch.Generator().manual_seed(0))
    draws = GivenDraws(DRAWS, further, uniform)
    loss = loss_of(method, generator, teacher, batch_of(noise), draws, auxiliary=auxiliary)
    parameters = list(generator.network.parameters())
    ours = torch.autograd.grad(loss.total, parameters, retain_graph=True, allow_unused=True)
    made = generate(generator, noise)
    fake: Any = auxiliary["fake"]
    direction = distribution_gradient(
        fake, FrozenDenoiser(teacher), made.detach(), further[0], method._level_index(uniform[0])
    )
    expected = torch.autograd.grad((direction * made).flatten(1).mean(1).mean(), parameters, allow_unused=True)
    for one, other in zip(ours, expected, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, atol=1e-6)
    fakes = torch.autograd.grad(loss.total, list(fake.network.parameters()), allow_unused=True)
    alone = denoising_error(fake, made.detach(), further[1], method._level_index(uniform[1])).mean()
    assert all(
        one is None or torch.allclose(one, other, atol=1e-6)
        for one, other in zip(
            fakes, torch.autograd.grad(alone, list(fake.network.parameters()), allow_unused=True), strict=True
        )
    ), "mu_fake learns from its denoising error alone"


def test_between_its_turns_the_student_rests() -> None:
    method = multi_student(regression_weight=0.0, fake_ratio=3)
    teacher = perceptron(seed=1)
    student = Denoiser(perceptron(seed=2).network, "v", teacher.steps.subsequence((63,), (63,)))
    auxiliary = auxiliary_of(method, student, perceptron(seed=3))  # at the teacher's weights nothing would pull
    further, uniform = torch.stack([normal(4, 2, 1, 1, seed=s) for s in (1, 2)]), torch.full((2, 4), 0.5)
    draws, turns = GivenDraws(DRAWS, further, uniform), []
    for step in range(6):
        loss = loss_of(method, student, teacher, batch_of(normal(4, 2, 1, 1), step=step), draws, auxiliary=auxiliary)
        student.zero_grad()
        loss.total.backward()
        moved_at_all = any(p.grad is not None and bool(p.grad.any()) for p in student.network.parameters())
        assert moved_at_all == loss.trains_student
        turns.append(loss.trains_student)
    assert turns == [True, False, False, True, False, False]


def test_matching_a_known_score_brings_a_generator_to_the_teachers_distribution() -> None:
    """The whole loop in small: a point that may move, the exact mu_fake of where it is, the exact teacher."""
    target, place = moved(CENTRE, (0.5, -0.4)), torch.zeros(2)
    real = FrozenDenoiser(mixture_denoiser(target))
    for step in range(60):
        images = place.view(1, 2, 1, 1) + 0.1 * normal(64, 2, 1, 1, seed=step)
        fake = mixture_denoiser(moved(CENTRE, (float(place[0]), float(place[1]))))
        t = torch.randint(1, 63, (64,), generator=torch.Generator().manual_seed(step))
        gradient = distribution_gradient(fake, real, images, normal(64, 2, 1, 1, seed=1000 + step), t)
        place = place - 0.1 * gradient.flatten(1).mean(0)
    assert place.numpy() == pytest.approx([0.5, -0.4], abs=0.05)


# --- teacher score matching, regression, the critic ---------------------------------------------------------------


def test_the_fixed_point_of_score_matching_is_the_teacher() -> None:
    mixture = two_islands()
    method, teacher = multi_student(score_matching={"images": 64}), FrozenDenoiser(mixture_denoiser(mixture))
    batch = Batch(draw(mixture, 63), normal(63, 2, 1, 1), torch.arange(63))

    def loss(student: Denoiser) -> float:
        total = score_matching_loss(Networks(student, teacher), batch, NO_DRAWS).total
        objective = method.objective(method.plan(1).trainings[0], student, teacher)
        assert torch.equal(objective(batch, NO_DRAWS).total, total)
        return float(total)

    assert loss(mixture_denoiser(mixture)) == 0.0
    assert loss(mixture_denoiser(mixture, shift=0.2)) == pytest.approx(0.04, rel=1e-3)


def test_the_regression_asks_for_the_teachers_point_from_the_same_noise() -> None:
    method = multi_student(regression_weight=0.5, distribution_weight=0.0)
    teacher = perceptron(seed=1)
    student = Denoiser(perceptron(seed=2).network, "v", teacher.steps.subsequence((63,), (63,)))
    auxiliary, x = auxiliary_of(method, student, teacher), normal(4, 2, 1, 1)
    draws = GivenDraws(DRAWS, torch.stack([x, x]), torch.full((2, 4), 0.5))
    with torch.no_grad():
        images = generate(student, normal(4, 2, 1, 1, seed=7))

    def regression(shift: float) -> float:
        pairs = Pairs(normal(4, 2, 1, 1, seed=7), images + shift, None)
        loss = loss_of(method, student, teacher, batch_of(x, pairs=pairs), draws, auxiliary=auxiliary)
        return float(loss.parts["regression"])

    assert regression(0.0) == 0.0
    assert regression(0.3) == pytest.approx(0.09, rel=1e-3)


def test_the_critic_learns_to_tell_real_from_made_and_the_student_to_fool_it() -> None:
    method = multi_student(
        regression_weight=0.0, distribution_weight=0.0, adversarial={"images": 64}, adversarial_weight=1.0
    )
    (training,) = method.plan(1).students
    assert training.start == "1.dm-0"
    teacher = perceptron(seed=1)
    student = Denoiser(perceptron(seed=2).network, "v", teacher.steps.subsequence((63,), (63,)))
    auxiliary, x = auxiliary_of(method, student, teacher, training), normal(8, 2, 1, 1)
    assert isinstance(auxiliary["critic"], Critic)
    draws = GivenDraws(DRAWS, torch.stack([x, x]), torch.full((2, 8), 0.3))
    loss = loss_of(method, student, teacher, batch_of(x), draws, auxiliary=auxiliary)
    assert {"fake", "critic", "fooled"} <= set(loss.parts)
    critic = list(auxiliary["critic"].parameters())
    both = torch.autograd.grad(loss.total, critic, retain_graph=True)
    fake: Any = auxiliary["fake"]
    t = method._level_index(torch.full((8,), 0.3))
    own = critic_error(fake, auxiliary["critic"], x, generate(student, x).detach(), x, t)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(both, torch.autograd.grad(own, critic), strict=True))
    pulls = torch.autograd.grad(loss.total, list(student.network.parameters()), allow_unused=True)
    assert any(g is not None and bool(g.any()) for g in pulls), "what fools the critic reaches the student"


# --- f-distill ------------------------------------------------------------------------------------------------------

#: f of the divergence E_student[f(p_teacher / p_student)], as textbooks have it.
GENERATORS: dict[Any, Callable[[torch.Tensor], torch.Tensor]] = {
    "reverse-kl": lambda r: -r.log(),
    "kl": lambda r: r * r.log(),
    "jensen-shannon": lambda r: r * r.log() - (r + 1) * ((r + 1) / 2).log(),
}
GRID = torch.linspace(-12, 12, 4001, dtype=torch.float64)


def log_density(x: torch.Tensor, mean: torch.Tensor | float, variance: float) -> torch.Tensor:
    return -((x - mean) ** 2) / (2 * variance) - 0.5 * np.log(2 * np.pi * variance)


def test_the_best_critics_score_is_the_logarithm_of_the_density_ratio() -> None:
    """Of the loss as ``critic_error`` has it, softplus of the wrong sign, at every x of two Gaussians."""
    p, q = (log_density(GRID, mean, variance).exp() for mean, variance in ((0.4, 0.8), (-0.3, 1.3)))
    score = (log_density(GRID, 0.4, 0.8) - log_density(GRID, -0.3, 1.3)).requires_grad_()
    softplus = torch.nn.functional.softplus
    (slope,) = torch.autograd.grad((p * softplus(-score) + q * softplus(score)).sum(), score)
    assert float(slope.abs().max()) < 1e-14


@pytest.mark.parametrize("divergence", list(GENERATORS))
def test_the_weight_makes_the_gradient_that_of_the_divergence(divergence: Any) -> None:
    """For a student N(theta, 1.3) and a teacher N(0.4, 0.8), with the divergence by quadrature and by its difference.

    x = theta + noise moves with theta, so that the gradient is E_student[h(r) (s_student - s_teacher)].
    """
    step, width = 1e-4, float(GRID[1] - GRID[0])

    def value(theta: float) -> float:
        log_q = log_density(GRID, theta, 1.3)
        return float((log_q.exp() * GENERATORS[divergence]((log_density(GRID, 0.4, 0.8) - log_q).exp())).sum() * width)

    scores = log_density(GRID, 0.4, 0.8) - log_density(GRID, -0.3, 1.3)
    weight = density_weight(scores, divergence, 1e9)
    weight = weight.flatten() if isinstance(weight, torch.Tensor) else weight
    difference = -(GRID + 0.3) / 1.3 + (GRID - 0.4) / 0.8
    gradient = (log_density(GRID, -0.3, 1.3).exp() * weight * difference).sum() * width
    expected = (value(-0.3 + step) - value(-0.3 - step)) / (2 * step)
    assert float(gradient) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("divergence", list(GENERATORS))
def test_the_gradient_of_the_last_stage_is_weighed_by_the_ratio_at_its_own_noised_image(divergence: Any) -> None:
    """A critic that knows the two densities of x_t, and features that are x_t; the ratio is clipped at 2."""
    method = multi_student(
        regression_weight=0.0,
        adversarial={"images": 64},
        adversarial_weight=0.0,
        divergence=divergence,
        largest_ratio=2,
    )

    class Seeing(Denoiser):
        def middle_features(self, x: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
            return x.flatten(1)

    class Knowing(torch.nn.Module):
        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return (log_density(features, 0.4, 0.8) - log_density(features, -0.3, 1.3)).sum(1)

    teacher, student = perceptron(seed=1), perceptron(seed=2)
    generator = Denoiser(student.network, "v", student.steps.subsequence((63,), (63,)))
    fake, noise = Seeing(perceptron(seed=3).network, "v", teacher.steps), normal(16, 2, 1, 1)
    further, uniform = torch.stack([normal(16, 2, 1, 1, seed=s) for s in (1, 2)]), torch.linspace(0, 0.99, 32)
    draws = GivenDraws(DRAWS, further, uniform.view(2, 16))
    auxiliary = {"fake": fake, "critic": Knowing()}
    loss = loss_of(method, generator, teacher, batch_of(noise), draws, auxiliary=torch.nn.ModuleDict(auxiliary))
    made, t = generate(generator, noise).detach(), method._level_index(uniform[:16])
    x_t = q_sample(made, further[0], teacher.level(t)).flatten(1)
    ratio = (log_density(x_t, 0.4, 0.8) - log_density(x_t, -0.3, 1.3)).sum(1).exp().clamp(max=2)
    assert (ratio == 2).any()
    assert (ratio < 2).any()
    h = {"reverse-kl": torch.ones(16), "kl": ratio, "jensen-shannon": ratio / (1 + ratio)}[divergence]
    plain = distribution_gradient(fake, FrozenDenoiser(teacher), made, further[0], t)
    expected = 0.5 * (h[:, None] * plain.flatten(1)).square().mean()
    assert float(loss.parts["matching"]) == pytest.approx(float(expected), rel=1e-4)


def test_another_divergence_needs_a_critic() -> None:
    with pytest.raises(SfddmError, match=r"^divergence: kl needs the last stage's critic; give adversarial, or"):
        multi_student(divergence="kl").plan(1)
    assert multi_student(divergence="kl", adversarial={"images": 64}).plan(1).sampled == ("1.adm-0",)


def test_what_a_row_is_a_function_of_names_the_divergence_only_where_it_is_another() -> None:
    """So that trainings from before there was a choice keep their digests."""
    plain, other = (multi_student(**chosen).options.model_dump() for chosen in ({}, {"divergence": "kl"}))
    assert not {"divergence", "largest_ratio"} & set(plain)
    assert set(other) - set(plain) == {"divergence", "largest_ratio"}
    assert MultiStudentOptions.model_validate(other) == multi_student(divergence="kl").options


# --- parts and routing --------------------------------------------------------------------------------------------


def partition_of(method: MultiStudent, classes: int, data: Path = Path("not looked at")) -> Parts:
    """Return the classes of each student; only k-means looks at the data."""
    share = method.plan(1).students[0].share
    assert share is not None
    return make_partition(ClassPartition(share, classes, make_spec().evaluation), data)


@given(students=st.integers(2, 10), partition=st.sampled_from(["consecutive", "random"]), classes=st.integers(10, 12))
@settings(max_examples=20, deadline=None)
def test_the_parts_cover_every_class_once(students: int, partition: str, classes: int) -> None:
    method = multi_student(students=students, partition=partition)
    parts = partition_of(method, classes)
    assert sorted(c for part in parts for c in part) == list(range(classes))
    assert all(parts)
    shares = [training.share for training in method.plan(1).students]
    assert [(share.part, share.count) for share in shares if share] == [(i, students) for i in range(students)]
    assert len(parts) == students


def test_listed_parts_must_cover_every_class_once() -> None:
    method = multi_student(students=2, partition=[[0, 1], [1, 2]])
    with pytest.raises(SfddmError, match="must list 2 parts that hold each of 3 classes once"):
        partition_of(method, 3)
    with pytest.raises(SfddmError, match=r"partition: must list the classes of 3 students, not of 2"):
        multi_student(students=3, partition=[[0, 1], [1, 2]]).plan(1)


def test_several_students_need_classes() -> None:
    several = {"msd": {"method": "multi-student", "students": 2, "regression_weight": 0.0}}
    content = make_spec().model_dump(mode="json", exclude_unset=True) | {"methods": several, "steps": [1]}
    with pytest.raises(SfddmError, match=r"several students need classes; give network\.classes"):
        parse_spec(content, "tiny")
    content["network"]["classes"] = 10
    assert class_partition(parse_spec(content, "tiny"), "msd").classes == 10


def test_k_means_puts_classes_that_look_alike_together(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (8, 4))[:, :, None]  # (8, 8, 1)
    disc = np.where(np.hypot(*(np.indices((8, 8)) - 3.5)) < 3, 230, 20).astype(np.uint8)[:, :, None]
    draw = np.random.default_rng(0)
    examples = [
        (np.clip(picture + draw.integers(-20, 20, picture.shape), 0, 255).astype(np.uint8), label)
        for _ in range(12)
        for label, picture in enumerate((stripes, disc, stripes, disc))
    ]
    write_store(tmp_path / "train", "patterns", {}, (8, 8, 1), iter(examples), count=48)
    parts = partition_of(multi_student(students=2, partition="k-means"), 4, tmp_path)
    assert sorted(parts, key=str) == [(0, 2), (1, 3)]


@given(students=st.integers(1, 8), seed=st.integers(0, 3))
@settings(max_examples=15, deadline=None)
def test_copies_of_one_generator_produce_what_the_one_produces(students: int, seed: int) -> None:
    one = perceptron(classes=8, seed=seed)
    one = Denoiser(one.network, "v", one.steps.subsequence((63,), (63,)))
    method = multi_student(students=students, partition="random")
    parts: list[Any] = [None] if students == 1 else list(partition_of(method, 8))
    members = [Denoiser(copy.deepcopy(one.network), "v", one.steps) for _ in parts]
    labels = torch.arange(16) % 8
    sampler, x = DDIMSampler(0.0, True), normal(16, 2, 1, 1, seed=seed)
    many = Ensemble(members, parts).given(labels) if students > 1 else members[0].given(labels)
    with torch.no_grad():
        alone, together = (sample(m, (63,), sampler, x, lambda k: x) for m in (one.given(labels), many))
    assert torch.allclose(alone, together, atol=1e-6), "a smaller batch may round otherwise, and nothing else"


def test_each_class_is_answered_by_its_own_student_alone() -> None:
    steps = perceptron().steps.subsequence((63,), (63,))
    members = [Denoiser(perceptron(classes=4, seed=s).network, "v", steps) for s in (1, 2)]
    labels, x, t = torch.tensor([0, 3, 1, 2]), normal(4, 2, 1, 1), torch.full((4,), 63)
    with torch.no_grad():
        said = Ensemble(members, [(0, 1), (2, 3)]).given(labels).predict(x, t)
        for i, owner in enumerate([0, 1, 0, 1]):
            alone: Prediction = members[owner].given(labels[i : i + 1]).predict(x[i : i + 1], t[i : i + 1])
            assert torch.allclose(said.x0[i], alone.x0[0], atol=1e-6)


def test_one_step_only_and_the_stages_follow_one_another() -> None:
    with pytest.raises(SfddmError, match=r"steps: a student makes an image in 1 step, not in 4"):
        multi_student().plan(4)
    plan = multi_student(students=2, score_matching={"images": 64}, adversarial={"images": 64}).plan(1)
    assert [(training.name, training.start) for training in plan.trainings] == [
        ("1.tsm", None),
        ("1.dm-0", "1.tsm"),
        ("1.adm-0", "1.dm-0"),
        ("1.dm-1", "1.tsm"),
        ("1.adm-1", "1.dm-1"),
    ]
    assert plan.sampled == ("1.adm-0", "1.adm-1")


def test_a_generator_noises_to_the_levels_it_is_asked_for() -> None:
    method = multi_student(noise_range=(0.25, 0.5))
    indices = method._level_index(torch.linspace(0, 1 - 1e-6, 1000))
    assert (int(indices.min()), int(indices.max())) == (16, 32)
    assert torch.equal(
        q_sample(torch.ones(1), torch.zeros(1), mixture_denoiser(CENTRE).level(indices[:1])).flatten(),
        torch.from_numpy(SCHEDULE.signal[[16]]).float(),
    )
