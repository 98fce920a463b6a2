"""Progress of long reading: a bar on a terminal, a plain line now and then in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Self, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

LOG_SECONDS = 15.0


class Progress:
    """Counts towards ``total`` (None: unknown) on stderr. Use as a context manager.

    Args:
        what: what is being done, for example "cifar10 train".
        total: how many units there will be.
        unit: "images" or "B"; bytes are shown with prefixes.
        start: units that were done before, for a download that is resumed.
    """

    def __init__(self, what: str, total: int | None, unit: str, start: int = 0) -> None:
        self._what, self._total, self._unit, self._start = what, total, unit, start
        self._done = start
        self._began = self._logged = time.monotonic()
        scale = unit == "B"
        self._bar = (
            tqdm(desc=what, total=total, unit=unit if scale else f" {unit}", unit_scale=scale, initial=start)
            if sys.stderr.isatty()
            else None
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif error is None:
            self._log()

    def add(self, amount: int) -> None:
        """Count ``amount`` more units."""
        self._done += amount
        if self._bar is not None:
            self._bar.update(amount)
        elif time.monotonic() - self._logged > LOG_SECONDS:
            self._log()

    def _log(self) -> None:
        self._logged = time.monotonic()
        elapsed = self._logged - self._began
        rate = (self._done - self._start) / max(elapsed, 1e-9)
        left = f", {(self._total - self._done) / rate:.0f} s left" if self._total and rate > 0 else ""
        total = "?" if self._total is None else f"{self._total:,}"
        text = f"{self._what}: {self._done:,}/{total} {self._unit}, {rate:,.0f} {self._unit}/s{left}"
        print(text, file=sys.stderr, flush=True)


def track(items: Iterable[Item], what: str, total: int | None) -> Iterator[Item]:
    """Yield ``items`` while showing how many images have gone by."""
    with Progress(what, total, "images") as progress:
        for item in items:
            yield item
            progress.add(1)
