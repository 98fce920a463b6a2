"""Which process writes the results, and which device a job gets."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from sfddm.runtime import device as device_module
from sfddm.runtime.device import Launched, is_first_process, launched, leased_device
from sfddm.runtime.errors import SfddmError
from sfddm.spec.load import load_spec
from sfddm.spec.stages import student_training, teacher_training
from sfddm.training.sections import StudentInputs
from sfddm.training.student import train_student
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
    student, inputs = student_training(spec, "sfddm", "4", 0), StudentInputs(nowhere, nowhere)
    state: dict[str, Any] = {"state": tmp_path / "state", "device": CPU}
    calls = (
        lambda: train_teacher(teacher_training(spec, 0), nowhere, tmp_path / "out", **state),
        lambda: train_student(student, inputs, tmp_path / "out", **state),
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
    options = ["--data", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    if verb == "distill":
        options += ["--method", "sfddm", "--fold", "4", "--teacher", str(tmp_path / "teacher")]
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


# --- the lease ------------------------------------------------------------------------------------------------------

NOBODY = 65534
FORK = multiprocessing.get_context("fork")


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder for everyone, as /tmp is, in which the lock files will lie."""
    monkeypatch.delenv("SFDDM_JOBS_PER_DEVICE", raising=False)
    monkeypatch.setattr(device_module, "_POLL_SECONDS", 0.01)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o1777)
        monkeypatch.setattr(tempfile, "tempdir", name)
        yield Path(name) / "sfddm-devices"


def see(monkeypatch: pytest.MonkeyPatch, *uuids: str) -> None:
    """Let torch see accelerators with these UUIDs, as CUDA_VISIBLE_DEVICES would choose and order them."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(uuids))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=uuids[index]))
    monkeypatch.setattr(torch.cuda, "set_device", lambda index: None)


class Job:
    """A process that leases a device, says which, and holds it until it is told to end."""

    def __init__(self, first: Callable[[], object] = lambda: None) -> None:
        self.pipe, theirs = FORK.Pipe()
        self.process = FORK.Process(target=self._run, args=(theirs, first))
        self.process.start()
        theirs.close()

    @staticmethod
    def _run(pipe: Any, first: Callable[[], object]) -> None:
        first()
        try:
            with leased_device() as device:
                pipe.send(device.index)
                pipe.recv()
        except SfddmError as error:
            pipe.send(str(error))

    def index(self, seconds: float = 20.0) -> int | str | None:
        """Which device it has, or why it has none; None where it still waits after ``seconds``."""
        return self.pipe.recv() if self.pipe.poll(seconds) else None

    def end(self) -> None:
        if self.process.is_alive():
            self.pipe.send("end")
        self.process.join()


@pytest.fixture
def start() -> Iterator[Callable[..., Job]]:
    jobs: list[Job] = []

    def start_one(first: Callable[[], object] = lambda: None) -> Job:
        jobs.append(Job(first))
        return jobs[-1]

    yield start_one
    for job in jobs:
        job.process.kill()
        job.process.join()


def test_without_an_accelerator_nothing_is_leased(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    see(monkeypatch)
    with leased_device() as device:
        assert device == CPU
    assert not folder.exists()


def test_jobs_pinned_to_different_devices_do_not_wait(
    monkeypatch: pytest.MonkeyPatch, folder: Path, start: Callable[..., Job]
) -> None:
    see(monkeypatch, "GPU-a")
    assert start().index() == 0
    see(monkeypatch, "GPU-b")
    assert start().index() == 0
    assert sorted(path.name for path in folder.iterdir()) == ["GPU-a-0.lock", "GPU-b-0.lock"]


def test_jobs_that_number_the_devices_differently_never_share_one(
    monkeypatch: pytest.MonkeyPatch, folder: Path, start: Callable[..., Job]
) -> None:
    see(monkeypatch, "GPU-a", "GPU-b")
    assert start().index() == 0
    see(monkeypatch, "GPU-a", "GPU-b", "GPU-c")
    assert start().index() == 1
    see(monkeypatch, "GPU-b", "GPU-c", "GPU-a")
    assert start().index() == 1
    see(monkeypatch, "GPU-c", "GPU-b")
    assert start().index(0.2) is None


@pytest.mark.parametrize("ending", ["ends", "is killed"])
def test_a_job_waits_says_so_once_and_goes_on(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    start: Callable[..., Job],
    capfd: pytest.CaptureFixture[str],
    ending: str,
) -> None:
    see(monkeypatch, "GPU-a", "GPU-b")
    first, second = start(), start()
    assert (first.index(), second.index()) == (0, 1)
    assert not capfd.readouterr().err
    third = start()
    assert third.index(0.3) is None  # some thirty looks
    if ending == "ends":
        second.end()
    else:
        os.kill(second.process.pid or 0, signal.SIGKILL)
    assert third.index() == 1
    said = capfd.readouterr().err
    assert said == "sfddm: waits for one of 2 devices; SFDDM_JOBS_PER_DEVICE=1, and all are taken\n"


def test_several_jobs_share_a_device_where_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, folder: Path, start: Callable[..., Job], capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SFDDM_JOBS_PER_DEVICE", "2")
    see(monkeypatch, "GPU-a", "GPU-b")
    jobs = [start() for _ in range(5)]
    found = [job.index(0.5) for job in jobs]
    assert sorted(index for index in found if isinstance(index, int)) == [0, 0, 1, 1]
    assert found.count(None) == 1
    assert "SFDDM_JOBS_PER_DEVICE=2" in capfd.readouterr().err


def test_idle_devices_come_first(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv("SFDDM_JOBS_PER_DEVICE", "2")
    see(monkeypatch, "GPU-a", "GPU-b")
    with ExitStack() as stack:
        assert [stack.enter_context(leased_device()).index for _ in range(4)] == [0, 1, 0, 1]
    with leased_device() as device:
        assert device.index == 0


@pytest.mark.parametrize("value", ["0", "-1", "two", "", "1.5"])
def test_a_number_of_jobs_that_is_none(monkeypatch: pytest.MonkeyPatch, folder: Path, value: str) -> None:
    monkeypatch.setenv("SFDDM_JOBS_PER_DEVICE", value)
    see(monkeypatch, "GPU-a")
    with pytest.raises(SfddmError, match=f"SFDDM_JOBS_PER_DEVICE={value}: must be an integer, 1 or more"):
        leased_device().__enter__()


# --- another user ---------------------------------------------------------------------------------------------------


def modes(folder: Path) -> list[int]:
    return [path.stat().st_mode & 0o7777 for path in (folder, *sorted(folder.iterdir()))]


@pytest.mark.parametrize("older", [False, True], ids=["new folder", "folder of an earlier version"])
def test_the_umask_closes_nothing(
    monkeypatch: pytest.MonkeyPatch, folder: Path, start: Callable[..., Job], older: bool
) -> None:
    see(monkeypatch, "GPU-a")
    if older:
        folder.mkdir(mode=0o755)
    assert start(lambda: os.umask(0o077)).index() == 0
    assert modes(folder) == [0o1777, 0o666]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("nobody_first", [False, True])
def test_a_second_user_waits_for_the_first(
    monkeypatch: pytest.MonkeyPatch, folder: Path, start: Callable[..., Job], nobody_first: bool
) -> None:
    def become(uid: int) -> Callable[[], None]:
        def change() -> None:
            os.umask(0o077)
            os.setegid(uid)
            os.seteuid(uid)

        return change

    see(monkeypatch, "GPU-a", "GPU-b")
    users = [become(uid) for uid in ((NOBODY, 0) if nobody_first else (0, NOBODY))]
    first = start(users[0])
    assert first.index() == 0
    assert start(users[1]).index() == 1
    third = start(users[1])
    assert third.index(0.2) is None
    first.end()
    assert third.index() == 0
    assert modes(folder) == [0o1777, 0o666, 0o666]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_folder_that_another_user_closed_is_named(
    monkeypatch: pytest.MonkeyPatch, folder: Path, start: Callable[..., Job]
) -> None:
    see(monkeypatch, "GPU-a")
    folder.mkdir(mode=0o755)
    found = start(lambda: os.seteuid(NOBODY)).index()
    assert isinstance(found, str)
    assert found.startswith(f"{folder}/GPU-a-0.lock: cannot lock an accelerator (Permission denied)")


def test_a_lock_file_that_exists_is_opened_without_creating_it(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Linux refuses O_CREAT on another user's file in a folder like this one (fs.protected_regular)."""
    see(monkeypatch, "GPU-a")
    with leased_device():
        pass
    real_open = os.open

    def protected_open(path: Any, flags: int, *mode: Any, **options: Any) -> int:
        if Path(path).parent == folder and flags & os.O_CREAT and not flags & os.O_EXCL:
            raise PermissionError(13, "Permission denied")
        return real_open(path, flags, *mode, **options)

    monkeypatch.setattr(os, "open", protected_open)
    with leased_device() as device:
        assert device.index == 0
