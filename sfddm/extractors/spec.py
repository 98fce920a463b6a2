"""How features are taken out of images: a part of the section ``evaluation`` of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from sfddm.runtime.registry import check_name
from sfddm.runtime.strict import Strict


class Extraction(Strict):
    """How features are taken out of images, ``batch_size`` at a time.

    Attributes:
        extractor: the name of one in this folder, or of a plug-in's.
        extractor_resolution: side to which images are resized for an extractor that takes any.
        extractor_weights: None: where the extractor itself finds them.
    """

    batch_size: Annotated[int, Field(ge=1)] = 256
    extractor: str = "efficientnet-lite0"
    extractor_resolution: Annotated[int, Field(ge=32, le=512)] = 64
    extractor_weights: Path | None = None

    @field_validator("extractor")
    @classmethod
    def _is_known(cls, name: str) -> str:
        from sfddm.extractors.base import Extractor

        return check_name("sfddm.extractors", Extractor, name)  # type: ignore[type-abstract]
