"""Claims from ``params/claims/``: one YAML file for each paper, with the keys paper, reference and claims."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sfddm.claims.claim import Claim
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.strict import describe

CLAIMS_FOLDER = Path("params/claims")
#: The papers in the order of the report; files of other names follow in alphabetical order.
ORDER = ("sfddm", "ddim", "progressive", "consistency")
_KEYS = {"paper", "reference", "claims"}


def load_claims(folder: Path = CLAIMS_FOLDER) -> tuple[Claim, ...]:
    """Read every claim of a folder.

    Raises:
        SfddmError: the folder holds no claims, a file is not YAML or breaks the schema, or two claims share an id.
    """
    files = sorted(folder.glob("*.yaml"), key=lambda path: (ORDER.index(path.stem) if path.stem in ORDER else 99, path))
    if not files:
        raise SfddmError(f"{folder}: no claims; they are files like {CLAIMS_FOLDER}/sfddm.yaml")
    found: dict[str, Path] = {}
    claims = []
    for path in files:
        for claim in _claims_of(path):
            if claim.id in found:
                raise SfddmError(
                    f"{path}: the claim {claim.id!r} is already in {found[claim.id]}; each id is used once"
                )
            found[claim.id] = path
            claims.append(claim)
    return tuple(claims)


def _claims_of(path: Path) -> list[Claim]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SfddmError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict) or set(content) != _KEYS or not isinstance(content["claims"], list):
        raise SfddmError(f"{path}: must have the keys paper, reference and claims (a list), and no others")
    return [_claim(path, position, content, item) for position, item in enumerate(content["claims"])]


def _claim(path: Path, position: int, content: dict[str, Any], item: Any) -> Claim:
    name = item.get("id", position) if isinstance(item, dict) else position
    if not isinstance(item, dict) or {"paper", "reference"} & set(item):
        raise SfddmError(f"{path}: claims.{name}: must be a mapping; paper and reference stand at the top of the file")
    try:
        return Claim.model_validate({"paper": content["paper"], "reference": content["reference"]} | item)
    except ValidationError as error:
        raise SfddmError(f"{path}: claims.{name}: {describe(error)}") from None
