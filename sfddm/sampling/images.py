"""The stage ``sample``: the images of one row, as uint8."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from sfddm.diffusion.randomness import initial_noise, sample_labels, step_noise
from sfddm.networks.base import parameter_count
from sfddm.networks.denoiser import Denoiser, EvaluationCounter
from sfddm.networks.ensemble import Ensemble
from sfddm.networks.model_folder import load_model
from sfddm.results.files import read_result
from sfddm.results.index_set import FoundIndexSet
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file, write_json
from sfddm.runtime.provenance import hardware
from sfddm.samplers.base import Sampler, sample
from sfddm.sampling.parts import make_in_parts, parts_folder, remove_parts
from sfddm.sampling.sections import RowSampling
from sfddm.training.feed import to_uint8


def sample_row(
    stage: RowSampling,
    models: Sequence[Path],
    out: Path,
    *,
    device: torch.device,
    index_set: Path | None = None,
    state: Path | None = None,
) -> None:
    """Sample a row's images and write them with their cost; interrupted, it goes on where it was.

    Args:
        stage: the row.
        models: the folder of the model to sample, or of each of the students that share the work.
        out: the ``.npy`` file to write: (N, H, W, C) uint8. Beside it ``labels.npy``, (N,) int64, the classes that were
            asked for (-1 without classes), and ``samples.json``.
        device: where to compute.
        index_set: the file that the stage ``index-set`` wrote, where the row has no index set of its own.
        state: where parts of a long sampling live, each in a folder named after what it depends on; None:
            reports/state.

    Raises:
        SfddmError: a model is not the row's, they are no models at its steps, or the index set is missing or one too
            many.
    """
    indices = _indices(stage, index_set)
    denoiser, card = load_sampled(models, indices, f"{stage.row} at {stage.steps}")
    denoiser.to(device).eval()
    labels = sample_labels(0, stage.count, denoiser.classes)

    def make(first: int, count: int) -> NDArray[np.uint8]:
        x = torch.from_numpy(initial_noise(stage.seed, first, count, stage.shape)).to(device)
        chosen = labels[first : first + count]
        made = draw(denoiser, indices, stage.sampler, x, chosen, stage.seed, first, stage.guidance_scale)
        return to_uint8(made).cpu().numpy()

    parts = parts_folder(state, stage.key | {"index_set": list(indices)}, models)
    title = f"{stage.experiment}: sampling {stage.row} {stage.steps}"
    made = make_in_parts(make, stage.count, stage.batch_size, parts, title, evaluations=lambda: denoiser.evaluations)
    for path, values in ((out, made.images), (out.with_name("labels.npy"), labels)):
        with atomic_file(path) as temporary, temporary.open("wb") as file:
            np.save(file, values, allow_pickle=False)
    networks = [member.network for member in members_of(denoiser)]
    evaluations = made.evaluations / stage.count
    cost = {
        "images": stage.count,
        "seconds": made.seconds,
        "nfe": int(evaluations) if evaluations.is_integer() else evaluations,
        "parameters": sum(parameter_count(network) for network in networks),
        "active_parameters": max(parameter_count(network) for network in networks),
        "flops_per_evaluation": max(flops(member, stage.shape, device) for member in members_of(denoiser)),
        "guidance_scale": stage.guidance_scale,
        "hardware": hardware(),
        "model": card["depends_on"],
    }
    write_json(out.with_name("samples.json"), cost)
    remove_parts(parts)
    print(f"{out}: {stage.count} images in {made.seconds:.1f} s", file=sys.stderr)


def _indices(stage: RowSampling, file: Path | None) -> tuple[int, ...]:
    """Return the row's own index set, or that of a file where the row has none.

    Raises:
        SfddmError: there is none, there are two, or the file's has another number of steps.
    """
    if (stage.index_set is None) == (file is None):
        wanted = "needs the file that `sfddm index-set` writes" if file is None else "has an index set of its own"
        raise SfddmError(f"--index-set: {stage.row} at {stage.steps} steps {wanted}")
    if file is None:
        assert stage.index_set is not None
        return stage.index_set
    found = read_result(file, FoundIndexSet, "index-set").index_set
    if len(found) != stage.steps:
        raise SfddmError(f"{file}: holds {len(found)} indices, but {stage.row} asks for {stage.steps} steps")
    return found


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
    models: Sequence[Path], index_set: Sequence[int], name: str, snapshot: str | None = None
) -> tuple[Denoiser | Ensemble, dict[str, Any]]:
    """Return the one model, or several as one, and the card of the first.

    Args:
        models: model folders.
        index_set: the teacher's indices to be visited.
        name: of what is sampled, for errors.
        snapshot: whose weights to take instead of the models' own.

    Raises:
        SfddmError: a folder holds no model or no such snapshot, or they are no models at some of the indices.
    """
    loaded = [load_model(folder, snapshot) for folder in models]
    known = set().union(*(denoiser.steps.index_set for denoiser, _ in loaded))
    if not set(index_set) <= known:
        raise SfddmError(f"{', '.join(map(str, models))}: is no model at some of the steps of {name}")
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
    apart = copy.copy(denoiser)
    apart.counter = EvaluationCounter()
    with torch.no_grad(), counter:
        apart.raw(torch.zeros(1, *shape, device=device), t)
    return int(counter.get_total_flops())
