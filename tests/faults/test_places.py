"""Outputs of the wrong kind of path, and devices without space: one sentence, and nothing half-written is left."""

from __future__ import annotations

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import numpy as np
import pytest
from support.every_verb import VERBS, invoke, make_run, snapshot
from support.exact_networks import tiny_denoiser

from sfddm.networks.model_folder import save_model
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import atomic_file, atomic_folder, write_json

PLACES = (
    "file/x",
    "pipe/x",
    "dangling/x",
    "self/x",
    "n" * 300,
    "file",
    "pipe",
    "self",
    "dangling",
    "/proc/x",
    "/dev/full",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    make_run(folder)
    return folder


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("verb", ["train", "sample", "evaluate", "agreement", "collect", "report", "record"])
def test_a_place_that_cannot_be_written_to(run: Path, tmp_path: Path, verb: str, place: str) -> None:
    (tmp_path / "file").write_text("x")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "self").symlink_to("self")
    before = snapshot_without_pipes(tmp_path)
    with chdir(run):
        done = invoke(f"{VERBS[verb][0]} --out", str(tmp_path / place), *state_of(verb, tmp_path))
    if done.exit_code == 0:  # what a dangling link leads to may be made
        assert place == "dangling/x"
        return
    assert isinstance(done.exception, SfddmError), done.exception
    assert snapshot_without_pipes(tmp_path) == before


def state_of(verb: str, tmp_path: Path) -> list[str]:
    return ["--state", str(tmp_path.with_name(f"{tmp_path.name}-state"))] if verb == "train" else []


def snapshot_without_pipes(folder: Path) -> object:
    (folder / "pipe").unlink(missing_ok=True)
    found = snapshot(folder)
    os.mkfifo(folder / "pipe")
    return found


# --- no space ---------------------------------------------------------------------------------------------------------


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let this process write no file of more than ``size`` bytes, as on a device with so much space."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [0, 10, 1000])
def test_writing_ends_where_the_space_does(tmp_path: Path, size: int) -> None:
    write_json(tmp_path / "score.json", "whole")
    before = snapshot(tmp_path)
    with files_of_at_most(size):
        with pytest.raises(SfddmError, match=r"score\.json: no space left on the device; this file was not written"):
            write_json(tmp_path / "score.json", ["x" * 100] * 100)
        with pytest.raises(SfddmError, match="no space left"), atomic_folder(tmp_path / "folder") as new:
            (new / "file").write_bytes(bytes(5000))
    assert snapshot(tmp_path) == before


def mounted(folder: Path, kilobytes: int) -> bool:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


@pytest.mark.parametrize("kilobytes", [4, 16, 64, 128])
def test_a_full_device_whichever_library_writes(tmp_path: Path, kilobytes: int) -> None:
    """numpy and safetensors tell of it in words of their own. Needs the right to mount."""
    device = tmp_path / "device"
    if not mounted(device, kilobytes):
        pytest.skip("no right to mount a small device")
    try:
        with pytest.raises(SfddmError, match="no space left on the device"):
            save_model(device / "model", tiny_denoiser(size=4), {})
        assert not [name for name in os.listdir(device) if name != ".sfddm-outputs"]
        with pytest.raises(SfddmError, match="no space left on the device"), atomic_file(device / "x.npy") as new:
            np.save(new.open("wb"), np.ones(1 << 20))
        assert not [name for name in os.listdir(device) if name != ".sfddm-outputs"]
    finally:
        subprocess.run(["umount", str(device)], check=True)
