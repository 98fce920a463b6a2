"""Checkpoints: one safetensors file with weights, average and optimiser state; step and seconds in its header.

There is no random state to save: randomness is a function of (seed, step).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sfddm.atomic import whole_file
from sfddm.errors import SfddmError
from sfddm.training.ema import MovingAverage

#: The moving averages of a training, by name.
Averages = dict[str, MovingAverage]
_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    averages: Averages,
    *,
    step: int,
    seconds: float,
) -> None:
    """Write the state after ``step`` steps, atomically."""
    from safetensors.torch import save_file

    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for i, parameter in enumerate(parameters):
        # A network that has not had its turn yet has no moments.
        tensors |= {f"{name}.{i}": value for name, value in optimizer.state.get(parameter, {}).items()}
    for name, average in averages.items():
        tensors |= {f"{name}.{i}": value for i, value in enumerate(average.average)}
    with whole_file(path) as temporary:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            temporary,
            {"step": str(step), "seconds": repr(seconds)},
        )


def load_checkpoint(
    path: Path, network: nn.Module, optimizer: torch.optim.Optimizer, averages: Averages
) -> tuple[int, float]:
    """Restore everything from a checkpoint, if there is one.

    Returns:
        The steps done and the seconds they took; (0, 0.0) where ``path`` does not exist.

    Raises:
        SfddmError: the file is not a whole checkpoint of this training.
    """
    from safetensors import SafetensorError, safe_open

    if path.is_symlink():
        raise SfddmError(f"{path}: is a link, which a checkpoint would replace; choose another --state")
    if not path.exists():
        return 0, 0.0
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        network.load_state_dict(
            {name.removeprefix("network."): value for name, value in tensors.items() if name.startswith("network.")}
        )
        step, seconds = int(header["step"]), float(header["seconds"])
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        for i, parameter in enumerate(parameters):
            if len(optimizer.param_groups) > 1 and f"step.{i}" not in tensors:
                continue
            moments = {name: tensors[f"{name}.{i}"].to(parameter.device) for name in _MOMENTS}
            if any(moment.shape != parameter.shape for moment in moments.values()):
                raise ValueError("the optimiser's state is that of another network")
            optimizer.state[parameter] = {"step": tensors[f"step.{i}"].to(parameter.device), **moments}
        for kind, average in averages.items():
            average.load([tensors[f"{kind}.{i}"] for i in range(len(average.average))])
    except (SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SfddmError(f"{path}: not a checkpoint of this training ({reason}); delete it to start over") from None
    return step, seconds
