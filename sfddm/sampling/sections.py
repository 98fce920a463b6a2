"""What the stages of sampling compute with, cut from a spec. Nothing here imports torch: the DAG reads it, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sfddm.samplers.base import Sampler
from sfddm.sampling.spec import PairsSpec


@dataclass(frozen=True)
class RowSampling:
    """What a row's images are a function of, besides its models.

    Attributes:
        experiment, row, steps: which row of which table, at how many sampling steps.
        index_set: (T',) the teacher's indices to visit; None: the file of the stage ``index-set`` says.
        sampler: how they are visited.
        guidance_scale: of classifier-free guidance; 1 for none.
        shape: (C, H, W) of an image.
        count: how many images.
        seed: of the noise: image k starts from that of (seed, k), whatever the method, batch size or device.
        batch_size: images at a time; no image depends on it.
    """

    experiment: str
    row: str
    steps: int
    index_set: tuple[int, ...] | None
    sampler: Sampler
    guidance_scale: float
    shape: tuple[int, int, int]
    count: int
    seed: int
    batch_size: int

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the images are a function of, as plain JSON."""
        return {
            "steps": self.steps,
            "index_set": self.index_set and list(self.index_set),
            "sampler": [self.sampler.name, self.sampler.eta, self.sampler.clip],
            "guidance_scale": self.guidance_scale,
            "shape": list(self.shape),
            "count": self.count,
            "seed": self.seed,
        }


@dataclass(frozen=True)
class PairSampling:
    """What pairs are a function of, besides the teacher.

    Attributes:
        experiment: its name, for the log.
        pairs: how many, and how they are sampled.
        timesteps: T of the teacher.
        shape: (C, H, W) of an image.
        seed: the training's.
        batch_size: images at a time; no image depends on it.
    """

    experiment: str
    pairs: PairsSpec
    timesteps: int
    shape: tuple[int, int, int]
    seed: int
    batch_size: int

    @property
    def key(self) -> dict[str, Any]:
        """Return all that the pairs are a function of, as plain JSON."""
        return {"pairs": self.pairs.model_dump(mode="json"), "seed": self.seed, "shape": list(self.shape)}
