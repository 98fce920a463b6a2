"""Finds, reads and checks a spec file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.strict import describe
from sfddm.runtime.yaml_file import read_yaml
from sfddm.spec.experiment import Spec


def find_spec(name_or_path: str) -> Path:
    """Return the file of an experiment given by name ("digits") or by path."""
    path = Path(name_or_path)
    return path if path.suffix in (".yaml", ".yml") else Path("params") / f"{name_or_path}.yaml"


def load_spec(name_or_path: str | Path) -> Spec:
    """Read and check a spec.

    Raises:
        SfddmError: the file is missing, is not YAML, or breaks the schema; the sentence names file and key.
    """
    path = find_spec(str(name_or_path))
    try:
        content = read_yaml(path)
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such spec; specs are files like params/digits.yaml") from None
    if not isinstance(content, dict):
        raise SfddmError(f"{path}: a spec must be a mapping of keys")
    return parse_spec(content, str(path))


def parse_spec(content: dict[str, Any], source: str) -> Spec:
    """Check a spec that is already read; ``source`` names it in errors.

    Raises:
        SfddmError: it breaks the schema.
    """
    try:
        return Spec.model_validate(content)
    except ValidationError as error:
        raise SfddmError(f"{source}: {describe(error)}") from None
