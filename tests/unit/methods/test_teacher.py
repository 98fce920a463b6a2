"""The teacher: its row, and the denoising loss against networks whose right answer is known."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.exact_networks import gaussian_denoiser, normal

from sfddm.diffusion.schedule import make_schedule
from sfddm.methods.teacher import Teacher, TeacherOptions, denoising_loss
from sfddm.objectives.terms import Batch

TIMESTEPS = 64


def teacher(timesteps: int, **options: Any) -> Teacher:
    return Teacher(TeacherOptions.model_validate({"method": "teacher", **options}), make_schedule("cosine", timesteps))


def test_the_teacher_has_one_row_whose_label_shows_its_length() -> None:
    full, short = teacher(1024), teacher(1024, reference_steps=128, sampler="ancestral")
    assert full.sampled_steps((16, 8)) == (1024,)
    assert full.row_title(1024) == "Teacher, DDIM, 1024 steps"
    assert short.sampled_steps((16, 8)) == (128,)
    assert short.row_title(128) == "Teacher, ancestral, 128 of 1024 steps"


@pytest.mark.parametrize("prediction", ["epsilon", "v", "x0"])
def test_the_exact_network_has_no_denoising_loss(prediction: Any) -> None:
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    schedule = make_schedule("cosine", TIMESTEPS)
    k = torch.arange(TIMESTEPS)
    x0, noise = image.expand(TIMESTEPS, 1, 2, 2), normal(TIMESTEPS, 1, 2, 2)
    exact = denoising_loss(gaussian_denoiser(schedule, image, 0.0, prediction), Batch(x0, noise, k))
    assert float(exact.total) < 1e-8


def test_the_denoising_loss_is_the_mean_square_of_what_is_missing() -> None:
    """A network that is off by 0.5 in the image is off by 0.5 a/s in the noise, and by 0.5 / s in v."""
    image = torch.tensor([[-0.75, 0.5], [1.0, 0.125]]).view(1, 1, 2, 2)
    schedule = make_schedule("cosine", TIMESTEPS)
    k = torch.arange(TIMESTEPS)
    x0, noise = image.expand(TIMESTEPS, 1, 2, 2), normal(TIMESTEPS, 1, 2, 2)
    alphas_bar = torch.from_numpy(schedule.alphas_bar)
    factors = {"epsilon": alphas_bar / (1 - alphas_bar), "x0": torch.ones(TIMESTEPS), "v": 1 / (1 - alphas_bar)}
    for prediction, factor in factors.items():
        wrong: Any = gaussian_denoiser(schedule, image + 0.5, 0.0, prediction)  # type: ignore[arg-type]
        assert float(denoising_loss(wrong, Batch(x0, noise, k)).total) == pytest.approx(
            0.25 * float(factor.mean()), rel=1e-4
        )
