"""The progress display: what a log's lines and a terminal's bar say."""

from __future__ import annotations

import io
import re
import sys

import pytest

from sfddm.runtime import progress
from sfddm.runtime.progress import Progress, track


class Clock:
    """A clock that a test turns."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr(progress, "time", turned)
    return turned


def test_a_log_gets_a_line_every_few_seconds_and_one_at_the_end(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in track(range(1000), "digits train", 1000):
        clock.now += 0.025
    assert capsys.readouterr().err.splitlines() == [
        "digits train  400/1,000  40 images/s  0:15 left",
        "digits train  800/1,000  40 images/s  0:05 left",
        "digits train  1,000/1,000  40 images/s  0:00 left",
    ]


def test_a_training_shows_its_loss_and_counts_its_rate_from_where_it_was_resumed(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("teacher seed 0", 10_000, 128, 9_000) as shown:
        assert not shown.due(9_010)
        clock.now += 10
        assert shown.due(9_010)
        shown.show(9_010, loss=0.123456)
    line = "teacher seed 0  9,010/10,000  128 images/s  loss 0.1235  16:30 left\n"
    assert capsys.readouterr().err == line


def test_bytes_of_unknown_length_are_shown_without_the_time_left(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("c.tar.gz", None, done=500_000, unit="bytes") as shown:
        clock.now += 2
        shown.add(3_000_000)
    assert capsys.readouterr().err == "c.tar.gz  3.5 MB/?  1.5 MB/s\n"


def test_nothing_is_said_after_an_error(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), Progress("features", 10) as shown:
        [shown.add(3 // left) for left in (1, 0)]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_one_bar_with_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with Progress("[digits] train", 40, 64) as shown:
        shown.add(30)
        shown.show(40, loss=0.5)
    last = re.sub(r"\x1b\[[?0-9;]*[A-Za-z]", "", terminal.getvalue()).strip().splitlines()[-1]
    assert re.fullmatch(r"\[digits\] train ━+ 40/40  [\d,]+ images/s  loss 0.5  0:00 left *", last)
