"""What this machine can give to jobs."""

from __future__ import annotations

import os
from pathlib import Path

QUOTA = Path("/sys/fs/cgroup/cpu.max")
MEMORY = Path("/sys/fs/cgroup/memory.max")


def available_cores(quota: Path = QUOTA) -> int:
    """Return how many cores this process may use, at least 1: its affinity, within a container's quota.

    Args:
        quota: the file in which Linux states the quota: "max" or microseconds, then the period in microseconds.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        allowance, period = quota.read_text(encoding="ascii").split()
        return cores if allowance == "max" else max(1, min(cores, int(allowance) // int(period)))
    except (OSError, ValueError):
        return cores


def memory(limit: Path = MEMORY) -> int:
    """Return how many bytes of memory this machine has, within a container's limit.

    Args:
        limit: the file in which Linux states the limit: "max" or bytes.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(physical, int(limit.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return physical
