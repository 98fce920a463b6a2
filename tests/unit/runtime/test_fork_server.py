"""Jobs that a server forks: they are the caller's in every respect, and end with it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from sfddm.runtime import fork_server

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-c", "from sfddm.runtime.fork_server import main; main()"]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """The environment in which a server answers."""
    monkeypatch.setattr(fork_server, "MODULES", ("sfddm.cli",))
    monkeypatch.setenv(fork_server.ADDRESS, "")
    with _server() as found:
        yield found


@contextmanager
def _server() -> Iterator[dict[str, str]]:
    server = fork_server.start(images=False)
    address = Path(os.environ[fork_server.ADDRESS])
    _wait(address.exists)
    yield dict(os.environ)
    assert server.stdin is not None
    server.stdin.close()
    assert server.wait(timeout=10) == 0
    assert not address.parent.exists()


def _wait(condition) -> None:
    until = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < until, "took too long"
        time.sleep(0.01)


def _run(arguments: list[str], environment: dict[str, str], folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments], check=False, env=environment, cwd=folder, capture_output=True, text=True
    )


def test_a_forked_job_says_what_the_command_says_by_itself(environment: dict[str, str]) -> None:
    alone = {name: value for name, value in environment.items() if name != fork_server.ADDRESS}
    for arguments in (["spec", "check", "params/smoke.yaml"], ["spec", "check", "nowhere.yaml"], ["--no-such-option"]):
        forked, cold = _run(arguments, environment), _run(arguments, alone)
        assert (forked.returncode, forked.stdout, forked.stderr) == (cold.returncode, cold.stdout, cold.stderr)
    assert forked.returncode == 2


def test_a_forked_job_works_in_the_callers_folder(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text("name: 3\n", encoding="utf-8")
    done = _run(["spec", "check", "spec.yaml"], environment, tmp_path)
    alone = {name: value for name, value in environment.items() if name != fork_server.ADDRESS}
    assert done.stderr == _run(["spec", "check", "spec.yaml"], alone, tmp_path).stderr
    assert done.stderr != _run(["spec", "check", "spec.yaml"], environment).stderr


def test_a_forked_job_uses_as_many_threads_as_its_environment_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The libraries were loaded when nothing was said; the module below makes the command tell what they use."""
    (tmp_path / "tell_threads.py").write_text(
        "import numpy, scipy.linalg, sfddm.cli, threadpoolctl\n"
        "sfddm.cli.main = lambda: print({pool['num_threads'] for pool in threadpoolctl.threadpool_info()})\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path), str(ROOT))))
    monkeypatch.setattr(fork_server, "MODULES", ("tell_threads",))
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setenv(fork_server.ADDRESS, "")
    with _server() as environment:
        assert _run([], environment | {"OMP_NUM_THREADS": "1"}).stdout == "{1}\n"


def test_without_a_server_the_command_runs_by_itself(tmp_path: Path) -> None:
    environment = dict(os.environ) | {fork_server.ADDRESS: str(tmp_path / "nobody")}
    assert fork_server.ask(environment[fork_server.ADDRESS], []) is None
    assert _run(["spec", "check", "params/smoke.yaml"], environment).returncode == 0


def test_an_address_too_long_for_a_socket_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fork_server.serve(str(tmp_path / ("long" * 40)), [])
    said = capsys.readouterr().err
    assert said.startswith("sfddm: jobs start by themselves: ")
    assert said.count("\n") == 1


def _job_that_waits(environment: dict[str, str], tmp_path: Path) -> tuple[subprocess.Popen[str], int]:
    """Start a job that waits to read a pipe, and return it with the number of the forked process."""
    os.mkfifo(tmp_path / "pipe.yaml")
    before = _children()
    caller = subprocess.Popen([*COMMAND, "spec", "check", str(tmp_path / "pipe.yaml")], env=environment, cwd=ROOT)
    _wait(lambda: _children() - before)
    (job,) = _children() - before
    return caller, job


def _children() -> set[int]:
    """Return the processes whose parent is a server."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(status.read_text().rsplit(")", 1)[1].split()[1])
            words = Path(f"/proc/{parent}/cmdline").read_text().split("\0")
        except (OSError, IndexError):
            continue
        if "sfddm.runtime.fork_server" in words:
            found.add(int(status.parent.name))
    return found


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="counts processes in /proc")


@needs_proc
def test_a_forked_job_ends_with_its_caller(environment: dict[str, str], tmp_path: Path) -> None:
    caller, job = _job_that_waits(environment, tmp_path)
    caller.kill()
    caller.wait()
    _wait(lambda: job not in _children())


@needs_proc
def test_a_job_that_is_killed_has_failed(environment: dict[str, str], tmp_path: Path) -> None:
    caller, job = _job_that_waits(environment, tmp_path)
    os.kill(job, signal.SIGKILL)
    assert caller.wait(timeout=10) == 1


def test_an_address_has_a_folder_that_only_its_user_can_enter(environment: dict[str, str]) -> None:
    folder = Path(environment[fork_server.ADDRESS]).parent
    assert folder.stat().st_mode & 0o077 == 0


def test_what_is_imported_beforehand_is_there() -> None:
    for name in (*fork_server.MODULES, *fork_server.FOLDERS, *fork_server.IMAGE_MODULES):
        assert find_spec(name) is not None, name
