"""Random numbers as functions of (seed, stream, counter): nothing here has a state that a checkpoint must carry.

Philox is a counter-based generator (Salmon et al. 2011): the key is the seed and the stream, the upper half of the
counter is what is asked for, the lower half counts the numbers drawn. Two different questions never share a number.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

_INITIAL, _STEP, _ORDER, _TRAINING, _WEIGHTS, _FURTHER, _DROPPED, _CLASSES = range(8)


def derived_seed(*parts: object) -> int:
    """Return a 63-bit seed that is a function of the parts, for example (training seed, row, fold)."""
    text = "/".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def _generator(seed: int, stream: int, first: int, second: int = 0) -> np.random.Generator:
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([0, 0, second, first], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def initial_noise(seed: int, first: int, count: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return (count, *shape) standard normal noise for samples ``first`` .. ``first + count - 1``.

    Sample k is a function of (seed, k) alone, whatever the batch it is drawn in.
    """
    return np.stack([_normal(_generator(seed, _INITIAL, first + k), shape) for k in range(count)])


def sample_labels(first: int, count: int, classes: int | None) -> NDArray[np.int64]:
    """Return (count,) the classes of samples ``first`` ..: k modulo n for sample k, so that all are equally frequent.

    -1 where there are no classes. For whoever samples; all others read the labels that are stored with the samples.
    """
    return np.full(count, -1) if classes is None else np.arange(first, first + count) % classes


def step_noise(seed: int, step: int, first: int, count: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return (count, *shape) noise for sampling step ``step`` of samples ``first`` .. ``first + count - 1``."""
    return np.stack([_normal(_generator(seed, _STEP, first + k, step), shape) for k in range(count)])


def _normal(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return generator.standard_normal(shape, dtype=np.float32)


def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the permutation of ``count`` examples in epoch ``epoch``."""
    return _generator(seed, _ORDER, epoch).permutation(count)


def initialisation_generator(seed: int) -> torch.Generator:
    """Return a CPU generator for a network's first weights."""
    import torch

    return torch.Generator().manual_seed(int(_generator(seed, _WEIGHTS, 0).integers(2**62)))


def training_noise(
    seed: int, step: int, shape: tuple[int, ...], positions: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the randomness of one training step, a function of (seed, step) and of the kind of device.

    On an accelerator the numbers are drawn there, by its own counter-based generator: drawing them on the host would
    hold the step up.

    Args:
        seed: the training's seed.
        step: the step, from 0.
        shape: (B, C, H, W).
        positions: T'; the steps k are uniform in [0, positions).
        device: where the tensors live.

    Returns:
        noise (B, C, H, W) float32, k (B,) int64, and flips (B,) bool with probability one half.
    """
    import torch

    if device.type == "cpu":
        generator = _generator(seed, _TRAINING, step)
        k = torch.from_numpy(generator.integers(positions, size=shape[0]))
        flips = torch.from_numpy(generator.integers(2, size=shape[0]) == 1)
        return torch.from_numpy(_normal(generator, shape)), k, flips
    on_device = torch.Generator(device).manual_seed(derived_seed(seed, step))
    k = torch.randint(positions, (shape[0],), generator=on_device, device=device)
    flips = torch.randint(2, (shape[0],), generator=on_device, device=device) == 1
    return torch.randn(shape, generator=on_device, device=device), k, flips


def further_noise(
    seed: int, step: int, draws: int, shape: tuple[int, ...], device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what a loss draws besides the noise of its batch, a function of (seed, step) and of the kind of device.

    Args:
        seed: the training's seed.
        step: the step, from 0.
        draws: D.
        shape: (B, C, H, W).
        device: where the tensors live.

    Returns:
        noise (D, B, C, H, W) float32, standard normal, and (D, B) float32 uniform in [0, 1).
    """
    import torch

    if device.type == "cpu":
        generator = _generator(seed, _FURTHER, step)
        uniform = torch.from_numpy(generator.random((draws, shape[0]), dtype=np.float32))
        return torch.from_numpy(_normal(generator, (draws, *shape))), uniform
    on_device = torch.Generator(device).manual_seed(derived_seed(seed, step, "further"))
    uniform = torch.rand((draws, shape[0]), generator=on_device, device=device)
    return torch.randn((draws, *shape), generator=on_device, device=device), uniform


def dropped(seed: int, step: int, count: int, share: float) -> NDArray[np.bool_]:
    """Return (count,) which labels of a training step are dropped, each with probability ``share``."""
    return _generator(seed, _DROPPED, step).random(count) < share


def drawn_classes(seed: int, step: int, count: int, classes: tuple[int, ...]) -> NDArray[np.int64]:
    """Return (count,) classes of a training step that has no images, uniform among ``classes``."""
    return np.array(classes)[_generator(seed, _CLASSES, step).integers(len(classes), size=count)]
