"""The hidden file beside an output that says what it was computed with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sfddm.results.score import STRICT


@dataclass(frozen=True, kw_only=True)
class OutputOrigin:
    """What an output was computed with.

    Attributes:
        kind: the stage, as ``spec/dependencies.py`` calls it.
        given: what the stage was asked besides the spec.
        spec_file: the spec.
        section: the stage's part of it.
        code: the sha256 of each module.
        inputs: the sha256 of each file read, of a folder that of its list of outputs; None where there was nothing.
        commit: of the code.
        versions: of the libraries.
    """

    __pydantic_config__ = STRICT

    kind: Literal[
        "data",
        "teacher",
        "student",
        "partition",
        "pairs",
        "samples",
        "index_set",
        "classifier",
        "reference",
        "score",
        "measurement",
    ]
    given: dict[str, str | int]
    spec_file: str
    section: dict[str, Any]
    code: dict[str, str]
    inputs: dict[str, str | None]
    commit: str
    versions: dict[str, str]
    schema: Literal[1] = 1
