"""diffusers' U-Net behind our interface, and the pipeline folder that stock diffusers samples.

A student has a forward process of its own, so it is an ordinary T'-step model: its time embedding becomes a table with
one row for each of its steps, and its scheduler gets the betas of its own schedule.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from sfddm.diffusion.process import PredictionKind
from sfddm.diffusion.schedule import Schedule
from sfddm.networks.base import Condition, Network
from sfddm.networks.diffusers_unet import UNet2DModel
from sfddm.networks.sizes import check_holds
from sfddm.networks.steps import MOST_STEPS, Steps
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import read_json, write_json

_TABLE = "time_proj.weight"
PREDICTION_TYPES: dict[PredictionKind, str] = {
    "epsilon": "epsilon",
    "x0": "sample",
    "consistency": "v_prediction",  # what it is but for the smallest noise; stock diffusers knows no closer name
    "v": "v_prediction",
}


class UNet(Network):
    """UNet2DModel with or without classes."""

    weights_file = Path("unet") / "diffusion_pytorch_model.safetensors"

    def __init__(self, unet: UNet2DModel) -> None:
        super().__init__()
        self.unet = unet
        config = {key: value for key, value in unet.config.items() if not key.startswith("_")}
        self.config = {key: list(value) if isinstance(value, tuple) else value for key, value in config.items()}
        embeddings = config.get("num_class_embeds")
        self.classes = None if embeddings is None else int(embeddings) - 1
        self.feature_width = int(config["block_out_channels"][0])
        self.bottleneck_width = int(config["block_out_channels"][-1])

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build the network of diffusers' configuration."""
        return cls(UNet2DModel.from_config(config))

    def forward(self, x: Tensor, condition: Condition) -> Tensor:
        """Return the raw output, (B, C, H, W)."""
        output: Tensor = self.unet(x, condition.t, class_labels=condition.labels).sample
        return output

    def last_layer(self) -> nn.Module:
        """Return the final normalisation, which sees the output of the last up-block."""
        return self.unet.conv_norm_out

    def middle(self) -> nn.Module:
        """Return the middle block."""
        return self.unet.mid_block

    def linear_map(self, inputs: int, outputs: int) -> nn.Module:
        """Return a convolution with a kernel of one pixel."""
        return nn.Conv2d(inputs, outputs, 1)

    def write(self, folder: Path, steps: Steps, prediction: str) -> None:
        """Write a diffusers pipeline."""
        self._stock(steps).save_pretrained(folder / "unet")
        stock_scheduler(steps, PREDICTION_TYPES[prediction]).save_pretrained(folder / "scheduler")  # type: ignore[index]
        index = {"_class_name": "DDIMPipeline", "scheduler": ["diffusers", "DDIMScheduler"]}
        write_json(folder / "model_index.json", index | {"unet": ["diffusers", "UNet2DModel"]})

    def read(self, weights: dict[str, Tensor], steps: Steps) -> None:
        """Take the weights of a pipeline, after a look at its table of time embeddings."""
        table = weights.pop(_TABLE, None)
        if steps.are_all != (table is None) or (
            table is not None and not torch.equal(table, self._embedding_table(steps))
        ):
            raise ValueError("its table of time embeddings does not belong to its steps")
        self.unet.load_state_dict(weights)

    def _embedding_table(self, steps: Steps) -> Tensor:
        """Return (T', D) the sinusoidal embedding of each step's conditioning."""
        table: Tensor = self.unet.time_proj(torch.tensor(steps.conditioning)).float()
        return table

    def _stock(self, steps: Steps) -> UNet2DModel:
        if steps.are_all:
            return self.unet
        learned = self.config | {"time_embedding_type": "learned", "num_train_timesteps": len(steps.index_set)}
        stock = UNet2DModel.from_config(learned)
        weights = {name: value.cpu() for name, value in self.unet.state_dict().items()}
        stock.load_state_dict(weights | {_TABLE: self._embedding_table(steps)})
        return stock


def stock_scheduler(steps: Steps, prediction_type: str) -> Any:
    """Return the DDIM scheduler of a model's own steps."""
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    betas = Schedule(steps.alphas_bar).betas
    return DDIMScheduler(
        num_train_timesteps=len(betas),
        trained_betas=[float(beta) for beta in betas],
        prediction_type=prediction_type,
        clip_sample=True,
        set_alpha_to_one=True,
        steps_offset=0,
    )


def read_pipeline(folder: Path) -> tuple[UNet, Any]:
    """Read a diffusers pipeline folder (DDPM or DDIM with a UNet2DModel): the network and the DDIM scheduler.

    Raises:
        SfddmError: the folder is no such pipeline.
    """
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    try:
        _check_pipeline(folder)
        unet, found = UNet2DModel.from_pretrained(
            folder, subfolder="unet", use_safetensors=True, output_loading_info=True
        )
        if missing := found["missing_keys"]:  # diffusers would leave them as they were drawn
            raise ValueError(f"its weights lack {', '.join(sorted(missing)[:3])}")
        return UNet(unet), DDIMScheduler.from_pretrained(folder, subfolder="scheduler")
    except Exception as error:  # a configuration that states nonsense ends in whatever diffusers stumbles over
        raise SfddmError(
            f"teacher.pretrained: {folder} is not a diffusers pipeline with unet/ (safetensors) and scheduler/ "
            f"({(str(error).splitlines() or [type(error).__name__])[0]})"
        ) from None


def _check_pipeline(folder: Path) -> None:
    """Raise a SfddmError or ValueError where a pipeline's configuration states what its files cannot hold."""
    config, scheduler = (read_json(folder / file) for file in ("unet/config.json", "scheduler/scheduler_config.json"))
    if not isinstance(config, dict) or not isinstance(scheduler, dict):
        raise ValueError("its configuration is no mapping")
    check_holds(config, sum(file.stat().st_size for file in (folder / "unet").glob("*.safetensors")))
    steps, kind = scheduler.get("num_train_timesteps", 1000), scheduler.get("prediction_type", "epsilon")
    if not isinstance(steps, int) or not 1 <= steps <= MOST_STEPS:
        raise ValueError(f"num_train_timesteps must be 1 to {MOST_STEPS:,}; got {steps!r}")
    if kind not in PREDICTION_TYPES.values():
        raise ValueError(f"prediction_type must be {', '.join(sorted(set(PREDICTION_TYPES.values())))}; got {kind!r}")
