"""Images in parts, so that an interrupted sampling goes on where it was.

Image k is a function of its number, so that parts made by two processes are those of one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import CONTENT_SHA256, digest_of, read_json, whole_file
from sfddm.runtime.outputs import LEDGER
from sfddm.runtime.progress import Progress
from sfddm.runtime.unchanged import check_unchanged

#: Seconds of sampling that are lost at most.
KEPT_EVERY = 60.0


@dataclass(frozen=True)
class Made:
    """Images by number, (N, ...), the seconds that they took and the network evaluations for all of them."""

    images: NDArray[Any]
    seconds: float
    evaluations: int


def make_in_parts(
    make: Callable[[int, int], NDArray[Any]],
    count: int,
    batch_size: int,
    state: Path,
    title: str,
    *,
    evaluations: Callable[[], int],
    clock: Callable[[], float] = time.monotonic,
) -> Made:
    """Return images 0 .. count - 1; what an earlier call of the same sampling kept in ``state`` is not made again.

    A sampling of less than a minute keeps nothing. What was kept is removed by the caller once the result is stored.

    Args:
        make: (first, n) -> images first .. first + n - 1, (n, ...).
        count: how many.
        batch_size: images at a time.
        state: the folder for parts, of this sampling alone; it is made if need be.
        title: names the sampling in the log.
        evaluations: how many network evaluations ``make`` has taken in this process so far.
        clock: seconds.

    Raises:
        SfddmError: what was kept was changed since.
    """
    done = _read(state)
    first = sum(len(part.images) for part in done)
    asked, kept_at = evaluations(), clock()
    new, seconds = list[NDArray[Any]](), 0.0

    def part() -> Made:
        return Made(np.concatenate(new), seconds, evaluations() - asked)

    with Progress(title, -(-count // batch_size), batch_size, done=-(-first // batch_size)) as progress:
        while first < count:
            size = min(batch_size, count - first)
            started = clock()
            new.append(make(first, size))
            seconds += clock() - started
            first += size
            progress.add()
            if clock() - kept_at >= KEPT_EVERY and first < count:
                _write(state, first, part())
                done.append(part())
                asked, kept_at, new, seconds = evaluations(), clock(), [], 0.0
    done += [part()] if new else []
    images = np.concatenate([one.images for one in done])
    return Made(images, sum(one.seconds for one in done), sum(one.evaluations for one in done))


def parts_folder(state: Path | None, key: dict[str, Any], models: Sequence[Path]) -> Path:
    """Return the folder of a sampling's parts, named after all that its images are a function of.

    Args:
        state: where such folders live; None: reports/state.
        key: of the stage.
        models: the model folders.
    """
    cards = [read_json(model / "card.json")[CONTENT_SHA256] for model in models]
    return (state or Path("reports/state")) / digest_of(key | {"models": cards})[:16]


def remove_parts(state: Path) -> None:
    """Remove what a finished sampling kept."""
    for file in (*state.glob("images-*.safetensors"), state / LEDGER):
        file.unlink(missing_ok=True)
    with suppress(OSError):  # there is none, or something else is in it
        state.rmdir()


def _write(state: Path, end: int, part: Made) -> None:
    from safetensors.numpy import save_file

    state.mkdir(parents=True, exist_ok=True)
    facts = {"seconds": repr(part.seconds), "evaluations": str(part.evaluations)}
    with whole_file(state / f"images-{end - len(part.images):08}.safetensors") as temporary:
        save_file({"images": part.images}, temporary, facts)


def _read(state: Path) -> list[Made]:
    """Return the parts from image 0 on, up to the first that is missing: from there on all is made again.

    Raises:
        SfddmError: a part was changed, or is none.
    """
    from safetensors import SafetensorError, safe_open

    found: list[Made] = []
    while (file := state / f"images-{sum(len(part.images) for part in found):08}.safetensors").is_file():
        check_unchanged(file, again=f"delete {state} to start over")
        try:
            with safe_open(file, "numpy") as content:
                images, facts = content.get_tensor("images"), content.metadata()
            found.append(Made(images, float(facts["seconds"]), int(facts["evaluations"])))
        except (SafetensorError, KeyError, ValueError, TypeError):
            raise SfddmError(f"{file}: is no part of a sampling; delete {state} to start over") from None
        if not len(images):
            raise SfddmError(f"{file}: holds no image; delete {state} to start over")
    return found
