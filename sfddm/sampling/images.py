"""The stage ``sample``: the images of one row, as uint8."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sfddm.diffusion.randomness import initial_noise, sample_labels, step_noise
from sfddm.methods.base import Sampler
from sfddm.networks.base import parameter_count
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.ensemble import Ensemble
from sfddm.networks.model_folder import load_model
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file, write_json
from sfddm.runtime.progress import Progress
from sfddm.runtime.provenance import hardware
from sfddm.samplers.base import sample
from sfddm.spec.experiment import Spec
from sfddm.training.feed import to_uint8


def sample_row(spec: Spec, row: str, steps: int, models: Sequence[Path], out: Path, *, device: torch.device) -> None:
    """Sample ``spec.evaluation.samples`` images of a row and write them with their cost.

    Image k starts from the noise of (evaluation.seed, k), whatever the method, batch size or device.

    Args:
        spec: the experiment.
        row: the method's row in the spec.
        steps: T', the sampling steps.
        models: the folder of the model to sample, or of each of the students that share the work.
        out: the ``.npy`` file to write: (N, H, W, C) uint8. Beside it ``labels.npy``, (N,) int64, the classes that were
            asked for (-1 without classes), and ``samples.json``.
        device: where to compute.

    Raises:
        SfddmError: a model is not the row's, or they do not stand for its steps.
    """
    method, evaluation = spec.method(row), spec.evaluation
    plan = method.plan(steps)
    denoiser, card = load_sampled(spec, row, steps, models)
    denoiser.to(device).eval()
    guidance_scale = method.options.guidance_scale if not plan.trainings else 1.0
    shape = (spec.data.channels, spec.data.image_size, spec.data.image_size)
    labels = sample_labels(0, evaluation.samples, denoiser.classes)
    batches, seconds = [], 0.0
    total = -(-evaluation.samples // evaluation.batch_size)
    with Progress(f"{spec.name}: sampling {row} {steps}", total, evaluation.batch_size) as progress:
        for first in range(0, evaluation.samples, evaluation.batch_size):
            count = min(evaluation.batch_size, evaluation.samples - first)
            x = torch.from_numpy(initial_noise(evaluation.seed, first, count, shape)).to(device)
            started = time.monotonic()
            chosen = labels[first : first + count]
            made = draw(denoiser, plan.index_set, plan.sampler, x, chosen, evaluation.seed, first, guidance_scale)
            images = to_uint8(made).cpu().numpy()
            seconds += time.monotonic() - started
            batches.append(images)
            if progress.due(len(batches)):
                progress.show(len(batches))
    for path, values in ((out, np.concatenate(batches)), (out.with_name("labels.npy"), labels)):
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)
    networks = [member.network for member in members_of(denoiser)]
    cost = {
        "images": evaluation.samples,
        "seconds": seconds,
        "nfe": steps * (1 if guidance_scale == 1.0 else 2),
        "parameters": sum(parameter_count(network) for network in networks),
        "active_parameters": max(parameter_count(network) for network in networks),
        "flops_per_evaluation": max(flops(member, shape, device) for member in members_of(denoiser)),
        "guidance_scale": guidance_scale,
        "hardware": hardware(),
        "model": card["depends_on"],
    }
    write_json(out.with_name("samples.json"), cost)
    print(f"{out}: {evaluation.samples} images in {seconds:.1f} s", file=sys.stderr)


def draw(
    denoiser: Denoiser | Ensemble,
    index_set: tuple[int, ...],
    sampler: Sampler,
    x: torch.Tensor,
    labels: NDArray[np.int64],
    seed: int,
    first: int = 0,
    guidance_scale: float = 1.0,
) -> torch.Tensor:
    """Return the images that noise leads to, (B, C, H, W): numbers ``first`` and on of the stream ``seed``.

    Image k is a function of (seed, k) and of its class, whatever the batch or device.

    Args:
        denoiser: what is sampled, on the device of ``x``.
        index_set: (T',) the teacher's indices to visit.
        sampler: how.
        x: (B, C, H, W) ``initial_noise`` of these numbers.
        labels: (B,) the classes to make, where the denoiser knows some.
        seed: of the noise at the steps of a random sampler.
        first: number of the first image.
        guidance_scale: of classifier-free guidance; 1 for none.
    """
    classes = None if denoiser.classes is None else torch.from_numpy(labels).to(x.device)

    def noise_of_step(k: int) -> torch.Tensor:
        return torch.from_numpy(step_noise(seed, k, first, len(x), tuple(x.shape[1:]))).to(x.device)

    with torch.inference_mode():
        return sample(denoiser.given(classes, guidance_scale), index_set, sampler, x, noise_of_step)


def load_sampled(
    spec: Spec, row: str, steps: int, models: Sequence[Path]
) -> tuple[Denoiser | Ensemble, dict[str, Any]]:
    """Return what a row samples, and the card of its first model.

    Raises:
        SfddmError: a model is not the row's, or they do not stand for its steps.
    """
    index_set = set(spec.method(row).index_set(steps))
    loaded = [load_model(folder) for folder in models]
    standing = set().union(*(denoiser.steps.index_set for denoiser, _ in loaded))
    if not index_set <= standing:
        raise SfddmError(f"{', '.join(map(str, models))}: does not stand for the steps of {row} at {steps}")
    if len(loaded) == 1:
        return loaded[0]
    parts = [None if card.get("classes") is None else tuple(card["classes"]) for _, card in loaded]
    return Ensemble([denoiser for denoiser, _ in loaded], parts), loaded[0][1]


def members_of(denoiser: Denoiser | Ensemble) -> list[Denoiser]:
    """Return the denoisers that share the work; a single one shares it with nobody."""
    return list(denoiser.members) if isinstance(denoiser, Ensemble) else [denoiser]  # type: ignore[arg-type]


def flops(denoiser: Denoiser, shape: tuple[int, ...], device: torch.device) -> int:
    """Return the floating-point operations of one evaluation for one image, counted while it runs.

    Counted are convolutions, matrix products and attention, a multiplication and an addition as two; normalisations and
    activations are not.

    Args:
        denoiser: the model.
        shape: (C, H, W) of an image.
        device: where it lies.
    """
    from torch.utils.flop_counter import FlopCounterMode

    t = denoiser.index_set[-1:]
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        denoiser.raw(torch.zeros(1, *shape, device=device), t)
    return int(counter.get_total_flops())
