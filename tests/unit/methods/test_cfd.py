"""Classifier-based feature distillation, against the formulas written out in numpy and float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from scipy.stats import entropy
from support.exact_networks import gaussian_denoiser, has_gradient, normal, tiny_denoiser
from support.methods import method_of
from support.trainings import fresh_student, loss_of, tiny_classifier

from sfddm.diffusion.schedule import make_schedule
from sfddm.extractors.classifier import FrozenClassifier, make_network, map_width
from sfddm.methods.cfd import divergence, entropies, feature_divergence
from sfddm.networks.denoiser import Denoiser
from sfddm.objectives.terms import Batch

IMAGE = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)


def kl(wanted: np.ndarray, said: np.ndarray) -> float:
    """KL of two softmax, of (D,) logits, in float64."""
    p, q = (np.exp(one - one.max()) / np.exp(one - one.max()).sum() for one in (wanted, said))
    return float((p * (np.log(p) - np.log(q))).sum())


@pytest.mark.parametrize("temperature", [0.5, 0.9, 1.0, 2.0])
def test_the_divergence_is_that_of_the_sharpened_target_from_what_is_said(temperature: float) -> None:
    said, wanted = 3 * normal(5, 7), 3 * normal(5, 7, seed=1)
    found = float(feature_divergence(said, wanted, temperature))
    one, other = said.double().numpy(), wanted.double().numpy()
    rows = [kl(other[i] / temperature, one[i]) for i in range(5)]
    assert found == pytest.approx(np.mean(rows), rel=1e-5)


def test_equal_features_have_no_divergence_at_temperature_one_and_no_gradient_at_their_sharpened_selves() -> None:
    features = normal(4, 6).requires_grad_()
    assert abs(float(feature_divergence(features.detach(), features.detach(), 1.0))) < 1e-6
    (at_target,) = torch.autograd.grad(feature_divergence(features, 0.9 * features.detach(), 0.9), features)
    (at_equal,) = torch.autograd.grad(feature_divergence(features, features.detach(), 0.9), features)
    assert float(at_target.abs().max()) < 1e-6
    assert float(at_equal.abs().max()) > 1e-3


def test_its_gradient_is_the_difference_of_the_probabilities() -> None:
    """d KL(p || softmax(s)) / ds = softmax(s) - p, over the batch."""
    said, wanted = normal(3, 5).requires_grad_(), normal(3, 5, seed=1)
    (gradient,) = torch.autograd.grad(divergence(said, wanted), said)
    torch.testing.assert_close(gradient, (said.softmax(1) - wanted.softmax(1)).detach() / 3)


def test_entropies_are_those_of_scipy() -> None:
    scores = 2 * normal(6, 4)
    each, together = entropies(scores)
    p = np.exp(log_softmax(scores.double().numpy(), axis=1))
    assert float(each) == pytest.approx(entropy(p, axis=1).mean(), rel=1e-5)
    assert float(together) == pytest.approx(entropy(p.mean(axis=0)), rel=1e-5)
    sure = torch.eye(4) * 200
    assert [float(value) for value in entropies(sure)] == pytest.approx([0, np.log(4)], abs=1e-6)


def test_the_loss_is_the_weighted_sum_over_what_the_classifier_says_of_both_images() -> None:
    """Teacher and student each say one image, so that x_T and x_S are known."""
    schedule = make_schedule("cosine", 64)
    method = method_of("cfd", feature_weight=2.0, temperature=0.7, entropy_weight=0.3, diversity_weight=0.2)
    fold = method.plan(2).trainings[-1]
    teacher = gaussian_denoiser(schedule, IMAGE, 0.0, "x0")
    wrong = gaussian_denoiser(schedule, IMAGE - 0.25, 0.0, "x0")
    student = Denoiser(wrong.network, "x0", teacher.steps.subsequence(fold.index_set, fold.index_set))
    classifier = tiny_classifier((1, 2, 2))
    batch = Batch(IMAGE.expand(2, 1, 2, 2), normal(2, 1, 2, 2), torch.arange(2))
    loss = loss_of(method, student, teacher, batch, classifier=classifier)
    said, wanted = classifier(IMAGE - 0.25), classifier(IMAGE)
    p = said.scores.softmax(1)[0].double().numpy()
    of_features = kl(wanted.features[0].double().numpy() / 0.7, said.features[0].double().numpy())
    assert float(loss.total) == pytest.approx(2 * of_features + (0.3 - 0.2) * entropy(p), rel=1e-3)
    assert set(loss.parts) == {"features", "entropy", "diversity"}


def test_the_student_that_says_the_target_has_no_loss_at_temperature_one() -> None:
    schedule, method = make_schedule("cosine", 64), method_of("cfd", temperature=1.0)
    for fold in method.plan(2).trainings[-2:]:
        teacher = gaussian_denoiser(schedule, IMAGE, 0.0, "x0")
        student = Denoiser(teacher.network, "x0", teacher.steps.subsequence(fold.index_set, fold.index_set))
        k = torch.arange(len(fold.index_set))
        batch = Batch(IMAGE.expand(len(k), 1, 2, 2), normal(len(k), 1, 2, 2), k)
        loss = loss_of(method, student, teacher, batch, classifier=tiny_classifier((1, 2, 2)))
        assert abs(float(loss.total)) < 1e-6


def test_only_folds_to_few_steps_ask_the_classifier_and_the_others_are_progressive_distillation() -> None:
    method, progressive = method_of("cfd"), method_of("progressive")
    folds, known = method.plan(1).trainings, progressive.plan(1).trainings
    assert [fold.name for fold in folds if fold.classifier] == ["4", "2", "1"]
    assert [(fold.name, fold.index_set, fold.teacher) for fold in folds] == [
        (fold.name, fold.index_set, fold.teacher) for fold in known
    ]
    assert [fold.name for fold in method_of("cfd", from_steps=1).plan(1).trainings if fold.classifier] == ["1"]
    teacher = tiny_denoiser(size=4)
    student = fresh_student(method, folds[0], teacher)
    batch = Batch(normal(3, 1, 4, 4), normal(3, 1, 4, 4, seed=1), torch.tensor([0, 5, 31]))
    one, other = (loss_of(each, student, teacher, batch).total for each in (method, progressive))
    assert torch.equal(one, other)


def test_gradients_pass_through_the_classifier_to_the_student_alone() -> None:
    method, teacher = method_of("cfd", from_steps=8), tiny_denoiser(size=4)
    student = fresh_student(method, method.plan(8).trainings[-1], teacher, seed=3)
    network = make_network((1, 4, 4), 3)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    batch = Batch(normal(4, 1, 4, 4), normal(4, 1, 4, 4, seed=1), torch.tensor([0, 7, 1, 3]))
    loss_of(method, student, teacher, batch, classifier=FrozenClassifier(network)).total.backward()
    assert has_gradient(student)
    assert all(parameter.grad is None for parameter in (*network.parameters(), *teacher.parameters()))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("side", "width", "pixels"), [(1, 32, 1), (2, 32, 4), (4, 64, 4), (8, 128, 4), (32, 128, 4)])
def test_the_classifier_says_map_features_and_scores(side: int, width: int, pixels: int) -> None:
    network = make_network((2, side, side), 5)
    answer = FrozenClassifier(network)(x := normal(3, 2, side, side))
    assert answer.map.shape[:2] == (3, width) == (3, map_width(side))
    assert answer.map.flatten(2).shape[2] == pixels
    assert torch.equal(answer.scores, network(x))
    assert torch.equal(answer.features, network[:-1](x))
    flattening = next(i for i, layer in enumerate(network) if isinstance(layer, torch.nn.Flatten))
    assert torch.equal(answer.map.relu(), network[:flattening](x)), "the map is what the last ReLU sees"
    assert bool((answer.map < 0).any())
