"""Parquet files of a data set repository on the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from sfddm.data.examples import Examples
from sfddm.data.sources.parquet import read_files
from sfddm.data.spec import ImageSource, Split
from sfddm.runtime.errors import SfddmError


class Hub(ImageSource):
    """Parquet files of a data set repository on the Hugging Face hub at a pinned revision."""

    name = "hub"

    repo: Annotated[str, Field(pattern=r"^[\w.-]+(/[\w.-]+)?$")]
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    files: dict[Split, Annotated[tuple[str, ...], Field(min_length=1)]]
    image_column: str = "image"
    label_column: str | None = None

    @model_validator(mode="after")
    def _complete(self) -> Hub:
        self.require("files", self.files)
        return self

    @property
    def labelled(self) -> bool:
        """Whether a column holds labels."""
        return self.label_column is not None

    def read_split(self, split: Split) -> Examples:
        """Return the rows of the split's parquet files at the pinned revision.

        Files that are in the hub's cache are not fetched again.

        Raises:
            SfddmError: a file cannot be fetched, is not parquet or lacks a column.
        """
        return read_files([_fetch(self, name) for name in self.files[split]], self.image_column, self.label_column)


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
