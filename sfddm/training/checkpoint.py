"""Checkpoints: one safetensors file with objective, average, optimiser and losses; step and seconds in its header.

There is no random state to save: randomness is a function of (seed, step).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import whole_file
from sfddm.runtime.unchanged import check_unchanged
from sfddm.training.ema import MovingAverage
from sfddm.training.loss_curve import LossCurve

_MOMENTS = ("exp_avg", "exp_avg_sq")


def save_checkpoint(
    path: Path,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
    losses: LossCurve,
    *,
    step: int,
    seconds: float,
) -> None:
    """Write the state after ``step`` steps, atomically."""
    from safetensors.torch import save_file

    tensors = {f"objective.{name}": value for name, value in objective.state_dict().items()}
    for i, parameter in enumerate(_trained(optimizer)):
        # A network that has not had its turn yet has no moments.
        tensors |= {f"{name}.{i}": value for name, value in optimizer.state.get(parameter, {}).items()}
    if average is not None:
        tensors |= {f"average.{i}": value for i, value in enumerate(average.average)}
    tensors["losses"] = losses.sums
    with whole_file(path) as temporary:
        save_file(
            {name: value.detach().cpu().contiguous() for name, value in tensors.items()},
            temporary,
            {"step": str(step), "seconds": repr(seconds)},
        )


def load_checkpoint(
    path: Path,
    objective: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: MovingAverage | None,
    losses: LossCurve,
    *,
    total: int,
) -> tuple[int, float]:
    """Restore everything from a checkpoint of a training of ``total`` steps, if there is one.

    Returns:
        The steps done and the seconds they took; (0, 0.0) where ``path`` does not exist.

    Raises:
        SfddmError: the file was changed since, or is not a whole checkpoint of this training.
    """
    from safetensors import SafetensorError, safe_open

    if path.is_symlink():
        raise SfddmError(f"{path}: is a link, which a checkpoint would replace; choose another --state")
    if not path.exists():
        return 0, 0.0
    check_unchanged(path, again="delete it to start over")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        for name, value in tensors.items():
            if not torch.isfinite(value).all():
                raise ValueError(f"{name} is not finite")
        prefix = "objective."
        objective.load_state_dict(
            {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        )
        step, seconds = int(header["step"]), float(header["seconds"])
        if step > total:
            raise ValueError(f"step {step} of {total}")
        for i, parameter in enumerate(_trained(optimizer)):
            if len(optimizer.param_groups) > 1 and f"step.{i}" not in tensors:
                continue
            moments = {name: tensors[f"{name}.{i}"].to(parameter.device) for name in _MOMENTS}
            if any(moment.shape != parameter.shape for moment in moments.values()):
                raise ValueError("the optimiser's state is that of another network")
            optimizer.state[parameter] = {"step": tensors[f"step.{i}"].to(parameter.device), **moments}
        if average is not None:
            average.load([tensors[f"average.{i}"] for i in range(len(average.average))])
        losses.load(tensors["losses"])
    except (SafetensorError, KeyError, RuntimeError, ValueError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SfddmError(f"{path}: not a checkpoint of this training ({reason}); delete it to start over") from None
    return step, seconds


def _trained(optimizer: torch.optim.Optimizer) -> list[torch.nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]
