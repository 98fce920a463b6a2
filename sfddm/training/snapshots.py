"""Further weights of a training, for those who ask what another choice of weights would have given.

They are files beside the checkpoint until the model folder takes them. A snapshot is a function of the training and the
step, so that one that an interrupted training writes again is the same.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

from sfddm.networks.base import write_tensors
from sfddm.networks.model_folder import RAW, snapshot_name
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import whole_file
from sfddm.runtime.unchanged import check_unchanged
from sfddm.training.ema import MovingAverage


class Snapshots:
    """The snapshots of one training.

    Args:
        checkpoint: the training's, which the files lie beside.
        count: N; after k/N of the training the averaged weights are kept, k < N, and the model itself is the last.
            0 keeps nothing at all.
        total: steps of the training.
        averaged: whether the model will be an average, so that the last weights themselves are kept, too.
    """

    def __init__(self, checkpoint: Path, count: int, total: int, averaged: bool) -> None:
        self.checkpoint, self.keeps_raw = checkpoint, averaged and count > 0
        steps = {-(-total * part // count): snapshot_name(part, count) for part in range(1, count)}
        self.names = {step: name for step, name in steps.items() if step < total}  # by steps done

    def keep(self, name: str | None, network: nn.Module, average: MovingAverage | None) -> None:
        """Write the network's weights, the average of those that have one, as a snapshot; without a name, nothing."""
        if name is None:
            return
        weights = dict(network.state_dict())
        if average is not None:
            parameters = (parameter for parameter, _ in network.named_parameters())
            weights |= dict(zip(parameters, average.average, strict=True))
        with whole_file(self._place(name)) as temporary:
            write_tensors(temporary, weights)

    def keep_raw(self, network: nn.Module) -> None:
        """Write the last weights of a network before their average takes their place, where one will."""
        self.keep(RAW if self.keeps_raw else None, network, None)

    def files(self) -> dict[str, Path]:
        """Return the file of each snapshot by name, once the training is over.

        Raises:
            SfddmError: one is missing, or was changed.
        """
        names = [*self.names.values(), *([RAW] if self.keeps_raw else [])]
        found = {name: self._place(name) for name in names}
        for file in found.values():
            if not file.is_file():
                raise SfddmError(f"{file}: is missing beside {self.checkpoint}; delete that to start over")
            check_unchanged(file, again=f"delete it and {self.checkpoint} to start over")
        return found

    def _place(self, name: str) -> Path:
        return self.checkpoint.with_name(f"{self.checkpoint.stem}-{name}.safetensors")
