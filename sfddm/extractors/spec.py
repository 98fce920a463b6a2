"""How features are taken out of images: a part of the section ``evaluation`` of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from sfddm.runtime.registry import check_name
from sfddm.runtime.strict import Strict

#: The extractor of a spec that names none.
DEFAULT = "efficientnet-lite0"


class Preparation(Strict):
    """How images are given to extractors: how many at a time, and their side for extractors that take any."""

    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 256
    extractor_resolution: Annotated[int, Field(ge=32, le=512)] = 64


class Extraction(Preparation):
    """How features are taken out of images.

    Attributes:
        extractor: the name of one in this folder, or of a plug-in's.
        extractor_weights: None: where the extractor itself finds them.
    """

    extractor: str = DEFAULT
    extractor_weights: Path | None = None

    @field_validator("extractor")
    @classmethod
    def _is_known(cls, name: str) -> str:
        return check_extractor(name)


def check_extractor(name: str) -> str:
    """Return ``name`` if there is an extractor of that name, or else raise a ValueError that names them."""
    from sfddm.extractors.base import Extractor

    return check_name("sfddm.extractors", Extractor, name)  # type: ignore[type-abstract]
