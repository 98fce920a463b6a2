"""Progress of long work: a live bar on a terminal, a plain line every few seconds in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

LOG_SECONDS = 10.0


class ProgressLog:
    """Shows current/total, images a second, time left and the loss. Everything goes to stderr.

    Args:
        title: what is going on, for example "teacher seed 0".
        total: steps in all.
        images_per_step: images a step, for the rate.
        done: steps that an earlier run has done.
    """

    def __init__(self, title: str, total: int, images_per_step: int, done: int = 0) -> None:
        self.title, self.total, self.images_per_step, self.first = title, total, images_per_step, done
        self.started = self.logged = time.monotonic()
        self.bar: Progress | None = None
        if sys.stderr.isatty():
            columns = (
                "{task.description}",
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[detail]}"),
            )
            self.bar = Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True))
            self.task = self.bar.add_task(title, total=total, completed=done, detail="")

    def __enter__(self) -> Self:
        if self.bar:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar:
            self.bar.stop()

    def due(self, done: int) -> bool:
        """Tell whether ``show`` would print now; reading a loss from an accelerator only then saves a wait a step."""
        now = time.monotonic()
        return done == self.total or now - self.logged >= (0.5 if self.bar else LOG_SECONDS)

    def show(self, done: int, **figures: float) -> None:
        """Show ``done`` of ``total`` steps and any figures."""
        self.logged = time.monotonic()
        rate = (done - self.first) * self.images_per_step / max(self.logged - self.started, 1e-9)
        shown = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        detail = f"{rate:,.0f} images/s  {shown}"
        if self.bar:
            self.bar.update(self.task, completed=done, detail=detail)
            return
        left = (self.total - done) * self.images_per_step / max(rate, 1e-9)
        print(f"{self.title}  {done}/{self.total}  {detail}  {_clock(left)} left", file=sys.stderr, flush=True)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
