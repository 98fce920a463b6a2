"""The stage ``train``: the experiment's teacher, trained or taken from a pretrained pipeline."""

from __future__ import annotations

from pathlib import Path

import torch

from sfddm.data.store import open_store
from sfddm.denoiser import Denoiser, Steps
from sfddm.errors import SfddmError
from sfddm.methods.teacher import denoising_loss
from sfddm.model_folder import load_pretrained, save_model
from sfddm.networks import build_network, network_config
from sfddm.randomness import derived_seed
from sfddm.spec import Spec, digest_of
from sfddm.spec_sections import Pretrained
from sfddm.training.card import make_card
from sfddm.training.device import is_first_process
from sfddm.training.loop import TrainingResult, train


def train_teacher(spec: Spec, seed: int, data: Path, out: Path, *, state: Path | None, device: torch.device) -> None:
    """Train the teacher of one seed, or fetch it, and write its model folder.

    Args:
        spec: the experiment.
        seed: the training's seed.
        data: folder of the stores, one for each split.
        out: the model folder to write.
        state: where checkpoints live, each in a folder named after what its training depends on; None: reports/state.
        device: where to compute.

    Raises:
        SfddmError: the store or the pretrained pipeline cannot be read, or a launcher's variables are stray.
    """
    writes = is_first_process()
    store = open_store(data / "train")
    part = spec.teacher_part() | {"seed": seed, "data_digest": store.digest}
    if spec.teacher.pretrained:
        denoiser = load_pretrained(_pipeline_folder(spec.teacher.pretrained), spec.schedule.timesteps)
        result = TrainingResult(0, 0, 0.0)
    else:
        assert spec.teacher.training is not None
        config = network_config(spec.network, spec.data.image_size, spec.data.channels)
        network = build_network(config, derived_seed(seed, "teacher", "weights"))
        denoiser = Denoiser(network, spec.network.prediction, Steps.of_teacher(spec.schedule.build()))
        checkpoint = (state or Path("reports/state")) / digest_of(part)[:16] / "checkpoint.safetensors"
        result = train(
            denoiser,
            lambda batch: denoising_loss(denoiser.given(batch.labels), batch.x0, batch.noise, batch.k),
            store.images,
            store.labels,
            spec.teacher.training,
            seed=derived_seed(seed, "teacher"),
            checkpoint=checkpoint,
            device=device,
            title=f"{spec.name}: teacher, seed {seed}",
        )
    if not writes:
        return
    card = make_card(spec, store, method="teacher", fold="teacher", seed=seed, result=result, depends_on=part)
    save_model(out, denoiser, card | {"student_evaluations": 1, "teacher_evaluations": 0})
    if result.steps:
        checkpoint.unlink(missing_ok=True)


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
