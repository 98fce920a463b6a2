"""Parquet files of a data set repository on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from sfddm.data.examples import Examples
from sfddm.data.sources.parquet import read_files
from sfddm.data.spec import Hub, Split
from sfddm.runtime.errors import SfddmError


def read_split(data: Hub, split: Split) -> Examples:
    """Return the rows of the split's parquet files at the pinned revision.

    Files that are in the hub's cache are not fetched again.

    Raises:
        SfddmError: a file cannot be fetched, is not parquet or lacks a column.
    """
    return read_files([_fetch(data, name) for name in data.files[split]], data.image_column, data.label_column)


def _fetch(data: Hub, name: str) -> Path:
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError, RepositoryNotFoundError

    place = f"{name} of the data set {data.repo} at revision {data.revision}"
    try:
        return Path(huggingface_hub.hf_hub_download(data.repo, name, repo_type="dataset", revision=data.revision))
    except LocalEntryNotFoundError:
        raise SfddmError(
            f"{place}: the hub cannot be reached and the file is not in its cache; "
            "put the file anywhere and name it in data.files of the source parquet"
        ) from None
    except (RepositoryNotFoundError, EntryNotFoundError, OSError, ValueError) as error:
        raise SfddmError(f"{place}: cannot be fetched ({' '.join(str(error).split())})") from None
