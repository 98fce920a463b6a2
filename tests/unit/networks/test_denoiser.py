"""Classes: what a denoiser says with them, without them, and under guidance; and how a training drops them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.exact_networks import TINY_NETWORK, normal
from support.mixture_networks import mixture_denoiser, two_islands

from sfddm.data.gaussians import posterior_mean, score
from sfddm.diffusion.randomness import dropped, sample_labels
from sfddm.diffusion.schedule import make_schedule
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.networks.steps import Steps
from sfddm.runtime.errors import SfddmError
from sfddm.training.loop import _known_labels

SCHEDULE = make_schedule("cosine", 64)
POINTS = normal(16, 2, 1, 1) * 0.7
STEPS = torch.arange(8, 56, 3)


def conditional_unet() -> Denoiser:
    network = build_network(TINY_NETWORK.model_copy(update={"classes": 3}).config(8, 1), seed=0)
    return Denoiser(network, "v", Steps.of_teacher(SCHEDULE)).eval()


def test_given_labels_reach_the_network() -> None:
    teacher = mixture_denoiser(two_islands(), classes=2)
    labels = torch.arange(16) % 2
    said = teacher.given(labels).predict(POINTS, STEPS).x0
    for i in range(16):
        alpha_bar = SCHEDULE.alphas_bar[int(STEPS[i])]
        exact = posterior_mean(two_islands().given(i % 2), POINTS[i].flatten().double().numpy()[None], alpha_bar)
        assert said[i].flatten().numpy() == pytest.approx(exact[0], abs=1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_guidance_is_linear_in_the_score(scale: float) -> None:
    """Ho & Salimans 2022, eq. 6: the guided score is the unconditional one plus w times the difference."""
    mixture = two_islands()
    said = mixture_denoiser(mixture, classes=2).given(torch.ones(16, dtype=torch.int64), scale).predict(POINTS, STEPS)
    for i in range(16):
        alpha_bar = SCHEDULE.alphas_bar[int(STEPS[i])]
        x = POINTS[i].flatten().double().numpy()[None]
        guided = (1 - scale) * score(mixture, x, alpha_bar) + scale * score(mixture.given(1), x, alpha_bar)
        assert said.eps[i].flatten().numpy() == pytest.approx(-np.sqrt(1 - alpha_bar) * guided[0], abs=2e-4)


def test_a_view_shares_the_weights_and_leaves_the_original_alone() -> None:
    denoiser = conditional_unet()
    view = denoiser.given(torch.tensor([0, 1]))
    assert view is not denoiser
    assert denoiser.labels is None
    assert all(one is other for one, other in zip(view.parameters(), denoiser.parameters(), strict=True))


def test_a_network_without_classes_ignores_labels() -> None:
    teacher = mixture_denoiser(two_islands())
    assert teacher.given(torch.tensor([0])) is teacher
    frozen = FrozenDenoiser(teacher)
    assert frozen.given(torch.tensor([0])) is frozen


def test_a_unet_answers_by_class_and_without_one() -> None:
    denoiser = conditional_unet()
    x, t = normal(2, 1, 8, 8), torch.tensor([5, 40])
    assert denoiser.classes == 3
    with torch.no_grad():
        answers = [denoiser.given(torch.full((2,), label)).raw(x, t) for label in range(4)]
        unlabelled = denoiser.raw(x, t)
    assert torch.equal(unlabelled, answers[3]), "label n means no class"
    assert all(not torch.allclose(answers[i], answers[j]) for i in range(4) for j in range(i))


def test_labels_of_samples_are_a_function_of_their_number_alone() -> None:
    whole = sample_labels(0, 25, 10)
    assert np.array_equal(whole[7:12], sample_labels(7, 5, 10))
    assert np.array_equal(np.bincount(whole[:20]), np.full(10, 2)), "all classes are equally frequent"
    assert sample_labels(0, 5, None).tolist() == [-1] * 5


def test_a_share_of_the_labels_is_dropped_afresh_at_each_step() -> None:
    masks = np.array([dropped(3, step, 256, 0.2) for step in range(40)])
    assert abs(masks.mean() - 0.2) < 0.02
    assert not np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[5], dropped(3, 5, 256, 0.2))


def test_an_image_without_a_label_is_of_no_class_and_a_label_too_many_is_refused() -> None:
    assert _known_labels(np.array([0, -1, 2]), 3).tolist() == [0, 3, 2]
    with pytest.raises(SfddmError, match=r"network.classes: 3 classes, but the data has the label 3"):
        _known_labels(np.array([0, 3]), 3)
