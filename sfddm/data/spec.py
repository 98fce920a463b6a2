"""Where images come from: what every source states. The sources themselves are in ``sfddm/data/sources``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, field_validator
from pydantic.functional_serializers import SerializeAsAny

from sfddm.runtime.strict import Registered, Strict

if TYPE_CHECKING:
    from sfddm.data.examples import Examples

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Split = Literal["train", "test"]


class Download(Strict):
    """A file on the network: its address and the digest it must have."""

    url: Annotated[str, Field(pattern=r"^https?://[^/]+/.*[^/]$")]
    sha256: Sha256


class Source(Strict, ABC):
    """A source: the data section of a spec, and how to read what it names.

    A new one is one file in ``sfddm/data/sources``, or a plug-in, with a class derived from this one or from
    ``ImageSource``. Its module is imported whenever a spec is read, so it imports what is heavy inside functions.

    Attributes:
        name: the value of ``source`` in a spec.
        points: whether values are points in the plane, kept as images of one pixel, instead of images.
        source: names the source.
        label: how figures from these images are labelled.
        limit: keep only so many images of each split, spread evenly over it; None keeps all.
        splits: the splits to store.
        class_names: names of labels 0, 1, ...; empty where the source knows them itself or there are none.
        image_size: height and width after cropping and resizing, in pixels.
        channels: of an image in the store.
        center_crop: side of the square cut out of the middle before resizing; None cuts the largest square.
    """

    name: ClassVar[str]
    points: ClassVar[bool] = False

    source: str
    label: str
    limit: Annotated[int, Field(ge=1)] | None = None
    splits: Annotated[tuple[Split, ...], Field(min_length=1)] = ("train",)
    class_names: tuple[str, ...] = ()
    image_size: int
    channels: int
    center_crop: int | None = None

    @field_validator("splits")
    @classmethod
    def _splits_differ(cls, splits: tuple[Split, ...]) -> tuple[Split, ...]:
        if len(set(splits)) < len(splits):
            raise ValueError("names a split twice")
        return splits

    @property
    def labelled(self) -> bool:
        """Whether images have labels, as far as the section tells; False only where none can have one."""
        return True

    def require(self, key: str, places: Mapping[Split, object]) -> None:
        """Check that ``places``, the value of ``key``, has an entry for each of the splits.

        Raises:
            ValueError: it has not, which pydantic tells with the section's other errors.
        """
        missing = [split for split in self.splits if split not in places]
        if missing:
            raise ValueError(f"{key} has no entry for {', '.join(missing)}, which splits asks for")

    @abstractmethod
    def read_split(self, split: Split) -> Examples:
        """Return one split; files are found, downloaded and checked now, images are read one after another.

        Raises:
            SfddmError: a file is missing, cannot be downloaded, or is damaged.
        """


class ImageSource(Source):
    """A source of images: grey (1 channel) or RGB (3)."""

    image_size: Annotated[int, Field(ge=2, le=1024)]
    channels: Literal[1, 3]
    center_crop: Annotated[int, Field(ge=1)] | None = None


DataSpec = Annotated[SerializeAsAny[Source], Registered("sfddm.data.sources", Source, key="source")]
