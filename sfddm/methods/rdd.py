"""Relational diffusion distillation (RDD; arXiv 2410.07679): the classifier's maps, pixel by pixel.

The folds of CFD with two further terms. With f the classifier's last map, before its ReLU, and every pixel of it of
unit length,

    L = L_CFD + 1.0 L_IS + 0.1 L_M

    L_IS  for each pair (b, d) of the batch and each pixel i of b: KL( softmax_j f_b,i . f_d,j of the target ||
          that of the student ), j over the pixels of d; a mean over (b, d, i)
    L_M   for each pixel: KL( softmax_q f . q / 0.1 of the target || that of head(f) of the student ), q over a queue
          of the target's pixels in earlier steps; a mean over pixels

The head (convolution, batch normalisation, ReLU, convolution, each 1x1) sees f as it is, and its answer is of unit
length. Three things are otherwise than in the authors' code. It fills the queue from (B, D, h, w) reshaped to
(D, B h w), which mixes pixels and channels; here an entry is one pixel's D channels. It takes a step's pixels before
comparing, and at the end of a round overwrites some of the newest; here they are taken after the step, first in, first
out. It takes these of all devices, as we do, and normalises over all; here the head sees each process's own share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from sfddm.methods.base import Training
from sfddm.methods.cfd import CFD, CFDOptions, divergence
from sfddm.objectives.terms import Batch, Loss, Networks

if TYPE_CHECKING:
    from torch import Tensor

    from sfddm.diffusion.draws import Draws
    from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
    from sfddm.objectives.objective import Objective
    from sfddm.objectives.pixel_memory import PixelMemory


class RDDOptions(CFDOptions):
    """Weights, temperatures and the memory; the defaults are the authors'.

    Attributes:
        similarity_weight: of L_IS, which is 0 whatever is learned where the map is one pixel, as it is of points.
        similarity_temperature: of both softmax in L_IS.
        memory_weight: of L_M; 0: no memory.
        memory_temperature: of both softmax in L_M.
        queue_size: pixels in the queue, 4 D bytes each in checkpoint and model folder.
        contrast: how many of them pixels are compared with.
        enqueued: pixels that a step adds.
    """

    similarity_weight: Annotated[float, Field(ge=0)] = 1.0
    similarity_temperature: Annotated[float, Field(gt=0)] = 1.0
    memory_weight: Annotated[float, Field(ge=0)] = 0.1
    memory_temperature: Annotated[float, Field(gt=0)] = 0.1
    queue_size: Annotated[int, Field(ge=2, le=10**7)] = 20_000
    contrast: Annotated[int, Field(ge=2, le=10**7)] = 4096
    enqueued: Annotated[int, Field(ge=1, le=10**7)] = 128

    @model_validator(mode="after")
    def _fits_in_the_queue(self) -> RDDOptions:
        for key in ("contrast", "enqueued"):
            if (value := getattr(self, key)) > self.queue_size:
                raise ValueError(f"{key}: must be at most queue_size, {self.queue_size}; got {value}")
        return self


class RDD(CFD):
    """CFD with similarities between pixels, within the batch and with a memory."""

    name = "rdd"
    title = "RDD"
    reference = "Relational Diffusion Distillation, ACM MM 2024, arXiv 2410.07679"
    Options = RDDOptions
    options: RDDOptions

    def objective(self, training: Training, student: Denoiser, teacher: FrozenDenoiser) -> Objective:
        """Keep the queue, and train the head beside the student, in folds that ask the classifier."""
        chosen = self.options
        if not (training.classifier and chosen.memory_weight):
            return super().objective(training, student, teacher)
        from sfddm.extractors.classifier import map_width
        from sfddm.objectives.pixel_memory import MemoryObjective, PixelMemory

        width = map_width(student.network.config["sample_size"])
        memory = PixelMemory(width, chosen.queue_size, chosen.contrast)
        asked = self.evaluations(training)
        return MemoryObjective(
            student, teacher, self.loss, memory, chosen.enqueued, evaluations=asked, draws=("queue",)
        )

    def loss(self, networks: Networks, batch: Batch, draws: Draws) -> Loss:
        """Return the weighted sum, and the loss of progressive distillation in folds without a classifier."""
        if networks.classifier is None:
            return super().loss(networks, batch, draws)
        said, wanted = self.answers(networks, batch, draws)
        total, parts = self.features_loss(said, wanted)
        if self.options.similarity_weight:
            similarity = similarity_divergence(said.map, wanted.map, self.options.similarity_temperature)
            total, parts["similarity"] = total + self.options.similarity_weight * similarity, similarity.detach()
        if self.options.memory_weight:
            memory: PixelMemory = networks.auxiliary["memory"]  # type: ignore[assignment]
            likeness = memory_divergence(memory, said.map, wanted.map, self.options.memory_temperature)
            total, parts["memory"] = total + self.options.memory_weight * likeness, likeness.detach()
            pixels = pixels_of(wanted.map).flatten(end_dim=1)  # (B h w, D)
            keys = draws.normal("queue").flatten(1)  # (B, C H W), and a map has no more pixels than the image
            memory.offer(pixels, keys[:, : len(pixels) // len(keys)].flatten())
        return Loss(total, parts)


def pixels_of(features: Tensor) -> Tensor:
    """Return the pixels of a map (B, D, h, w) as unit vectors, (B, h w, D) float32."""
    from torch.nn.functional import normalize

    return normalize(features.float().flatten(2).transpose(1, 2), dim=2)


def similarity_divergence(said: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Return L_IS of maps (B, D, h, w)."""
    from torch import einsum

    both = (pixels_of(features) for features in (said, wanted))
    similar = [einsum("bic,djc->bdij", one, one) / temperature for one in both]  # (B, B, h w, h w)
    return divergence(*similar)


def memory_divergence(memory: PixelMemory, said: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """Return L_M of maps (B, D, h, w)."""
    both = (pixels_of(features).flatten(end_dim=1) for features in (memory.head(said), wanted))
    return divergence(*(memory.likeness(pixels) / temperature for pixels in both))
