"""A DDPM pipeline that stock diffusers wrote is a teacher, offline: the same images, and students of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.report_runs import make_spec

from sfddm.data.fetch import fetch
from sfddm.networks.model_folder import load_model
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.torchvision_operators import declare_missing_operators
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM
from sfddm.sampling.images import sample_row
from sfddm.spec.experiment import Spec
from sfddm.spec.stages import row_sampling, student_training, teacher_training
from sfddm.training.sections import StudentInputs
from sfddm.training.student import train_student
from sfddm.training.teacher import train_teacher

CPU = torch.device("cpu")
STEPS = 10
#: Attention, dropout, eps 1e-6 and a shifted sinusoidal embedding, as DDPM's networks have them.
UNET = {
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": (8, 16),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
    "norm_eps": 1e-6,
    "dropout": 0.1,
    "freq_shift": 1,
    "flip_sin_to_cos": False,
    "downsample_padding": 0,
}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DDPMPipeline with random weights, linear betas, 1,000 steps and predicted noise."""
    declare_missing_operators()
    from diffusers.models.unets.unet_2d import UNet2DModel
    from diffusers.pipelines.ddpm.pipeline_ddpm import DDPMPipeline
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    torch.manual_seed(0)
    unet: Any = UNet2DModel(**UNET)
    scheduler = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear", variance_type="fixed_large")
    folder = tmp_path_factory.mktemp("pipeline")
    DDPMPipeline(unet, scheduler).save_pretrained(folder)
    assert json.loads((folder / "model_index.json").read_text())["_class_name"] == "DDPMPipeline"
    return folder


def spec_of(folder: Path, timesteps: int = 1000) -> Spec:
    return make_spec(
        schedule={"kind": "linear", "timesteps": timesteps},
        teacher={"pretrained": {"folder": str(folder)}},
        students={"images": 32, "batch_size": 16},
        methods={"teacher": {"reference_steps": STEPS}, "ddim": {}, "sfddm": {}, "trajectory": {}},
        steps=[STEPS],
        evaluation={"samples": 4},
    )


@pytest.fixture(scope="module")
def trained(pipeline: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Spec, Path]:
    spec, root = spec_of(pipeline), tmp_path_factory.mktemp("run")
    fetch(spec.data, root / "data")
    train_teacher(teacher_training(spec, 0), root / "data", root / "teacher", state=root / "state", device=CPU)
    for row in ("sfddm", "trajectory"):
        (fold,) = spec.trainings(row)
        inputs = StudentInputs(root / "data", root / "teacher")
        train_student(student_training(spec, row, fold, 0), inputs, root / row, state=root / "state", device=CPU)
    return spec, root


def test_our_ddim_and_stock_diffusers_give_the_same_images(pipeline: Path, trained: tuple[Spec, Path]) -> None:
    from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    stock: Any = DDIMPipeline.from_pretrained(pipeline)
    stock.scheduler = DDIMScheduler.from_config(stock.scheduler.config)
    stock.set_progress_bar_config(disable=True)
    theirs = stock(
        batch_size=3,
        generator=torch.Generator().manual_seed(5),
        eta=0.0,
        num_inference_steps=STEPS,
        use_clipped_model_output=True,
        output_type="np",
    ).images
    teacher = load_model(trained[1] / "teacher")[0].eval()
    noise = torch.randn((3, 1, 8, 8), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        ours = sample(teacher, tuple(range(0, 1000, 1000 // STEPS)), DDIM(), noise, lambda k: noise)
    assert ours.std() > 0.1
    np.testing.assert_allclose(theirs.transpose(0, 3, 1, 2) * 2 - 1, ours.numpy(), rtol=0, atol=1e-4)


def test_its_schedule_is_the_pipelines(trained: tuple[Spec, Path]) -> None:
    betas = np.linspace(1e-4, 0.02, 1000)
    teacher = load_model(trained[1] / "teacher")[0]
    np.testing.assert_allclose(teacher.steps.alphas_bar, np.cumprod(1 - betas), rtol=1e-4)
    assert teacher.prediction == "epsilon"
    assert teacher.network.config["dropout"] == 0.1


@pytest.mark.parametrize("row", ["ddim", "sfddm", "trajectory"])
def test_its_students_are_trained_and_sampled(trained: tuple[Spec, Path], row: str, tmp_path: Path) -> None:
    spec, root = trained
    model = root / ("teacher" if row == "ddim" else row)
    sample_row(row_sampling(spec, row, STEPS), [model], tmp_path / "samples.npy", device=CPU, state=tmp_path)
    images = np.load(tmp_path / "samples.npy")
    assert images.shape == (4, 8, 8, 1)
    assert images.std() > 0
    if row != "ddim":
        weights = [
            torch.cat([p.flatten() for p in load_model(one)[0].parameters()]) for one in (root / "teacher", model)
        ]
        assert not torch.equal(*weights)


def test_another_number_of_steps_is_one_sentence(pipeline: Path, trained: tuple[Spec, Path], tmp_path: Path) -> None:
    stage = teacher_training(spec_of(pipeline, 500), 0)
    with pytest.raises(SfddmError, match=r"has 1000 steps, schedule\.timesteps says 500"):
        train_teacher(stage, trained[1] / "data", tmp_path / "teacher", state=tmp_path, device=CPU)


def test_images_of_another_shape_are_one_sentence(pipeline: Path, trained: tuple[Spec, Path], tmp_path: Path) -> None:
    stage = replace(teacher_training(spec_of(pipeline), 0), shape=(3, 8, 8))
    with pytest.raises(SfddmError, match=r"for images \(C, H, W\) \(1, 8, 8\); data\.channels .* say \(3, 8, 8\)"):
        train_teacher(stage, trained[1] / "data", tmp_path / "teacher", state=tmp_path, device=CPU)
