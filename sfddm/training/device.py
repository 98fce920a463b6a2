"""Which device a job computes on, and which process of several it is."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from sfddm.errors import SfddmError

_RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
_ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
#: Sizes from which accelerate would start a distributed training of its own.
_MPI_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


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

    Snakemake counts accelerators but hands out no numbers, so jobs side by side agree through lock files. A process
    that torchrun started keeps the device that torchrun gave it.

    Raises:
        SfddmError: as :func:`launched`.
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
    folder = Path(tempfile.gettempdir()) / "sfddm-devices"
    folder.mkdir(mode=0o777, exist_ok=True)
    while True:
        for index in range(count):
            lock = FileLock(folder / f"{index}.lock", timeout=0)
            try:
                stack.enter_context(lock.acquire())
                return index
            except Timeout:
                continue
        time.sleep(1.0)
