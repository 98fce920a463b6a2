"""Claims from ``params/claims/``: one YAML file for each paper, with the keys paper, reference and claims.

``setting``, at the top of a file, is that of all its claims which have none of their own.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sfddm.claims.claim import Claim
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.strict import describe

CLAIMS_FOLDER = Path("params/claims")
_KEYS = {"paper", "reference", "claims"}


def load_claims(folder: Path = CLAIMS_FOLDER) -> tuple[Claim, ...]:
    """Read every claim of a folder: papers by their ``order``, those without one last, in alphabetical order of files.

    Raises:
        SfddmError: the folder holds no claims, a file is not YAML or breaks the schema, or two claims share an id.
    """
    files = {path: _read(path) for path in sorted(folder.glob("*.yaml"))}
    if not files:
        raise SfddmError(f"{folder}: no claims; they are files like {CLAIMS_FOLDER}/sfddm.yaml")
    found: dict[str, tuple[Path, Claim]] = {}
    for path, content in sorted(files.items(), key=lambda item: item[1].get("order", math.inf)):
        for position, item in enumerate(content["claims"]):
            claim = _claim(path, position, content, item)
            if claim.id in found:
                other = found[claim.id][0]
                raise SfddmError(f"{path}: the claim {claim.id!r} is already in {other}; each id is used once")
            found[claim.id] = path, claim
    return tuple(claim for _, claim in found.values())


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SfddmError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None
    keys = set(content) - {"order", "setting"} if isinstance(content, dict) else set()
    if keys != _KEYS or not isinstance(content["claims"], list) or not isinstance(content.get("order", 0), int):
        allowed = "paper, reference and claims (a list), may have order (a number) and setting, and no others"
        raise SfddmError(f"{path}: must have the keys {allowed}")
    return dict(content)


def _claim(path: Path, position: int, content: dict[str, Any], item: Any) -> Claim:
    name = item.get("id", position) if isinstance(item, dict) else position
    if not isinstance(item, dict) or {"paper", "reference"} & set(item):
        raise SfddmError(f"{path}: claims.{name}: must be a mapping; paper and reference stand at the top of the file")
    shared = {key: content[key] for key in ("paper", "reference", "setting") if key in content}
    try:
        return Claim.model_validate(shared | item)
    except ValidationError as error:
        raise SfddmError(f"{path}: claims.{name}: {describe(error)}") from None
