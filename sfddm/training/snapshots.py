"""Earlier weights of a training: those of a protocol that chooses its checkpoint, or leaves out the average."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import whole_file
from sfddm.training.ema import MovingAverage

#: Weights by the name of the parameter.
Weights = dict[str, Tensor]


class Snapshots:
    """Keeps the weights, averaged where there is an average, at equal distances; in files, as training may be stopped.

    Args:
        network: what is trained.
        average: of its weights, None where there is none.
        count: how many, the end not among them; 0 keeps nothing.
        total: steps of the training.
        folder: where the files lie while it trains, beside the checkpoint.
    """

    def __init__(self, network: nn.Module, average: MovingAverage | None, count: int, total: int, folder: Path) -> None:
        self.network, self.average, self.folder = network, average, folder
        parts = count + 1
        self.steps = {total * part // parts: f"{part} of {parts} parts" for part in range(1, parts)}
        self.total = total
        if count and average is not None:
            self.steps[total] = "not averaged"

    def take(self, step: int) -> None:
        """Keep the weights after ``step`` steps, where that is one of the distances; at the end those not averaged."""
        from safetensors.torch import save_file

        if step in self.steps:
            with whole_file(self._file(step)) as temporary:
                save_file(self._weights(averaged=step < self.total), temporary)

    def collect(self) -> dict[str, Weights]:
        """Return all by name; the last weights, where the training has an average, as "not averaged".

        Raises:
            SfddmError: a file is gone.
        """
        from safetensors.torch import load_file

        found = {}
        for step, name in self.steps.items():
            if not self._file(step).is_file():
                raise SfddmError(f"{self._file(step)}: is gone; delete the checkpoint beside it to start over")
            found[name] = load_file(self._file(step))
        return found

    def remove(self) -> None:
        """Delete the files, once what they hold is stored."""
        for step in self.steps:
            self._file(step).unlink(missing_ok=True)

    def _file(self, step: int) -> Path:
        return self.folder / f"snapshot-{step}.safetensors"

    @torch.no_grad()
    def _weights(self, *, averaged: bool) -> Weights:
        names, parameters = zip(*self.network.named_parameters(), strict=True)
        values = self.average.average if self.average and averaged else parameters
        return {
            name: value.detach().to("cpu", parameter.dtype, copy=True).contiguous()
            for name, value, parameter in zip(names, values, parameters, strict=True)
        }
