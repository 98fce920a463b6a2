"""Starts the jobs of a Snakemake run in a tenth of a second: one process imports torch once and forks for each job.

A job is an ``sfddm`` command, and its imports take two to three seconds of a core. The server imports them once and
listens on a Unix socket. :func:`main`, the command ``sfddm``, sends it the command line, the folder, the environment
and the three standard streams; the forked child takes them over, runs the command and hands back its exit status.
Where no server answers, the command runs in its own process, as ever.
"""

from __future__ import annotations

import importlib
import json
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

#: The environment variable that holds the server's address.
ADDRESS = "SFDDM_FORK_SERVER"
#: What jobs import that takes long.
MODULES = (
    "torch._dynamo",  # which any optimiser imports
    "scipy.special",
    "sfddm.cli",
    "sfddm.training.student",
    "sfddm.training.teacher",
    "sfddm.sampling.images",
    "sfddm.sampling.pairs",
    "sfddm.evaluation.score",
)
#: Folders of which they import everything, to know what a spec may name.
FOLDERS = (
    "sfddm.data.sources",
    "sfddm.methods",
    "sfddm.networks.kinds",
    "sfddm.samplers",
    "sfddm.extractors",
    "sfddm.evaluation.metrics",
    "sfddm.evaluation.measurements",
)
#: And what those of images import besides.
IMAGE_MODULES = ("sfddm.networks.diffusers_unet", "efficientnet_lite_pytorch")


def main() -> None:
    """Run the command line: in a child of the server where one answers, else here."""
    address = os.environ.get(ADDRESS)
    status = None if address is None else ask(address, sys.argv[1:])
    if status is not None:
        raise SystemExit(status)
    _command_line()


def _command_line() -> None:
    importlib.import_module("sfddm.cli").main()  # by name: what runs commands depends on none


def start(images: bool) -> subprocess.Popen[bytes]:
    """Start a server that lives as long as this process, and let the processes that this one starts find it.

    It answers once it has imported what jobs need, for ``images`` some more; until then commands run in their own
    processes.
    """
    modules = MODULES + (IMAGE_MODULES if images else ())
    address = str(Path(tempfile.mkdtemp(prefix="sfddm-")) / "socket")  # a folder that only this user can enter
    os.environ[ADDRESS] = address
    # The server reads the end of its standard input when this process ends, however it ends.
    return subprocess.Popen(
        [sys.executable, "-m", "sfddm.runtime.fork_server", address, *modules], stdin=subprocess.PIPE
    )


def ask(address: str, arguments: list[str]) -> int | None:
    """Let the server run a command and return its exit status; None where there is no server."""
    request = {"arguments": arguments, "folder": os.getcwd(), "environment": dict(os.environ)}
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(address)
            socket.send_fds(connection, [b"!"], [0, 1, 2])
        except OSError:
            return None
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = connection.recv(1)
        except KeyboardInterrupt:
            return 130
    if not answer:
        print(f"sfddm: {' '.join(arguments[:1])}: the job was killed", file=sys.stderr)
        return 1
    return answer[0]


def serve(address: str, modules: Iterable[str]) -> None:
    """Import ``modules`` and ``FOLDERS``, then fork for each command that is asked for, until standard input ends."""
    from sfddm.runtime.registry import import_folder

    for name in modules:
        importlib.import_module(name)
    for folder in FOLDERS:
        import_folder(folder)
    with socket.socket(socket.AF_UNIX) as listener, selectors.DefaultSelector() as selector:
        try:
            listener.bind(address)
        except OSError as error:  # the path of the temporary folder may be too long for a socket
            print(f"sfddm: jobs start by themselves: {address}: {error}", file=sys.stderr)
            return
        listener.listen(64)
        selector.register(listener, selectors.EVENT_READ)
        selector.register(sys.stdin, selectors.EVENT_READ)
        while all(key.fileobj is listener for key, _ in selector.select()):
            connection, _ = listener.accept()
            with connection:
                if os.fork() == 0:
                    listener.close()
                    _run(connection)
    shutil.rmtree(Path(address).parent, ignore_errors=True)


def _run(connection: socket.socket) -> None:
    """Be the job: take over what the caller has, run the command line, hand back its exit status, and end."""
    status = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, streams, _, _ = socket.recv_fds(connection, 1, 3)
        for place, stream in enumerate(streams):
            os.dup2(stream, place)
            os.close(stream)
        request = json.loads(connection.makefile("rb").readline())
        os.chdir(request["folder"])
        os.environ.clear()
        os.environ.update(request["environment"])
        _take_threads()
        sys.argv[1:] = request["arguments"]
        threading.Thread(target=_end_with, args=(connection,), daemon=True).start()
        _command_line()
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):  # the caller, or who read its streams, may be gone
            sys.stdout.flush()
            sys.stderr.flush()
            connection.send(bytes([status]))
        os._exit(status)


def _take_threads() -> None:
    """Use as many threads as the job's environment says; libraries that are loaded no longer look there themselves."""
    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        from threadpoolctl import threadpool_limits

        threadpool_limits(int(threads))


def _end_with(connection: socket.socket) -> None:
    """End this process once the caller is gone."""
    connection.recv(1)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the jobs
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system forgets children that have ended
    serve(sys.argv[1], sys.argv[2:])
