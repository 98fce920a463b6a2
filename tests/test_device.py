"""Which process writes the results, and which device a job gets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from sfddm.errors import SfddmError
from sfddm.spec import load_spec
from sfddm.training.device import Launched, is_first_process, launched, leased_device
from sfddm.training.distill import distill_fold
from sfddm.training.teacher import train_teacher

CPU = torch.device("cpu")
#: What torchrun sets for the second of two processes on one machine.
SECOND = {
    "RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SECOND, "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)


def setenv(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


# --- a launcher's variables -----------------------------------------------------------------------------------------

STRAY: list[tuple[dict[str, str], str]] = [
    *(({name: value}, f"{name}={value}: .*must be set too") for name, value in SECOND.items() if "MASTER" not in name),
    *((SECOND | {name: ""}, f"{name} must be set too") for name in SECOND),
    ({"RANK": "0", "WORLD_SIZE": "1"}, "RANK=0, WORLD_SIZE=1: LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR"),
    *((SECOND | {name: "one"}, "must be integers") for name in SECOND if "MASTER" not in name),
    (SECOND | {"RANK": "-1"}, "must be integers"),
    (SECOND | {"LOCAL_RANK": "1.0"}, "must be integers"),
    (SECOND | {"RANK": "2"}, "RANK < WORLD_SIZE"),
    (SECOND | {"RANK": "0"}, "LOCAL_RANK <= RANK"),
    (SECOND | {"WORLD_SIZE": "1"}, "LOCAL_WORLD_SIZE <= WORLD_SIZE"),
    (SECOND | {"WORLD_SIZE": "0"}, "RANK < WORLD_SIZE"),
    (SECOND | {"LOCAL_RANK": "2", "WORLD_SIZE": "4", "RANK": "3"}, "LOCAL_RANK < LOCAL_WORLD_SIZE"),
    ({"OMPI_COMM_WORLD_SIZE": "4"}, "OMPI_COMM_WORLD_SIZE=4: .*torchrun"),
    ({"PMI_SIZE": "2"}, "PMI_SIZE=2: .*torchrun"),
]


@pytest.mark.parametrize(("variables", "sentence"), STRAY)
def test_stray_launcher_variables_are_refused_before_anything_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], sentence: str
) -> None:
    setenv(monkeypatch, variables)
    spec, nowhere = load_spec("smoke"), tmp_path / "nowhere"
    state: dict[str, Any] = {"state": tmp_path / "state", "device": CPU}
    calls = (
        lambda: train_teacher(spec, 0, nowhere, tmp_path / "out", **state),
        lambda: distill_fold(spec, "sfddm", "4", 0, nowhere, nowhere, tmp_path / "out", **state),
        lambda: leased_device().__enter__(),
        is_first_process,
    )
    for call in calls:
        with pytest.raises(SfddmError, match=sentence) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("verb", ["train", "distill"])
def test_the_command_line_refuses_a_rank_without_its_launcher(tmp_path: Path, verb: str) -> None:
    options = ["--data", str(tmp_path), "--out", str(tmp_path / "out")]
    if verb == "distill":
        options += ["--method", "sfddm", "--fold", "4", "--teacher", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "sfddm.cli", verb, "smoke", *options],
        env=dict(os.environ) | {"RANK": "1"}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("sfddm: RANK=1: WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_torchrun_sets_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launched() is None
    assert is_first_process()
    monkeypatch.setenv("MASTER_ADDR", "somewhere")  # a cluster's job script sets it for whoever wants it
    monkeypatch.setenv("PMI_SIZE", "1")
    assert is_first_process()
    setenv(monkeypatch, SECOND)
    assert launched() == Launched(rank=1, local_rank=1)
    assert not is_first_process()
    setenv(monkeypatch, {"RANK": "0", "LOCAL_RANK": "0"})
    assert is_first_process()
    setenv(monkeypatch, {"RANK": "5", "LOCAL_RANK": "1", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4"})
    assert launched() == Launched(rank=5, local_rank=1)


def test_a_launched_process_keeps_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    setenv(monkeypatch, SECOND)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with leased_device() as device:
        assert device == torch.device("cuda", 1)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SfddmError, match="LOCAL_RANK=1: must be below the number of devices, 1"), leased_device():
        pass
