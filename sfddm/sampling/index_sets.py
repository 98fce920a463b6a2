"""The stage ``index-set``: GITS (Chen et al. 2024, arXiv 2405.11326) chooses a row's steps on the teacher's path.

As the released code does with its defaults: the teacher walks 256 noises down a dense path of 60 iPNDM steps, and the
cost of a jump between two of its points, of one Euler step, is how much further from the straight line between the ends
of the path it lands than the path itself lies there. Coordinates are x / signal, in which a path is nearly straight.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sfddm.diffusion.index_sets import GITS_PATHS, cheapest_path, dense_indices
from sfddm.diffusion.process import Prediction
from sfddm.diffusion.randomness import derived_seed, initial_noise, sample_labels
from sfddm.diffusion.schedule import Float64
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import load_model
from sfddm.results.files import write_result
from sfddm.results.index_set import FoundIndexSet
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.base import Walk
from sfddm.samplers.ipndm import IPNDM
from sfddm.sampling.sections import RowSampling

COEFFICIENT = 1.15
#: Not the evaluation's noise: an index set must not be fitted to the noise it is judged on.
_STREAM = "gits"


class RecordedWalk(Walk):
    """A walk that keeps where each evaluation was made and what it said, at [k]."""

    def __init__(self, *walk: Any) -> None:
        super().__init__(*walk)
        self.points: dict[int, tuple[Tensor, Prediction]] = {}

    def predict(self, x: Tensor, k: int) -> Prediction:
        """Return what the model says, and keep it."""
        said = super().predict(x, k)
        self.points[k] = x, said
        return said


def write_found_index_set(stage: RowSampling, model: Path, out: Path, *, device: torch.device) -> None:
    """Find the index set of a row and write it, see :class:`FoundIndexSet`.

    Args:
        stage: the row; it has no index set of its own.
        model: the teacher's folder.
        out: the JSON file to write.
        device: where to compute.

    Raises:
        SfddmError: the row has an index set of its own, or the model is no teacher of all its steps.
    """
    if stage.index_set is not None:
        raise SfddmError(f"index-set: {stage.row} has an index set of its own; give it index_set: gits")
    teacher, card = load_model(model)
    if len(teacher.steps.index_set) != teacher.steps.timesteps:
        raise SfddmError(f"{model}: index_set gits needs a model at all {teacher.steps.timesteps} steps of the teacher")
    teacher.to(device).eval()
    dense = dense_indices(teacher.steps.timesteps, stage.steps)
    labels = sample_labels(0, GITS_PATHS, teacher.classes)
    costs, size = np.zeros((len(dense) + 1, len(dense) + 1)), min(stage.batch_size, GITS_PATHS)
    for first in range(0, GITS_PATHS, size):
        count = min(size, GITS_PATHS - first)
        x = torch.from_numpy(initial_noise(derived_seed(stage.seed, _STREAM), first, count, stage.shape)).to(device)
        classes = None if teacher.classes is None else torch.from_numpy(labels[first : first + count]).to(device)
        costs += jump_costs(teacher.given(classes, stage.guidance_scale), dense, x, stage.sampler.clip) * count
    costs /= GITS_PATHS
    nodes = cheapest_path(costs, stage.steps, COEFFICIENT)
    jumps = [costs[i, j] for i, j in pairwise(nodes)]
    found = FoundIndexSet(
        index_set=tuple(dense[-1 - node] for node in reversed(nodes[:-1])),
        cost=float(sum(jump * COEFFICIENT**i for i, jump in enumerate(jumps))),
        chosen_from=dense,
        samples=GITS_PATHS,
        coefficient=COEFFICIENT,
        model=card["depends_on"],
    )
    write_result(out, found)


def jump_costs(teacher: Denoiser, dense: tuple[int, ...], x: Tensor, clip: bool) -> Float64:
    """Return what each jump along the teacher's path costs, a mean over the batch.

    Args:
        teacher: whose path.
        dense: (N,) its indices, increasing.
        x: (B, C, H, W) the noise it starts from.
        clip: whether predicted images are clipped.

    Returns:
        (N + 1, N + 1) of the jump from point i to point j > i, at [i, j]; 0 is the noise and N the clean image.
    """
    walk = RecordedWalk(teacher, dense, clip, _no_noise)
    with torch.inference_mode():
        clean = IPNDM(clip=clip).sample(walk, x).double()
        said = [walk.points[k] for k in walk.positions]
        levels = [walk.level(k) for k in range(len(dense) - 1, -2, -1)]
        path = [point.double() / level.signal for (point, _), level in zip(said, levels, strict=False)] + [clean]
        away = _distance_from_line(path[0], clean)
        own = [away(point) for point in path]
        costs = np.zeros((len(path), len(path)))
        for i, (_, prediction) in enumerate(said):
            for j in range(i + 1, len(path)):
                # An Euler step in x / signal lands at x0 + tau eps, which is exact however little signal there is.
                landing = prediction.x0.double() + levels[j].sigma / levels[j].signal * prediction.eps.double()
                costs[i, j] = float((away(landing) - own[j]).mean())
    return costs


def _distance_from_line(start: Tensor, end: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a function: (B, C, H, W) points -> (B,) their distances from the line through two (B, C, H, W)."""
    along = (end - start).flatten(1)
    along = along / along.square().sum(1, keepdim=True).sqrt()  # (B, D)

    def distance(point: Tensor) -> Tensor:
        apart = (end - point).flatten(1)
        across = apart - (apart * along).sum(1, keepdim=True) * along
        return across.square().sum(1).sqrt()

    return distance


def _no_noise(k: int) -> Tensor:
    raise AssertionError("iPNDM is deterministic")
