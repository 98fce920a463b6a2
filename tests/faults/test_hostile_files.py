"""Files that someone made to do harm: each is refused by name, at once, before memory is taken or anything runs."""

from __future__ import annotations

import gzip
import json
import os
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import EpsImagePlugin, Image
from safetensors.torch import load_file, save_file
from support.exact_networks import tiny_denoiser
from support.tiny_data import pictures, png, refused, section, write_idx, write_lmdb, write_parquet

from sfddm.data.fetch import fetch
from sfddm.data.store import open_store
from sfddm.diffusion.schedule import make_schedule
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import load_model, load_pretrained, save_model
from sfddm.networks.steps import Steps
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import digest_of
from sfddm.runtime.outputs import LEDGER
from sfddm.spec.load import load_spec

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
#: Bytes that Python may take while it refuses.
MEMORY = 50 << 20


@contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


# --- data -------------------------------------------------------------------------------------------------------------


def image_folder(tmp_path: Path, name: str = "a.png") -> tuple[Any, Path]:
    folder = tmp_path / "in"
    folder.mkdir()
    return section("imagefolder", folders={"train": folder}), folder / name


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    data, file = image_folder(tmp_path)
    os.mkfifo(file)
    refused(data, tmp_path, f"{file}: is not a file")


def test_a_device_is_not_read(tmp_path: Path) -> None:
    data, file = image_folder(tmp_path)
    file.symlink_to("/dev/zero")
    refused(data, tmp_path, f"{file}: is not a file")


def test_a_folder_that_holds_itself_is_refused_and_one_that_is_linked_twice_is_not(tmp_path: Path) -> None:
    data, file = image_folder(tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.png").write_bytes(png(pictures(8, 8)))
    for name in ("one", "two"):
        (file.parent / name).symlink_to(tmp_path / "other")
    fetch(data, tmp_path / "whole")
    assert open_store(tmp_path / "whole" / "train").images.shape[0] == 2
    (tmp_path / "other" / "again").symlink_to(tmp_path / "other")
    refused(data, tmp_path, "again: is a link to a folder that it lies in")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_too_many_pixels(tmp_path: Path) -> None:
    data, file = image_folder(tmp_path)
    Image.new("1", (13_000, 13_000)).save(file)
    assert file.stat().st_size < 100_000
    with little_memory():
        refused(data, tmp_path, f"{file}: has 13000x13000 pixels; an image of a data set may have 50,000,000")


def test_a_format_that_calls_a_program_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, file = image_folder(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path / 'called'}\n")
    (tmp_path / "bin" / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # which remembers an earlier search
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    refused(data, tmp_path, f"{file}: not a whole image file")
    assert not (tmp_path / "called").exists()


@pytest.mark.parametrize("sizes", [(1, 2**31, 2**31), (1, 0, 8), (2**32 - 1, 8, 8)])
def test_an_idx_header_that_promises_too_much(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    write_idx(tmp_path / "in", pictures(5, 8, 8), [0, 1, 2, 3, 4], gz=False)
    images = tmp_path / "in" / "train-images-idx3-ubyte"
    images.write_bytes(bytes((0, 0, 8, 3)) + struct.pack(">3I", *sizes) + images.read_bytes()[16:])
    refused(section("idx", folders=(tmp_path / "in",)), tmp_path, images.name)


def test_a_gzip_bomb_of_an_idx_file(tmp_path: Path) -> None:
    write_idx(tmp_path / "in", pictures(1, 8, 8), [0], gz=True)
    images = tmp_path / "in" / "train-images-idx3-ubyte.gz"
    with gzip.open(images, "wb", compresslevel=1) as file:
        file.write(bytes((0, 0, 8, 3)) + struct.pack(">3I", 1, 20_000, 20_000))
        for _ in range(400):
            file.write(bytes(1 << 20))
    with little_memory():
        refused(section("idx", folders=(tmp_path / "in",)), tmp_path, "promises entries of 400,000,000 bytes")


def test_a_label_that_no_store_can_hold(tmp_path: Path) -> None:
    cells: list[bytes | None] = [png(pictures(8, 8))] * 2
    file = write_parquet(tmp_path / "x.parquet", cells, [0, 2**63 - 1])
    data = section("parquet", files={"train": (file,)})
    refused(data, tmp_path, "image 1 has label 9223372036854775807; -1 (none) to 1000000 is allowed")


def test_lmdb_pages_that_are_not_there(tmp_path: Path) -> None:
    """Each damage to a header or a page that lmdb would follow past the end of the file ends in a sentence."""
    folder = write_lmdb(tmp_path / "lmdb", {bytes([65 + n]): png(pictures(8, 8)) * 40 for n in range(9)})
    file, data = folder / "data.mdb", section("lsun-lmdb", folders={"train": folder})
    whole = file.read_bytes()
    page = struct.unpack_from("<I", whole, 16 + 24)[0]
    for place, value in ((16 + 24 + 96, 1 << 40), (16, 0), (16 + 24, 1 << 30), (16 + 24, 0)):
        changed = bytearray(whole)
        for start in (0, page):
            struct.pack_into("<Q" if value >> 32 else "<I", changed, start + place, value)
        file.write_bytes(changed)
        refused(data, tmp_path, "data.mdb")
    for start in range(2 * page, len(whole), page):  # every place on every page after the headers
        changed = bytearray(whole)
        changed[start + 4 : start + 64] = b"\xff" * 60
        file.write_bytes(changed)
        with suppress(SfddmError):
            fetch(data, tmp_path / "out")


# --- models -----------------------------------------------------------------------------------------------------------


def pipeline(folder: Path) -> Path:
    network = tiny_denoiser(size=4).network
    save_model(folder, Denoiser(network, "epsilon", Steps.of_teacher(make_schedule("cosine", 8))), {})
    (folder / LEDGER).unlink()
    load_pretrained(folder, 8)
    return folder


def change(file: Path, **keys: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | keys))


@pytest.mark.parametrize(
    ("file", "keys", "words"),
    [
        (
            "scheduler/scheduler_config.json",
            {"num_train_timesteps": 10**12},
            "num_train_timesteps must be 1 to 100,000",
        ),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": "8"}, "num_train_timesteps must be"),
        ("scheduler/scheduler_config.json", {"prediction_type": "flow"}, "prediction_type must be"),
        ("scheduler/scheduler_config.json", {"trained_betas": [2.0] * 8}, "cumulative alphas"),
        ("unet/config.json", {"norm_num_groups": 0}, "not a diffusers pipeline"),
        ("unet/config.json", {"block_out_channels": [10**6, 10**6]}, "at least 2,000,000,000,000 weights"),
        ("unet/config.json", {"layers_per_block": 10**9}, "at least"),
        ("unet/config.json", {"num_class_embeds": 10**9}, "at least"),
        ("unet/config.json", {"in_channels": 10**9}, "at least"),
        ("unet/config.json", {"block_out_channels": "wide"}, "where a whole number must stand"),
        ("unet/config.json", {"add_attention": True}, "its weights lack"),
    ],
)
def test_a_pipeline_that_states_nonsense(tmp_path: Path, file: str, keys: dict[str, Any], words: str) -> None:
    folder = pipeline(tmp_path / "pipeline")
    change(folder / file, **keys)
    with pytest.raises(SfddmError, match=words) as caught:
        load_pretrained(folder, 8)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["unet/config.json", "scheduler/scheduler_config.json"])
@pytest.mark.parametrize("content", ["[" * 100_000, "[]", "null", '{"a": ' * 50_000], ids=["deep", "list", "null", "a"])
def test_a_pipeline_whose_configuration_is_none(tmp_path: Path, name: str, content: str) -> None:
    folder = pipeline(tmp_path / "pipeline")
    (folder / name).write_text(content)
    with pytest.raises(SfddmError, match="is not a diffusers pipeline"):
        load_pretrained(folder, 8)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30, -1e30])
def test_weights_that_no_training_gives(tmp_path: Path, value: float) -> None:
    file = pipeline(tmp_path / "pipeline") / WEIGHTS
    weights = load_file(file)
    name = sorted(weights)[-1]
    weights[name].view(-1)[-1] = value
    save_file(weights, file)
    with pytest.raises(SfddmError, match=rf"the weights (unet\.)?{name} must be (finite|at most 1e\+06)"):
        load_pretrained(tmp_path / "pipeline", 8)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    folder = pipeline(tmp_path / "pipeline")
    (folder / WEIGHTS).unlink()
    torch.save({"x": torch.zeros(1)}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(SfddmError, match="is not a diffusers pipeline"):
        load_pretrained(folder, 8)


@pytest.mark.parametrize(
    "keys",
    [
        {"timesteps": 10**12},
        {"network": {"kind": "mlp", "width": 10**6, "depth": 10**6}},
        {"network": {"kind": "no such"}},
        {"network": []},
        {"prediction": "flow"},
        {"alphas_bar": ["x"]},
    ],
)
def test_a_card_that_states_nonsense_under_a_right_digest(tmp_path: Path, keys: dict[str, Any]) -> None:
    folder = tmp_path / "model"
    save_model(folder, tiny_denoiser(size=4), {"method": "sfddm"})
    (folder / LEDGER).unlink()
    card = json.loads((folder / "card.json").read_text()) | keys
    card.pop("content_sha256")
    (folder / "card.json").write_text(json.dumps(card | {"content_sha256": digest_of(card)}))
    with pytest.raises(SfddmError, match=f"{folder}: not a whole model folder"):
        load_model(folder)


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), Path.mkdir], ids=["pipe", "device", "folder"]
)
def test_a_spec_that_is_no_file(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "spec.yaml")
    with pytest.raises(SfddmError, match=r"spec\.yaml: is not a file"):
        load_spec(tmp_path / "spec.yaml")


def test_a_name_cannot_steer_the_terminal() -> None:
    assert str(SfddmError("a\x1b[2Jb\nc\u202ed")) == "a?[2Jb?c?d"
