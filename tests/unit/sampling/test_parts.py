"""A sampling that is interrupted anywhere gives the images, and the count of evaluations, of one that is not."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from support.exact_networks import tiny_denoiser

from sfddm.networks.model_folder import save_model
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.ddim import DDIM
from sfddm.sampling import images as sampling
from sfddm.sampling.parts import Made, make_in_parts, parts_folder, remove_parts
from sfddm.sampling.sections import RowSampling

COUNT, SIZE = 23, 4


class Stopped(Exception):
    """What kills the process in these tests."""


class Work:
    """Makes images that are their own numbers, two evaluations each, and stops before batch ``stop``."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop, self.evaluations, self.asked = stop, 0, list[int]()

    def make(self, first: int, count: int) -> NDArray[np.int64]:
        if self.stop == len(self.asked):
            raise Stopped
        self.asked.append(first)
        self.evaluations += 2 * count
        return np.arange(first, first + count)

    def run(self, state: Path, a_look: float) -> Made:
        ticks = clock(a_look)
        return make_in_parts(
            self.make, COUNT, SIZE, state, "a row", evaluations=lambda: self.evaluations, clock=lambda: next(ticks)
        )


def clock(a_look: float) -> Iterator[float]:
    """Yield times that are ``a_look`` seconds apart; a batch takes three looks."""
    now = 0.0
    while True:
        now += a_look
        yield now


@pytest.mark.parametrize("stop", range(6))
@pytest.mark.parametrize("a_look", [1.0, 10.0, 100.0])
def test_it_goes_on_where_it_was(tmp_path: Path, stop: int, a_look: float) -> None:
    state, first = tmp_path / "state", Work(stop)
    with pytest.raises(Stopped):
        first.run(state, a_look)
    second = Work()
    made = second.run(state, a_look)
    np.testing.assert_array_equal(made.images, np.arange(COUNT))
    assert made.evaluations == 2 * COUNT
    again = set(first.asked) & set(second.asked)
    assert len(again) == {1.0: stop, 10.0: stop % 2, 100.0: 0}[a_look], "at most a minute is made again"
    remove_parts(state)
    assert not state.exists()


def test_a_short_sampling_keeps_nothing(tmp_path: Path) -> None:
    Work().run(tmp_path / "state", 1.0)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize("place", [10, 150, -3])
def test_a_part_that_was_changed_is_refused(tmp_path: Path, place: int) -> None:
    with pytest.raises(Stopped):
        Work(4).run(tmp_path, 100.0)
    files = sorted(tmp_path.glob("images-*"))
    assert len(files) == 4
    content = bytearray(files[1].read_bytes())
    content[place] ^= 16
    files[1].write_bytes(content)
    with pytest.raises(SfddmError, match=rf"{files[1].name}: was changed since .*; delete {tmp_path} to start over"):
        Work().run(tmp_path, 1.0)
    (tmp_path / ".sfddm-outputs").unlink()
    files[1].write_bytes(b"{}")
    with pytest.raises(SfddmError, match="is no part of a sampling"):
        Work().run(tmp_path, 1.0)


def row(tmp_path: Path) -> Callable[..., bytes]:
    stage = RowSampling("one", "ddim", 4, (7, 23, 41, 63), DDIM(), 1.0, (1, 8, 8), 10, 0, 3)
    save_model(tmp_path / "model", tiny_denoiser(), {"depends_on": {}, "method": "teacher", "fold": "teacher"})

    def sampled(name: str, **options: Any) -> bytes:
        out = tmp_path / name / "samples.npy"
        out.parent.mkdir(exist_ok=True)
        state = tmp_path / "state"
        sampling.sample_row(
            replace(stage, **options), [tmp_path / "model"], out, device=torch.device("cpu"), state=state
        )
        return out.read_bytes()

    return sampled


def test_a_row_that_was_interrupted_is_the_same_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sampled, draw, left = row(tmp_path), sampling.draw, [2]
    expected = sampled("whole")

    def failing(*arguments: Any) -> torch.Tensor:
        if not left[0]:
            raise Stopped
        left[0] -= 1
        return draw(*arguments)

    monkeypatch.setattr("sfddm.sampling.parts.KEPT_EVERY", 0.0)
    monkeypatch.setattr(sampling, "draw", failing)
    with pytest.raises(Stopped):
        sampled("parts")
    assert len(list((tmp_path / "state").glob("*/images-*"))) == 2
    left[0] = 2  # of the four batches two are left
    assert sampled("parts") == expected
    whole, parts = (json.loads((tmp_path / name / "samples.json").read_text()) for name in ("whole", "parts"))
    assert whole["nfe"] == parts["nfe"] == 4
    assert not list((tmp_path / "state").iterdir())


def test_parts_are_of_this_sampling_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_model(tmp_path / name, tiny_denoiser(seed=ord(name)), {"depends_on": {}})
    key = {"seed": 0}
    one = parts_folder(tmp_path, key, [tmp_path / "a"])
    assert one == parts_folder(tmp_path, {"seed": 0}, [tmp_path / "a"])
    others = [parts_folder(tmp_path, {"seed": 1}, [tmp_path / "a"]), parts_folder(tmp_path, key, [tmp_path / "b"])]
    assert one not in others
    assert one.parent == tmp_path
