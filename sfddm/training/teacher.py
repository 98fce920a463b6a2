"""The stage ``train``: the experiment's teacher, trained or taken from a pretrained pipeline."""

from __future__ import annotations

from pathlib import Path

import torch

from sfddm.data.store import open_store
from sfddm.diffusion.draws import Draws
from sfddm.diffusion.randomness import derived_seed
from sfddm.methods.teacher import denoising_loss
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import load_pretrained, save_model
from sfddm.networks.steps import Steps
from sfddm.objectives.objective import Objective
from sfddm.objectives.terms import Batch, Loss, Networks
from sfddm.runtime.device import is_first_process
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import digest_of
from sfddm.training.card import make_card
from sfddm.training.loop import Seeds, TrainingResult, remove_state, train
from sfddm.training.sections import TeacherTraining
from sfddm.training.spec import Pretrained


def train_teacher(stage: TeacherTraining, data: Path, out: Path, *, state: Path | None, device: torch.device) -> None:
    """Train the teacher of one seed, or fetch it, and write its model folder.

    Args:
        stage: the training.
        data: folder of the stores, one for each split.
        out: the model folder to write.
        state: where checkpoints live, each in a folder named after what its training depends on; None: reports/state.
        device: where to compute.

    Raises:
        SfddmError: the store or the pretrained pipeline cannot be read, the pipeline is for images of another shape, or
            a launcher's variables are stray.
    """
    writes = is_first_process()
    store = open_store(data / "train")
    key = stage.key | {"data": store.digest}
    if stage.teacher.pretrained:
        denoiser = load_pretrained(_pipeline_folder(stage.teacher.pretrained), stage.schedule.timesteps)
        _check_shape(denoiser, stage.shape)
        result = TrainingResult(0, 0, 0.0)
    else:
        assert stage.teacher.training is not None
        channels, size, _ = stage.shape
        network = build_network(stage.network.config(size, channels), derived_seed(stage.seed, "teacher", "weights"))
        denoiser = Denoiser(network, stage.network.prediction, Steps.of_teacher(stage.schedule.build()))
        checkpoint = (state or Path("reports/state")) / digest_of(key)[:16] / "checkpoint.safetensors"
        result = train(
            make_objective(denoiser),
            store.images,
            store.labels,
            stage.teacher.training,
            seeds=Seeds(derived_seed(stage.seed, "teacher")),
            checkpoint=checkpoint,
            device=device,
            title=stage.origin.title,
        )
    if not writes:
        return
    card = make_card(stage.origin, store, method="teacher", fold="teacher", seed=stage.seed, result=result, key=key)
    facts = {"student_evaluations": 1, "teacher_evaluations": 0}
    save_model(out, denoiser, card | facts, snapshots=result.snapshots)
    if result.steps:
        remove_state(checkpoint, result)


def make_objective(denoiser: Denoiser) -> Objective:
    """Return the teacher's own objective, which asks no other network."""

    def loss(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        return denoising_loss(networks.student, batch)

    return Objective(denoiser, None, loss)


def _check_shape(denoiser: Denoiser, shape: tuple[int, int, int]) -> None:
    config = denoiser.network.config
    own = (config["in_channels"], config["sample_size"], config["sample_size"])
    if own != shape:
        raise SfddmError(
            f"teacher.pretrained: is for images (C, H, W) {own}; data.channels and data.image_size say {shape}"
        )


def _pipeline_folder(pretrained: Pretrained) -> Path:
    if pretrained.folder is not None:
        return pretrained.folder
    assert pretrained.repo is not None
    from huggingface_hub import snapshot_download

    try:
        wanted = ["*.json", "*.safetensors"]
        return Path(snapshot_download(pretrained.repo, revision=pretrained.revision, allow_patterns=wanted))
    except Exception as error:
        raise SfddmError(
            f"teacher.pretrained: cannot fetch {pretrained.repo} at {pretrained.revision} "
            f"({type(error).__name__}); download it elsewhere and give teacher.pretrained.folder instead"
        ) from None
