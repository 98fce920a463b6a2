"""Progress of long work: a live bar on a terminal, a plain line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

Item = TypeVar("Item")

BAR_SECONDS, LOG_SECONDS = 0.5, 10.0


class Progress:
    """Shows steps done and in all, the rate, any figures and the time left on stderr. Use as a context manager.

    Args:
        title: what is going on, for example "teacher seed 0".
        total: steps in all; None where that is not known.
        size: units a step, for the rate.
        done: steps that an earlier run has done.
        unit: "images" or "bytes".
    """

    def __init__(self, title: str, total: int | None, size: int = 1, done: int = 0, unit: str = "images") -> None:
        self.title, self.total, self.size, self.unit = title, total, size, unit
        self.first = self.done = self.shown = done
        self.started = self.shown_at = time.monotonic()
        self.bar = _bar() if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self.bar:
            self.task = self.bar.add_task(self.title, total=self.total, completed=self.done, text="")
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None and self.done != self.shown:
            self.show(self.done)
        if self.bar:
            self.bar.stop()

    def add(self, steps: int = 1) -> None:
        """Count further steps and show them now and then."""
        self.done += steps
        if self.due(self.done):
            self.show(self.done)

    def due(self, done: int) -> bool:
        """Tell whether ``add`` would show it now; reading a loss from an accelerator only then saves a wait a step."""
        return done == self.total or time.monotonic() - self.shown_at >= (BAR_SECONDS if self.bar else LOG_SECONDS)

    def show(self, done: int, **figures: float) -> None:
        """Show ``done`` steps and any figures."""
        self.done = self.shown = done
        self.shown_at = time.monotonic()
        rate = (done - self.first) / max(self.shown_at - self.started, 1e-9)  # steps a second
        total = "?" if self.total is None else self._amount(self.total)
        parts = [f"{self._amount(done)}/{total}", self._speed(rate * self.size)]
        parts += [f"{name} {value:.4g}" for name, value in figures.items()]
        if self.total is not None and rate > 0:
            parts.append(f"{_clock((self.total - done) / rate)} left")
        text = "  ".join(parts)
        if self.bar:
            self.bar.update(self.task, completed=done, text=text)
        else:
            print(f"{self.title}  {text}", file=sys.stderr, flush=True)

    def _amount(self, steps: int) -> str:
        return _bytes(steps) if self.unit == "bytes" else f"{steps:,}"

    def _speed(self, units: float) -> str:
        return f"{_bytes(units)}/s" if self.unit == "bytes" else f"{units:,.0f} {self.unit}/s"


def track(items: Iterable[Item], title: str, total: int | None) -> Iterator[Item]:
    """Yield ``items`` while showing how many have gone by."""
    with Progress(title, total) as progress:
        for item in items:
            yield item
            progress.add()


def _bar() -> Bar:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    title, text = (TextColumn(field, markup=False) for field in ("{task.description}", "{task.fields[text]}"))
    return Progress(title, BarColumn(), text, console=Console(stderr=True))


def _bytes(count: float) -> str:
    from rich.filesize import decimal

    return decimal(int(count))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
