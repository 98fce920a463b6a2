"""The stage ``sample``: the images of one row, as uint8."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from sfddm.atomic import atomic_file, write_json
from sfddm.diffusion.samplers import sample
from sfddm.errors import SfddmError
from sfddm.model_folder import load_model
from sfddm.networks import parameter_count
from sfddm.provenance import hardware
from sfddm.randomness import initial_noise, step_noise
from sfddm.spec import Spec
from sfddm.training.feed import to_uint8
from sfddm.training.progress import ProgressLog


def sample_row(spec: Spec, row: str, steps: int, model: Path, out: Path, *, device: torch.device) -> None:
    """Sample ``spec.evaluation.samples`` images of a row and write them with their cost.

    Image k starts from the noise of (evaluation.seed, k), whatever the method, batch size or device.

    Args:
        spec: the experiment.
        row: the method's row in the spec.
        steps: T', the sampling steps.
        model: the folder of the model to sample.
        out: the ``.npy`` file to write: (N, H, W, C) uint8. Beside it ``samples.json``.
        device: where to compute.

    Raises:
        SfddmError: the model does not stand for the row's steps.
    """
    method, evaluation = spec.method(row), spec.evaluation
    index_set = method.index_set(steps)
    denoiser, card = load_model(model)
    if not set(index_set) <= set(denoiser.steps.index_set):
        raise SfddmError(f"{model}: does not stand for the steps of {row} at {steps}")
    denoiser.to(device).eval()
    shape = (spec.data.channels, spec.data.image_size, spec.data.image_size)
    batches, seconds = [], 0.0
    total = -(-evaluation.samples // evaluation.batch_size)
    with ProgressLog(f"{spec.name}: sampling {row} {steps}", total, evaluation.batch_size) as progress:
        for first in range(0, evaluation.samples, evaluation.batch_size):
            count = min(evaluation.batch_size, evaluation.samples - first)
            x = torch.from_numpy(initial_noise(evaluation.seed, first, count, shape)).to(device)

            def noise_of_step(k: int, first: int = first, count: int = count) -> torch.Tensor:
                return torch.from_numpy(step_noise(evaluation.seed, k, first, count, shape)).to(device)

            started = time.monotonic()
            with torch.inference_mode():
                images = to_uint8(sample(denoiser, index_set, method.sampler, x, noise_of_step)).cpu().numpy()
            seconds += time.monotonic() - started
            batches.append(images)
            if progress.due(len(batches)):
                progress.show(len(batches))
    with atomic_file(out) as temporary, temporary.open("wb") as file:
        np.save(file, np.concatenate(batches), allow_pickle=False)
    cost = {
        "images": evaluation.samples,
        "seconds": seconds,
        "nfe": steps,
        "parameters": parameter_count(denoiser.network),
        "hardware": hardware(),
        "model": card["depends_on"],
    }
    write_json(out.with_name("samples.json"), cost)
    print(f"{out}: {evaluation.samples} images in {seconds:.1f} s", file=sys.stderr)
