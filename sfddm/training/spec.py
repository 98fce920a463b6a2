"""The section ``teacher`` of a spec."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from sfddm.methods.options import TrainingOptions
from sfddm.runtime.strict import Strict


class Pretrained(Strict):
    """A teacher that exists already: a diffusers pipeline folder, or a hub repository at a pinned revision."""

    repo: str | None = None
    revision: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    folder: Path | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Pretrained:
        if (self.folder is None) == (self.repo is None):
            raise ValueError("give either folder, or repo with revision")
        if self.repo is not None and self.revision is None:
            raise ValueError("a hub repo needs revision, the 40 hex digits of a commit")
        return self


class TeacherSpec(Strict):
    """Either a training from scratch, or a pretrained pipeline."""

    training: TrainingOptions | None = None
    pretrained: Pretrained | None = None

    @model_validator(mode="after")
    def _one_way(self) -> TeacherSpec:
        if (self.training is None) == (self.pretrained is None):
            raise ValueError("give either training or pretrained")
        return self
