"""A trained model on disk: ``card.json`` and the network in its own format.

A U-Net is written as a diffusers pipeline folder that stock diffusers samples. ``card.json`` keeps what we need to read
a model back exactly: the cumulative alphas in float64, the teacher's indices, and the sha256 of the weights.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfddm.diffusion.schedule import Schedule
from sfddm.networks.base import write_weights
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.sizes import check_holds
from sfddm.networks.steps import Steps
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_folder, read_json, write_json
from sfddm.runtime.unchanged import check_unchanged

_PREDICTIONS = ("epsilon", "v", "x0", "consistency")
_FROM_NOISE = (None, "signal", "trajectory")
_AUXILIARY = "auxiliary.safetensors"
_SNAPSHOTS = "snapshots"
#: In size; those of trained networks stay thousands of times below it.
LARGEST_WEIGHT = 1e6
#: The snapshot of the last weights where the model itself is their average.
RAW = "raw"


def snapshot_name(part: int, count: int) -> str:
    """Return the name of the snapshot after ``part`` of ``count`` equal parts of a training."""
    return f"{part}-of-{count}"


def save_model(
    folder: Path,
    denoiser: Denoiser,
    card: dict[str, Any],
    auxiliary: torch.nn.ModuleDict | None = None,
    snapshots: Mapping[str, Path] | None = None,
) -> None:
    """Write a model folder, atomically. ``card`` says where the model comes from; the rest is added here.

    Networks that were trained beside it lie in ``auxiliary.safetensors``, for a training that goes on from here; copies
    of the files of ``snapshots``, other weights of the same network, lie in ``snapshots/`` under their names.
    """
    steps = denoiser.steps
    card = card | {
        "schema": 1,
        "network": denoiser.network.config,
        "prediction": denoiser.prediction,
        "timesteps": steps.timesteps,
        "index_set": list(steps.index_set),
        "conditioning": list(steps.conditioning),
        "alphas_bar": [float(value) for value in steps.alphas_bar],
        "auxiliary_sha256": None,
    }
    if denoiser.from_noise is not None:
        card["from_noise"] = denoiser.from_noise
    with atomic_folder(folder) as temporary:
        denoiser.network.write(temporary, steps, denoiser.prediction)
        card["weights_sha256"] = _sha256((temporary / denoiser.network.weights_file).read_bytes())
        if auxiliary is not None:
            write_weights(temporary / _AUXILIARY, auxiliary)
            card["auxiliary_sha256"] = _sha256((temporary / _AUXILIARY).read_bytes())
        if snapshots:
            (temporary / _SNAPSHOTS).mkdir()
            contents = {name: file.read_bytes() for name, file in snapshots.items()}
            for name, content in contents.items():
                _place_of(temporary, name).write_bytes(content)
            card["snapshots"] = {name: _sha256(content) for name, content in contents.items()}
        write_json(temporary / "card.json", card, with_digest=True)


def load_model(folder: Path, snapshot: str | None = None) -> tuple[Denoiser, dict[str, Any]]:
    """Read a model folder that ``save_model`` wrote, bit for bit, or the model with the weights of a snapshot.

    Raises:
        SfddmError: a file or the snapshot is missing, was changed since, or does not fit the card.
    """
    card = _read_card(folder)
    snapshots = card.get("snapshots", {})
    if snapshot is not None and snapshot not in snapshots:
        raise SfddmError(f"{folder}: keeps no snapshot {snapshot}, but {', '.join(snapshots) or 'none at all'}")
    try:
        alphas_bar = np.array(card["alphas_bar"], dtype=np.float64)
        steps = Steps(card["timesteps"], tuple(card["index_set"]), tuple(card["conditioning"]), alphas_bar)
        check_holds(card["network"], max((file.stat().st_size for file in folder.rglob("*.safetensors")), default=0))
        network = build_network(card["network"], seed=0)
        weights = _read_weights(folder / network.weights_file, card["weights_sha256"])
        if card["prediction"] not in _PREDICTIONS:
            raise ValueError(f"prediction {card['prediction']!r} is none of {', '.join(_PREDICTIONS)}")
        if (from_noise := card.get("from_noise")) not in _FROM_NOISE:
            raise ValueError(f"from_noise {from_noise!r} is neither signal nor trajectory")
        network.read(weights, steps)
        if snapshot is not None:
            network.load_state_dict(_read_weights(_place_of(folder, snapshot), snapshots[snapshot]))
        return Denoiser(network, card["prediction"], steps, from_noise), card
    except Exception as error:  # a card that states nonsense ends in whatever torch and diffusers stumble over
        raise SfddmError(f"{folder}: not a whole model folder ({_first_line(error)})") from None


def snapshots_of(folder: Path) -> tuple[str, ...]:
    """Return the names of the snapshots in a model folder.

    Raises:
        SfddmError: the folder holds no model, or its card was changed.
    """
    return tuple(_read_card(folder).get("snapshots", {}))


def load_auxiliary(folder: Path, auxiliary: torch.nn.ModuleDict) -> None:
    """Give networks the weights they had at the end of the training that wrote ``folder``, as far as it had them.

    Raises:
        SfddmError: a network of the same name has another shape there, or the folder was changed.
    """
    path, expected = folder / _AUXILIARY, _read_card(folder)["auxiliary_sha256"]
    if expected is None:
        return
    weights = _read_weights(path, expected)
    for name, module in auxiliary.items():
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        if own:
            try:
                module.load_state_dict(own)
            except RuntimeError as error:
                raise SfddmError(f"{path}: {name} does not fit ({str(error).splitlines()[0]})") from None


def load_pretrained(folder: Path, timesteps: int) -> Denoiser:
    """Read a diffusers pipeline folder (DDPM or DDIM with a UNet2DModel) as a teacher of ``timesteps`` steps.

    Raises:
        SfddmError: the folder is no such pipeline, a weight is not finite or too large, or its scheduler has another
            number of steps.
    """
    from sfddm.networks.unet import PREDICTION_TYPES, read_pipeline

    network, scheduler = read_pipeline(folder)
    _check_values(folder, network.state_dict())
    kinds = {name: kind for kind, name in PREDICTION_TYPES.items()}
    try:
        schedule = Schedule(scheduler.alphas_cumprod.double().numpy())
    except SfddmError as error:
        raise SfddmError(f"teacher.pretrained: {folder}: {error}") from None
    if schedule.timesteps != timesteps:
        raise SfddmError(
            f"teacher.pretrained: {folder} has {schedule.timesteps} steps, schedule.timesteps says {timesteps}"
        )
    return Denoiser(network, kinds[scheduler.config.prediction_type], Steps.of_teacher(schedule))


def _place_of(folder: Path, snapshot: str) -> Path:
    return folder / _SNAPSHOTS / f"{snapshot}.safetensors"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = read_json(folder / "card.json", needs_digest=True)
    for file in sorted(folder.rglob("*.json")):  # what stock diffusers reads besides the weights
        check_unchanged(file)
    return card


def _read_weights(path: Path, expected: str) -> dict[str, torch.Tensor]:
    """Return the weights in a file whose sha256 is ``expected``; what is hashed is what is loaded.

    Raises:
        SfddmError: the file is missing, has another sha256, or holds a weight that is not finite or too large.
    """
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file") from None
    if (found := _sha256(content)) != expected:
        raise SfddmError(f"{path}: its sha256 is {found}, but card.json says {expected}; train it again")
    try:
        weights = load(content)
    except Exception as error:  # SafetensorError, and what torch says of odd shapes
        raise SfddmError(f"{path}: not a file of weights ({_first_line(error)})") from None
    _check_values(path, weights)
    return weights


def _check_values(place: Path, weights: dict[str, torch.Tensor]) -> None:
    for name, value in weights.items():
        if not value.is_floating_point() or not value.numel():
            continue
        low, high = map(float, value.aminmax())
        if not (math.isfinite(low) and math.isfinite(high)):
            raise SfddmError(f"{place}: the weights {name} must be finite, but hold NaN or infinity")
        if (largest := max(-low, high)) > LARGEST_WEIGHT:
            raise SfddmError(f"{place}: the weights {name} must be at most {LARGEST_WEIGHT:g}, but reach {largest:g}")


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
