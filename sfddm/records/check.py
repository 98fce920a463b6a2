"""Runs and records as a whole: which of their files are as they were written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.unchanged import remake, states_below


def check(places: Sequence[Path]) -> bool:
    """Print a sentence for each output that was changed or is gone, and a line for each place; return whether none is.

    Files without a digest, of earlier editions or a stranger's, are counted but are no fault.

    Args:
        places: folders of runs or of records, whatever lies below them, or single files.

    Raises:
        SfddmError: a place does not exist, or a list of outputs is none.
    """
    return all([_check(place) for place in places])


def _check(place: Path) -> bool:
    if not place.exists():
        raise SfddmError(f"{place}: no such file or folder; give a run, a record or a file in one")
    counts: Counter[str] = Counter()
    for path, state in states_below(place):
        counts[state] += 1
        if state == "changed":
            print(f"{path}: was changed since it was written; {remake(path)}")
        elif state == "gone":
            print(f"{path}: is gone; {remake(path)}")
    told = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "nothing there"
    print(f"{place}: {told}")
    return not counts["changed"] and not counts["gone"]
