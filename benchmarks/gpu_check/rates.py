"""How fast a network trains and samples on a device, and whether faster ways of running it give the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sfddm.networks.base import Condition
from sfddm.networks.build import build_network
from sfddm.networks.spec import NetworkOptions

#: Calls that are timed, after those that are not.
TIMED, WARM_UP = {"cuda": 20, "cpu": 3}, {"cuda": 5, "cpu": 1}
#: Side of the square matrices whose product says how fast the device can multiply.
MATRIX = {"cuda": 8192, "cpu": 1024}


@dataclass(frozen=True)
class Rate:
    """Images a second in batches of ``batch_size``.

    Attributes:
        share: model-FLOPs utilisation: operations a second, over those of a large product of matrices on this device.
        memory: peak bytes on the accelerator; 0 on a CPU, where nobody counts them.
    """

    images: float
    batch_size: int
    share: float
    memory: int = 0


class OfTensors(nn.Module):
    """A network as a function of tensors alone, which is what graphs are captured of.

    Args:
        options: of the network.
        image_size, channels: of the images.
    """

    def __init__(self, options: NetworkOptions, image_size: int, channels: int) -> None:
        super().__init__()
        self.network = build_network(options.config(image_size, channels), 0)
        self.shape = (channels, image_size, image_size)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """Return the raw output, (B, C, H, W); ``labels`` (B,) are not looked at by a network without classes."""
        output: Tensor = self.network(x, Condition(t, None if self.network.classes is None else labels))
        return output

    def inputs(self, batch_size: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
        """Return a batch of noise, of equal steps and of first classes."""
        x = torch.randn(batch_size, *self.shape, device=device, generator=torch.Generator(device).manual_seed(0))
        return x, torch.zeros(batch_size, device=device), torch.zeros(batch_size, dtype=torch.int64, device=device)


def precision(name: str, device: torch.device) -> AbstractContextManager[object]:
    """Return the context of a precision as specs name it, "no" or "bf16"."""
    return torch.autocast(device.type, torch.bfloat16) if name == "bf16" else nullcontext()


def wait(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the mean time of a few calls, after some that do not count."""
    for _ in range(WARM_UP[device.type]):
        work()
    wait(device)
    started = time.perf_counter()
    for _ in range(TIMED[device.type]):
        work()
    wait(device)
    return (time.perf_counter() - started) / TIMED[device.type]


def product_rate(name: str, device: torch.device) -> float:
    """Return the floating-point operations a second of a large product of matrices at a precision."""
    side = MATRIX[device.type]
    kind = torch.bfloat16 if name == "bf16" else torch.float32
    matrix = torch.ones(side, side, device=device, dtype=kind)
    return 2 * side**3 / seconds(lambda: matrix @ matrix, device)


def training_step(network: OfTensors, batch: tuple[Tensor, Tensor, Tensor], name: str) -> Callable[[], None]:
    """Return a step on a plain loss: forward, backward, optimiser; no method, no data."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.0, fused=True)
    device = batch[0].device

    def step() -> None:
        with precision(name, device):
            loss = network(*batch).float().square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def operations(work: Callable[[], object]) -> int:
    """Return the floating-point operations of convolutions, products and attention while ``work`` runs."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def training_rates(network: OfTensors, sizes: Sequence[int], name: str, device: torch.device) -> list[Rate]:
    """Return the rate of training steps at each batch size that the device has memory for."""
    return _rates(sizes, name, device, lambda size: training_step(network, network.inputs(size, device), name))


def sampling_rates(network: OfTensors, sizes: Sequence[int], name: str, device: torch.device) -> list[Rate]:
    """Return the rate of evaluations, of which sampling takes one or more a step."""

    def evaluation(size: int) -> Callable[[], object]:
        batch = network.inputs(size, device)

        def work() -> None:
            with torch.inference_mode(), precision(name, device):
                network(*batch)

        return work

    return _rates(sizes, name, device, evaluation)


def _rates(
    sizes: Sequence[int], name: str, device: torch.device, make: Callable[[int], Callable[[], object]]
) -> list[Rate]:
    peak, found = product_rate(name, device), []
    for size in sizes:
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        try:
            work = make(size)
            count, taken = operations(work), seconds(work, device)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
        found.append(Rate(size / taken, size, count / taken / peak, memory))
    return found


def compiled_alike(network: OfTensors, size: int, device: torch.device) -> tuple[float, float]:
    """Return the speed of the compiled network over that of the plain one, and how far their answers lie apart.

    The distance is the largest one, over the largest answer.
    """
    batch = network.inputs(size, device)
    compiled = torch.compile(network)
    return _beside(network, compiled, batch)


def captured_alike(network: OfTensors, size: int, device: torch.device) -> tuple[float, float]:
    """Return the same of the network captured as a CUDA graph."""
    batch = network.inputs(size, device)
    captured = torch.cuda.make_graphed_callables(network, batch)
    return _beside(network, captured, batch)


def _beside(
    plain: nn.Module, other: Callable[..., Tensor], batch: tuple[Tensor, Tensor, Tensor]
) -> tuple[float, float]:
    device = batch[0].device
    with torch.no_grad():
        expected, found = plain(*batch).clone(), other(*batch).clone()
        fast = seconds(lambda: other(*batch), device)
        slow = seconds(lambda: plain(*batch), device)
    return slow / fast, float((found - expected).abs().max() / expected.abs().max())
