"""The stage ``pairs``: images that the teacher makes from known noise, for losses that compare a student with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sfddm.diffusion.index_sets import make_index_set
from sfddm.diffusion.randomness import derived_seed, initial_noise, sample_labels
from sfddm.networks.model_folder import load_model
from sfddm.runtime.files import atomic_folder, write_json
from sfddm.samplers.ddim import DDIM
from sfddm.sampling.images import draw
from sfddm.sampling.parts import make_in_parts, parts_folder, remove_parts
from sfddm.sampling.sections import PairSampling

#: Not the seed of the evaluation's noise: a student must not have seen the noise it is judged on.
_STREAM = "pairs"


def write_pairs(
    stage: PairSampling, model: Path, out: Path, *, device: torch.device, state: Path | None = None
) -> None:
    """Sample pairs from the teacher by DDIM and write them with what they depend on; interrupted, it goes on.

    ``state``: where parts live, each sampling's in a folder named after what it depends on; None: reports/state.

    The folder gets ``images.npy``, (N, C, H, W) float16 in [-1, 1], ``labels.npy``, (N,) int64 (-1 without classes),
    and ``pairs.json``; the noise is a function of the seed in it and of the number of the pair.
    """
    pairs = stage.pairs
    teacher, card = load_model(model)
    teacher.to(device).eval()
    index_set = make_index_set("linspace", stage.timesteps, pairs.steps)
    noise_seed, size = derived_seed(stage.seed, _STREAM), stage.batch_size
    labels = sample_labels(0, pairs.count, teacher.classes)

    def make(first: int, count: int) -> NDArray[np.float16]:
        x = torch.from_numpy(initial_noise(noise_seed, first, count, stage.shape)).to(device)
        chosen = labels[first : first + count]
        made = draw(teacher, index_set, DDIM(), x, chosen, noise_seed, first, pairs.guidance_scale)
        return made.cpu().numpy().astype(np.float16)

    parts, title = parts_folder(state, stage.key, [model]), f"{stage.experiment}: pairs"
    made = make_in_parts(make, pairs.count, size, parts, title, evaluations=lambda: teacher.evaluations)
    facts = {"schema": 1, "seed": noise_seed, "teacher": card["depends_on"], "pairs": pairs.model_dump(mode="json")}
    with atomic_folder(out) as temporary:
        np.save(temporary / "images.npy", made.images, allow_pickle=False)
        np.save(temporary / "labels.npy", labels, allow_pickle=False)
        write_json(temporary / "pairs.json", facts)
    remove_parts(parts)
