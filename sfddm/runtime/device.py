"""Which device a job computes on, and which process of several it is.

Snakemake counts accelerators but hands out no numbers (snakemake#281), so jobs side by side lease one through lock
files named by the device's UUID: indices are relative to CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from sfddm.runtime.errors import SfddmError

#: How many jobs share an accelerator; the environment may say more than one.
JOBS_PER_DEVICE = "SFDDM_JOBS_PER_DEVICE"
_RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
#: Sizes from which accelerate would start a distributed training of its own.
_MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_POLL_SECONDS = 1.0


@dataclass(frozen=True)
class Launched:
    """Which of the processes that torchrun started this one is, over all machines and on its own."""

    rank: int
    local_rank: int


def launched() -> Launched | None:
    """Return this process's place among those that torchrun started; None where nothing launched it.

    Raises:
        SfddmError: a launcher's variables are set, but not as torchrun sets them.
    """
    found = {name: os.environ[name] for name in _RANKS if name in os.environ}
    if not found:
        for name in _MPI_SIZES:
            if os.environ.get(name, "1") != "1":
                raise SfddmError(f"{name}={os.environ[name]}: several processes are started with torchrun, not by MPI")
        return None
    said = ", ".join(f"{name}={value}" for name, value in found.items())
    advice = "start several processes with torchrun, or unset what another launcher left in the environment"
    if missing := [name for name in (*_RANKS, *_ADDRESS) if not os.environ.get(name)]:
        raise SfddmError(f"{said}: {', '.join(missing)} must be set too; {advice}")
    if not all(value.isascii() and value.isdigit() for value in found.values()):
        raise SfddmError(f"{said}: must be integers, 0 or more; {advice}")
    rank, size, local_rank, local_size = (int(found[name]) for name in _RANKS)
    if not (local_rank <= rank < size and local_rank < local_size <= size):
        order = "LOCAL_RANK <= RANK < WORLD_SIZE and LOCAL_RANK < LOCAL_WORLD_SIZE <= WORLD_SIZE"
        raise SfddmError(f"{said}: must fit {order}; {advice}")
    return Launched(rank, local_rank)


def is_first_process() -> bool:
    """Whether this process writes the results: of several that torchrun started side by side, the first does.

    Raises:
        SfddmError: as :func:`launched`.
    """
    place = launched()
    return place is None or place.rank == 0


@contextmanager
def leased_device(threads: int | None = None) -> Iterator[torch.device]:
    """Yield the device of this job, and set torch's threads.

    A process that torchrun started keeps the device that torchrun gave it. Any other waits until it has an accelerator
    that fewer than SFDDM_JOBS_PER_DEVICE (default 1) jobs of this machine use, or computes on the CPU where there is
    none.

    Raises:
        SfddmError: as :func:`launched`, SFDDM_JOBS_PER_DEVICE is no number, or the lock files cannot be written.
    """
    place = launched()
    if threads:
        torch.set_num_threads(threads)
    count = torch.cuda.device_count()
    if count == 0:
        yield torch.device("cpu")
        return
    if place:
        if place.local_rank >= count:
            raise SfddmError(f"LOCAL_RANK={place.local_rank}: must be below the number of devices, {count}")
        yield torch.device("cuda", place.local_rank)
        return
    with ExitStack() as stack:
        index = _lease(stack, count)
        torch.cuda.set_device(index)
        yield torch.device("cuda", index)


def _lease(stack: ExitStack, count: int) -> int:
    """Lock one of the visible devices until the stack closes, waiting for it if need be, and return its index."""
    folder, jobs = _lock_folder(), _jobs_per_device()
    names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(count)]
    said = False
    while True:
        for slot in range(jobs):  # the slots outside: a second job goes to an idle device where there is one
            for index, name in enumerate(names):
                if _lock(stack, folder / f"{name}-{slot}.lock"):
                    return index
        if not said:
            which = "the device" if count == 1 else f"one of {count} devices"
            print(f"sfddm: waits for {which}; {JOBS_PER_DEVICE}={jobs}, and all are taken", file=sys.stderr, flush=True)
            said = True
        time.sleep(_POLL_SECONDS)


def _jobs_per_device() -> int:
    value = os.environ.get(JOBS_PER_DEVICE, "1")
    if not (value.isascii() and value.isdigit() and int(value)):
        raise SfddmError(f"{JOBS_PER_DEVICE}={value}: must be an integer, 1 or more")
    return int(value)


def _lock_folder() -> Path:
    """Return the folder of the lock files, in which every user of the machine can make some."""
    folder = Path(tempfile.gettempdir()) / "sfddm-devices"
    with _no_umask():
        folder.mkdir(mode=0o1777, exist_ok=True)
    with suppress(PermissionError):  # another user's, who did the same
        folder.chmod(0o1777)
    return folder


@contextmanager
def _no_umask() -> Iterator[None]:
    """Let what is made in the block have the mode that is asked for."""
    mask = os.umask(0)
    try:
        yield
    finally:
        os.umask(mask)


def _lock(stack: ExitStack, path: Path) -> bool:
    """Lock a file until the stack closes; False where another process holds it.

    Raises:
        SfddmError: the file cannot be opened.
    """
    try:
        handle = _open_for_all(path)
    except OSError as error:
        raise SfddmError(f"{path}: cannot lock an accelerator ({error.strerror}); make its folder writable") from None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    stack.callback(os.close, handle)
    return True


def _open_for_all(path: Path) -> int:
    """Open a file that every user may lock, and make it if need be.

    With O_CREAT Linux refuses another user's file in a folder like this (fs.protected_regular), so an existing one is
    opened without.
    """
    try:
        with _no_umask():
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_NOFOLLOW)
