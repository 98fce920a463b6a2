"""From a spec's data section to its stores."""

from __future__ import annotations

from pathlib import Path

from sfddm.data.spec import Source, Split
from sfddm.data.store import write_store
from sfddm.data.transform import prepare
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.progress import track


def fetch(data: Source, out: Path) -> None:
    """Write ``out/{split}/``, a store, for each of the data section's splits; progress goes to stderr.

    Each split is either whole afterwards or as it was before.

    Raises:
        SfddmError: the source is missing, unreachable, damaged or of mixed sizes, or no space is left.
    """
    for split in data.splits:
        try:
            _fetch_split(data, split, out / split)
        except OSError as error:
            raise SfddmError(f"{data.label} {split}: {error}") from None


def _fetch_split(data: Source, split: Split, folder: Path) -> None:
    examples = data.read_split(split).limited(data.limit)
    shape = (data.image_size, data.image_size, data.channels)
    write_store(
        folder,
        label=data.label,
        source=data.model_dump(mode="json"),
        shape=shape,
        examples=track(prepare(examples.items, shape, data.center_crop), f"{data.label} {split}", examples.count),
        count=examples.count,
        class_names=data.class_names or examples.class_names,
    )
