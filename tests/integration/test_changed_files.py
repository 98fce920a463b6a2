"""No bit of a store or of a model can change unseen: each changed bit is refused, or changes nothing that is read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import tiny_denoiser
from support.tiny_data import LABELS, pictures

from sfddm.data.store import open_store, write_store
from sfddm.diffusion.schedule import make_schedule
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.model_folder import load_auxiliary, load_model, save_model
from sfddm.networks.steps import Steps
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import write_json

FLIPS = 100
CARD = {"method": "sfddm", "fold": "4", "seed": 0, "depends_on": "ab" * 32, "train_seconds": 12.3456789}


def auxiliary() -> torch.nn.ModuleDict:
    return torch.nn.ModuleDict({"projection": torch.nn.Linear(4, 4)})


def make_store(folder: Path) -> None:
    examples = zip(pictures(5, 4, 4, 1), LABELS, strict=True)
    write_store(folder, "tiny", {"source": "none"}, (4, 4, 1), examples, count=5, class_names=tuple("abcdef"))


def make_model(folder: Path) -> None:
    save_model(folder, tiny_denoiser(size=4), CARD, auxiliary())


def make_perceptron(folder: Path) -> None:
    network = build_network(PerceptronOptions(kind="mlp", width=8, depth=1).config(1, 2), seed=0)
    save_model(folder, Denoiser(network, "v", Steps.of_teacher(make_schedule("cosine", 8))), CARD, auxiliary())


def open_model(folder: Path) -> None:
    load_model(folder)
    load_auxiliary(folder, auxiliary())


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
FILES: list[tuple[Callable[[Path], None], Callable[[Path], object], str]] = [
    (make_store, open_store, "images.npy"),
    (make_store, open_store, "labels.npy"),
    (make_store, open_store, "manifest.json"),
    (make_model, open_model, WEIGHTS),
    (make_model, open_model, "auxiliary.safetensors"),
    (make_model, open_model, "card.json"),
    (make_model, open_model, "model_index.json"),
    (make_model, open_model, "unet/config.json"),
    (make_model, open_model, "scheduler/scheduler_config.json"),
    (make_perceptron, open_model, "network/model.safetensors"),
    (make_perceptron, open_model, "card.json"),
]


def refusal(read: Callable[[Path], object], folder: Path) -> str | None:
    try:
        read(folder)
    except SfddmError as error:
        return str(error)
    return None


@pytest.mark.parametrize(("make", "read", "name"), FILES, ids=[f"{make.__name__} {name}" for make, _, name in FILES])
def test_a_flipped_bit_is_refused_or_without_effect(
    tmp_path: Path, make: Callable[[Path], None], read: Callable[[Path], object], name: str
) -> None:
    """Without effect is a bit of a JSON file alone, and only where the JSON says the same afterwards."""
    make(tmp_path / "it")
    path = tmp_path / "it" / name
    whole = path.read_bytes()
    bits = np.random.default_rng(0).choice(8 * len(whole), FLIPS, replace=False)
    outcomes: Counter[str] = Counter()
    for bit in bits:
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(changed)
        sentence = refusal(read, tmp_path / "it")
        outcomes["without effect" if sentence is None else "refused"] += 1
        if sentence is None:
            assert path.suffix == ".json", f"bit {bit} was let through"
            assert json.loads(changed) == json.loads(whole), f"bit {bit} was let through"
        else:
            assert "\n" not in sentence
    assert outcomes.total() == FLIPS
    assert outcomes["refused"] == FLIPS or (path.suffix == ".json" and outcomes["refused"] > 0.8 * FLIPS), outcomes
    path.write_bytes(whole)
    read(tmp_path / "it")


@pytest.mark.parametrize("change", ["of another model", "absent"])
def test_auxiliary_weights_are_the_models_own(tmp_path: Path, change: str) -> None:
    path = tmp_path / "it" / "auxiliary.safetensors"
    make_model(tmp_path / "other")
    make_model(tmp_path / "it")
    if change == "absent":
        path.unlink()
    else:
        path.write_bytes((tmp_path / "other" / "auxiliary.safetensors").read_bytes())
    load_model(tmp_path / "it")
    with pytest.raises(SfddmError, match=r"auxiliary\.safetensors: (no such file|its sha256 is)"):
        load_auxiliary(tmp_path / "it", auxiliary())


def test_auxiliary_weights_must_be_finite(tmp_path: Path) -> None:
    networks = auxiliary()
    networks.load_state_dict({name: value / 0 for name, value in networks.state_dict().items()})
    save_model(tmp_path / "it", tiny_denoiser(size=4), CARD, networks)
    with pytest.raises(SfddmError, match=r"auxiliary\.safetensors: the weights projection\..* must be finite"):
        load_auxiliary(tmp_path / "it", auxiliary())


def test_a_model_without_auxiliary_weights_leaves_them_as_they_are(tmp_path: Path) -> None:
    save_model(tmp_path / "it", tiny_denoiser(size=4), CARD)
    networks = auxiliary()
    before = {name: value.clone() for name, value in networks.state_dict().items()}
    load_auxiliary(tmp_path / "it", networks)
    assert all(torch.equal(value, before[name]) for name, value in networks.state_dict().items())


def test_a_card_of_an_earlier_version_is_refused(tmp_path: Path) -> None:
    make_model(tmp_path / "it")
    card: dict[str, Any] = json.loads((tmp_path / "it" / "card.json").read_text())
    del card["content_sha256"]
    write_json(tmp_path / "it" / "card.json", card)
    for read in (load_model, lambda folder: load_auxiliary(folder, auxiliary())):
        with pytest.raises(SfddmError, match=r"card\.json: lacks content_sha256"):
            read(tmp_path / "it")
