"""A trained model on disk: a diffusers pipeline folder that stock diffusers can sample, and ``card.json``.

A student has a forward process of its own, so it is an ordinary T'-step model: its time embedding becomes a table with
one row for each of its steps, and its scheduler gets the betas of its own schedule. ``card.json`` keeps what we need to
read it back exactly: the cumulative alphas in float64 and the teacher's indices.

A perceptron for points has no class in diffusers, hence no pipeline: its folder holds ``card.json`` and the weights,
``network/model.safetensors``, and no ``model_index.json`` that would promise more.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sfddm.diffusion.process import PredictionKind
from sfddm.diffusion.schedule import Schedule
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser, Steps
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_folder, read_json, write_json

_TABLE = "time_proj.weight"
_PREDICTION_TYPES: dict[PredictionKind, str] = {
    "epsilon": "epsilon",
    "x0": "sample",
    "consistency": "v_prediction",  # what it is but for the smallest noise; stock diffusers knows no closer name
    "v": "v_prediction",
}
_WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"
_COMPANIONS = "companions.safetensors"
_MLP_WEIGHTS = Path("network") / "model.safetensors"


def save_model(
    folder: Path, denoiser: Denoiser, card: dict[str, Any], companions: torch.nn.ModuleDict | None = None
) -> None:
    """Write a model folder, atomically. ``card`` says where the model comes from; the rest is added here.

    Networks that were trained alongside lie beside it in ``companions.safetensors``, for a fold that goes on from here.
    """
    config, steps = plain_config(denoiser.network), denoiser.steps
    card = card | {
        "schema": 1,
        "network": config,
        "prediction": denoiser.prediction,
        "timesteps": steps.timesteps,
        "index_set": list(steps.index_set),
        "conditioning": list(steps.conditioning),
        "alphas_bar": [float(value) for value in steps.alphas_bar],
    }
    with atomic_folder(folder) as temporary:
        if config.get("kind") == "mlp":
            _save_weights(temporary / _MLP_WEIGHTS, denoiser.network)
        else:
            _save_pipeline(temporary, denoiser, config)
        card["weights_sha256"] = _sha256((temporary / _weights_of(config)).read_bytes())
        card["auxiliary_sha256"] = None
        if companions is not None:
            _save_weights(temporary / _COMPANIONS, companions)
            card["auxiliary_sha256"] = _sha256((temporary / _COMPANIONS).read_bytes())
        write_json(temporary / "card.json", card, with_digest=True)


def _weights_of(config: dict[str, Any]) -> Path:
    return _MLP_WEIGHTS if config.get("kind") == "mlp" else _WEIGHTS


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def load_companions(folder: Path, companions: torch.nn.ModuleDict) -> None:
    """Give networks the weights they had at the end of the training that wrote ``folder``, as far as it had them.

    Raises:
        SfddmError: a network of the same name has another shape there, or the folder was changed.
    """
    path, expected = folder / _COMPANIONS, _read_card(folder)["auxiliary_sha256"]
    if expected is None:
        return
    weights = _read_weights(path, expected)
    for name, module in companions.items():
        own = {key.removeprefix(f"{name}."): value for key, value in weights.items() if key.startswith(f"{name}.")}
        if own:
            try:
                module.load_state_dict(own)
            except RuntimeError as error:
                raise SfddmError(f"{path}: {name} does not fit ({str(error).splitlines()[0]})") from None


def _save_weights(path: Path, network: torch.nn.Module) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(exist_ok=True)
    save_file({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, path)


def _read_card(folder: Path) -> dict[str, Any]:
    card: dict[str, Any] = read_json(folder / "card.json", needs_digest=True)
    return card


def _read_weights(path: Path, expected: str) -> dict[str, torch.Tensor]:
    """Return the weights in a file whose sha256 is ``expected``; what is hashed is what is loaded.

    Raises:
        SfddmError: the file is missing, has another sha256, or holds a weight that is not finite.
    """
    from safetensors.torch import load

    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such file") from None
    if (found := _sha256(content)) != expected:
        raise SfddmError(f"{path}: its sha256 is {found}, but card.json says {expected}; train it again")
    weights = load(content)
    _check_finite(path, weights)
    return weights


def _check_finite(place: Path, weights: dict[str, torch.Tensor]) -> None:
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise SfddmError(f"{place}: the weights {name} must be finite, but hold NaN or infinity")


def _save_pipeline(folder: Path, denoiser: Denoiser, config: dict[str, Any]) -> None:
    _stock_unet(denoiser.network, config, denoiser.steps).save_pretrained(folder / "unet")
    _stock_scheduler(denoiser).save_pretrained(folder / "scheduler")
    index = {"_class_name": "DDIMPipeline", "scheduler": ["diffusers", "DDIMScheduler"]}
    write_json(folder / "model_index.json", index | {"unet": ["diffusers", "UNet2DModel"]})


def load_model(folder: Path) -> tuple[Denoiser, dict[str, Any]]:
    """Read a model folder that ``save_model`` wrote, bit for bit.

    Raises:
        SfddmError: a file is missing, was changed since, or does not fit the card.
    """
    card = _read_card(folder)
    try:
        weights = _read_weights(folder / _weights_of(card["network"]), card["weights_sha256"])
        alphas_bar = np.array(card["alphas_bar"], dtype=np.float64)
        steps = Steps(card["timesteps"], tuple(card["index_set"]), tuple(card["conditioning"]), alphas_bar)
        network = build_network(card["network"], seed=0)
        if card["network"].get("kind") != "mlp":
            _check_table(weights.pop(_TABLE, None), network, steps)
        if card["prediction"] not in _PREDICTION_TYPES:
            raise ValueError(f"prediction {card['prediction']!r} is none of {', '.join(_PREDICTION_TYPES)}")
        network.load_state_dict(weights)
        return Denoiser(network, card["prediction"], steps), card
    except (KeyError, TypeError, ValueError, RuntimeError, SfddmError) as error:
        raise SfddmError(f"{folder}: not a whole model folder ({str(error).splitlines()[0]})") from None


def load_pretrained(folder: Path, timesteps: int) -> Denoiser:
    """Read a diffusers pipeline folder (DDPM or DDIM with a UNet2DModel) as a teacher of ``timesteps`` steps.

    Raises:
        SfddmError: the folder is no such pipeline, its weights are not finite, or its scheduler has another number of
            steps.
    """
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    from sfddm.networks.diffusers_unet import UNet2DModel

    try:
        unet = UNet2DModel.from_pretrained(folder, subfolder="unet", use_safetensors=True)
        scheduler = DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    except (OSError, ValueError) as error:
        raise SfddmError(
            f"teacher.pretrained: {folder} is not a diffusers pipeline with unet/ (safetensors) and scheduler/ "
            f"({str(error).splitlines()[0]})"
        ) from None
    _check_finite(folder, unet.state_dict())
    kinds = {name: kind for kind, name in _PREDICTION_TYPES.items()}
    schedule = Schedule(scheduler.alphas_cumprod.double().numpy())
    if schedule.timesteps != timesteps:
        raise SfddmError(
            f"teacher.pretrained: {folder} has {schedule.timesteps} steps, schedule.timesteps says {timesteps}"
        )
    return Denoiser(unet, kinds[scheduler.config.prediction_type], Steps.of_teacher(schedule))


def plain_config(unet: torch.nn.Module) -> dict[str, Any]:
    """Return the configuration from which the network can be built again, as plain JSON."""
    config = {key: value for key, value in unet.config.items() if not key.startswith("_")}  # type: ignore[union-attr, operator]
    return {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}


def _is_plain_teacher(steps: Steps) -> bool:
    return steps.conditioning == tuple(range(steps.timesteps))


def _check_table(table: torch.Tensor | None, unet: torch.nn.Module, steps: Steps) -> None:
    if _is_plain_teacher(steps) != (table is None) or (
        table is not None and not torch.equal(table, _embedding_table(unet, steps))
    ):
        raise ValueError("its table of time embeddings does not belong to its steps")


def _embedding_table(unet: torch.nn.Module, steps: Steps) -> torch.Tensor:
    """Return (T', D) the sinusoidal embedding of each step's conditioning."""
    return unet.time_proj(torch.tensor(steps.conditioning)).float()  # type: ignore[operator]


def _stock_unet(unet: torch.nn.Module, config: dict[str, Any], steps: Steps) -> Any:
    if _is_plain_teacher(steps):
        return unet
    from sfddm.networks.diffusers_unet import UNet2DModel

    learned = config | {"time_embedding_type": "learned", "num_train_timesteps": len(steps.index_set)}
    stock = UNet2DModel.from_config(learned)
    weights = {name: value.cpu() for name, value in unet.state_dict().items()}
    stock.load_state_dict(weights | {_TABLE: _embedding_table(unet, steps)})
    return stock


def _stock_scheduler(denoiser: Denoiser) -> Any:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    betas = Schedule(denoiser.steps.alphas_bar).betas
    return DDIMScheduler(
        num_train_timesteps=len(betas),
        trained_betas=[float(beta) for beta in betas],
        prediction_type=_PREDICTION_TYPES[denoiser.prediction],
        clip_sample=True,
        set_alpha_to_one=True,
        steps_offset=0,
    )
