"""The stage ``classifier``: trains the extractor ``classifier`` on the run's real images and their labels."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from sfddm.data.store import Store, open_store
from sfddm.diffusion.randomness import derived_seed, epoch_order
from sfddm.evaluation.sections import ClassifierTraining
from sfddm.extractors.classifier import CARD, WEIGHTS, make_network, normalised
from sfddm.networks.base import write_weights
from sfddm.networks.build import first_weights_of
from sfddm.results.classifier import ClassifierCard
from sfddm.results.costs import DataLabel
from sfddm.results.files import write_result
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_folder
from sfddm.runtime.outputs import file_sha256
from sfddm.runtime.progress import Progress
from sfddm.runtime.provenance import git_commit, library_versions

#: Without a test split, one of so many images is held out, chosen once.
HELD_OUT = 10
#: Images seen: at least so many, and each at least so often.
IMAGES, EPOCHS = 20_000, 8
BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 2e-3, 1e-2
_TEST_BATCH = 256
_LEAVE_OUT = "leave classifier out of evaluation.extractors, and methods that learn from it out of methods"

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


def train_classifier(stage: ClassifierTraining, data: Path, out: Path, device: torch.device) -> None:
    """Write the folder ``out``: weights, and a card with the accuracy on images that were held out.

    Those are the test split where the data has one, else a fixed tenth of the training split. The weights are a
    function of the images, on one kind of device.

    Raises:
        SfddmError: an image has no label, there is one class only, or a store is missing.
    """
    store = _open_labelled(data / "train")
    if stage.has_test:
        test = _open_labelled(data / "test")
        (images, labels), held_out = (store.images, store.labels), (test.images, test.labels)
    else:
        (images, labels), held_out = _split(store)
    classes = int(store.labels.max()) + 1
    if classes < 2:
        raise SfddmError(f"{store.folder}: holds one class only; {_LEAVE_OUT}")
    with first_weights_of(derived_seed("classifier", "weights")):
        network = make_network(stage.shape, classes).to(device)
    started = time.monotonic()
    images_seen = fit(network, images, labels, device)
    seconds = time.monotonic() - started
    card = {
        "shape": stage.shape,
        "classes": classes,
        "data": DataLabel(label=store.manifest["label"], sha256=store.digest),
        "held_out": len(held_out[0]),
        "accuracy": accuracy_of(network, *held_out, device),
        "images_seen": images_seen,
        "seconds": seconds,
    }
    _write(out, network, card)


def fit(network: nn.Module, images: Images, labels: Labels, device: torch.device) -> int:
    """Train a network on (N, H, W, C) images with (N,) labels, and return how many images it saw."""
    size = min(BATCH, len(images))
    steps = math.ceil(max(IMAGES, EPOCHS * len(images)) / size)
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    network.train()
    with exact, Progress("classifier", steps, size) as progress:
        for step in range(steps):
            rows = _rows(len(images), size, step)
            wanted = torch.from_numpy(labels[rows]).to(device)
            loss = nn.functional.cross_entropy(network(_batch(images, rows, device)), wanted)
            optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            optimizer.step()
            falling.step()
            progress.add()
    return steps * size


def accuracy_of(network: nn.Module, images: Images, labels: Labels, device: torch.device) -> float:
    """Return the share of (N, H, W, C) images whose label is the network's greatest output."""
    network.eval()
    right = 0
    with torch.inference_mode():
        for first in range(0, len(images), _TEST_BATCH):
            found = network(_batch(images, np.arange(first, min(first + _TEST_BATCH, len(images))), device)).argmax(1)
            right += int((found.cpu().numpy() == labels[first : first + _TEST_BATCH]).sum())
    return right / len(images)


def _open_labelled(folder: Path) -> Store:
    store = open_store(folder)
    without = int((store.labels < 0).sum())
    if without:
        told = f"{without} of {len(store.labels)} images have no label"
        raise SfddmError(f"{folder}: {told}; {_LEAVE_OUT}")
    return store


def _split(store: Store) -> tuple[tuple[Images, Labels], tuple[Images, Labels]]:
    """Return what is trained on and what is held out of it, each in the order of the store."""
    order = epoch_order(derived_seed("classifier", "held out"), 0, len(store.images))
    few = math.ceil(len(order) / HELD_OUT)
    held_out, others = np.sort(order[:few]), np.sort(order[few:])
    return (store.images[others], store.labels[others]), (store.images[held_out], store.labels[held_out])


def _rows(count: int, size: int, step: int) -> NDArray[np.int64]:
    """Return (size,) the images of a step: a fresh permutation every epoch, whose incomplete last batch is left out."""
    epoch, place = divmod(step, count // size)
    return epoch_order(derived_seed("classifier", "order"), epoch, count)[place * size : (place + 1) * size]


def _batch(images: Images, rows: NDArray[np.int64], device: torch.device) -> torch.Tensor:
    return normalised(torch.from_numpy(images[rows]).permute(0, 3, 1, 2).to(device)).contiguous()


def _write(out: Path, network: nn.Module, card: dict[str, Any]) -> None:
    with atomic_folder(out) as temporary:
        write_weights(temporary / WEIGHTS, network)
        card |= {"commit": git_commit(), "versions": library_versions()}
        whole = ClassifierCard(**card, weights_sha256=file_sha256(temporary / WEIGHTS))
        write_result(temporary / CARD, whole)
    print(f"classifier: names the class of {whole.accuracy:.1%} of {whole.held_out} held-out images", file=sys.stderr)
