"""Thousands of damaged files, of every kind that sfddm reads: each is named in one sentence, or is what it then says.

``SFDDM_FAULTS`` is how many are tried, ``SFDDM_FAULTS_SEED`` which; ``make faults`` tries 10,000.
"""

from __future__ import annotations

import os
import resource
import time
from collections import Counter
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from random import Random

import pytest
from support.mutations import mutated
from support.readable_files import Readable, foreign, outputs, written_by_people

from sfddm.runtime.errors import SfddmError

COUNT = int(os.environ.get("SFDDM_FAULTS", "500"))
SEED = int(os.environ.get("SFDDM_FAULTS_SEED", "0"))
#: Seconds that reading a small damaged file may take, and bytes that all of it may add to the process.
LONGEST, MOST_MEMORY = 20.0, 1 << 30
GOOD = ("refused by name", "read as what it then says")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Readable]:
    folders = [tmp_path_factory.mktemp(name) for name in ("outputs", "people", "foreign")]
    found = [*outputs(folders[0]), *written_by_people(folders[1]), *foreign(folders[2])]
    for file in found:
        with redirect_stderr(StringIO()):
            file.read()
    return found


def outcome(file: Readable) -> str:
    started = time.monotonic()
    try:
        with redirect_stderr(StringIO()):
            file.read()
        found = "silently wrong" if file.listed else "read as what it then says"
    except SfddmError as error:
        named = any(part in str(error) for part in (file.path.name, file.path.parent.name, file.path.parents[1].name))
        found = "refused by name" if named and "\n" not in str(error) else f"refused without its name: {error}"
    except Exception as error:
        found = f"traceback: {type(error).__name__}: {error}"
    return found if time.monotonic() - started < LONGEST else f"slow: {time.monotonic() - started:.0f} s"


def test_damaged_files(files: list[Readable]) -> None:
    print(f"\n{COUNT} mutations, seed {SEED}")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    counts: Counter[str] = Counter()
    bad: list[str] = []
    for number in range(COUNT):
        file, random = files[number % len(files)], Random(f"{SEED} {number}")
        whole = file.path.read_bytes()
        file.path.write_bytes(mutated(whole, file.path.name, random))
        found = outcome(file)
        file.path.write_bytes(whole)
        counts[found.partition(":")[0]] += 1
        if found not in GOOD:
            bad.append(f"{number} {file.name}: {found}")
    print(", ".join(f"{count} {name}" for name, count in sorted(counts.items())))
    assert not bad, "\n".join(bad)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < MOST_MEMORY


def test_a_change_is_told_from_none(tmp_path: Path) -> None:
    """The judge itself: an unlisted file that is used, one that is refused, one that breaks."""
    path = tmp_path / "it.json"
    path.write_text("1")

    def refuse() -> None:
        raise SfddmError(f"{path}: no")

    assert outcome(Readable("x", path, path.read_text)) == "read as what it then says"
    assert outcome(Readable("x", path, path.read_text, listed=True)) == "silently wrong"
    assert outcome(Readable("x", path, refuse)) == "refused by name"
    assert outcome(Readable("x", path, lambda: 1 / 0)).startswith("traceback: ZeroDivisionError")
