"""Which device a job computes on: one accelerator each, leased by a lock file, else the CPU."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import torch
from filelock import FileLock, Timeout


@contextmanager
def leased_device(threads: int | None = None) -> Iterator[torch.device]:
    """Yield the device of this job, and set torch's threads.

    Snakemake counts accelerators but hands out no numbers, so jobs side by side agree through lock files. A process
    that a launcher started (LOCAL_RANK is set) keeps the device the launcher gave it.
    """
    if threads:
        torch.set_num_threads(threads)
    if "LOCAL_RANK" in os.environ:
        rank = int(os.environ["LOCAL_RANK"])
        yield torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
        return
    count = torch.cuda.device_count()
    if count == 0:
        yield torch.device("cpu")
        return
    with ExitStack() as stack:
        index = _lease(stack, count)
        torch.cuda.set_device(index)
        yield torch.device("cuda", index)


def is_first_process() -> bool:
    """Whether this process writes the results: of several that a launcher started side by side, the first does."""
    return int(os.environ.get("RANK", "0")) == 0


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
