"""Claims from ``params/claims/``, one YAML file for each paper, and published figures from ``params/published/``.

``setting``, at the top of a file of claims, is that of all its claims which have none of their own. A claim's
``published`` names rows of published figures by their ids.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sfddm.claims.claim import Claim
from sfddm.claims.published import PublishedRow
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.strict import describe
from sfddm.runtime.yaml_file import read_yaml

CLAIMS_FOLDER = Path("params/claims")
PUBLISHED_FOLDER = Path("params/published")
_KEYS = {"paper", "reference", "claims"}


def load_claims(folder: Path = CLAIMS_FOLDER) -> tuple[Claim, ...]:
    """Read every claim of a folder: papers by their ``order``, those without one last, in alphabetical order of files.

    Raises:
        SfddmError: the folder holds no claims, a file is not YAML or breaks the schema, two claims share an id, or a
            claim names a published row that is not in the folder ``published`` beside this one.
    """
    published = load_published(folder.parent / PUBLISHED_FOLDER.name)
    files = {path: _read_claims(path) for path in sorted(folder.glob("*.yaml"))}
    if not files:
        raise SfddmError(f"{folder}: no claims; they are files like {CLAIMS_FOLDER}/sfddm.yaml")
    found: dict[str, tuple[Path, Claim]] = {}
    for path, content in sorted(files.items(), key=lambda item: item[1].get("order", math.inf)):
        for position, item in enumerate(content["claims"]):
            claim = _claim(path, position, content, item, published)
            if claim.id in found:
                other = found[claim.id][0]
                raise SfddmError(f"{path}: the claim {claim.id!r} is already in {other}; each id is used once")
            found[claim.id] = path, claim
    return tuple(claim for _, claim in found.values())


def load_published(folder: Path = PUBLISHED_FOLDER) -> dict[str, PublishedRow]:
    """Read every published row of a folder, by its id; none where there is no such folder.

    ``reference``, at the top of a file, is that of all its rows which have none of their own.

    Raises:
        SfddmError: a file is not YAML or breaks the schema, or two rows share an id.
    """
    found: dict[str, PublishedRow] = {}
    for path in sorted(folder.glob("*.yaml")):
        content = read_yaml(path)
        keys = set(content) if isinstance(content, dict) else set()
        if keys - {"reference"} != {"rows"} or not isinstance(content["rows"], list):
            raise SfddmError(f"{path}: must have the key rows (a list), may have reference, and no others")
        for position, item in enumerate(content["rows"]):
            name = item.get("id", position) if isinstance(item, dict) else position
            shared = {key: content[key] for key in keys - {"rows"}}
            try:
                row = PublishedRow.model_validate(shared | item if isinstance(item, dict) else item)
            except ValidationError as error:
                raise SfddmError(f"{path}: rows.{name}: {describe(error)}") from None
            if row.id in found:
                raise SfddmError(f"{path}: the row {row.id!r} is given twice; each id is used once")
            found[row.id] = row
    return found


def _read_claims(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    keys = set(content) - {"order", "setting"} if isinstance(content, dict) else set()
    if keys != _KEYS or not isinstance(content["claims"], list) or not isinstance(content.get("order", 0), int):
        allowed = "paper, reference and claims (a list), may have order (a number) and setting, and no others"
        raise SfddmError(f"{path}: must have the keys {allowed}")
    return dict(content)


def _claim(
    path: Path, position: int, content: dict[str, Any], item: Any, published: Mapping[str, PublishedRow]
) -> Claim:
    name = item.get("id", position) if isinstance(item, dict) else position
    if not isinstance(item, dict) or {"paper", "reference"} & set(item):
        raise SfddmError(f"{path}: claims.{name}: must be a mapping; paper and reference stand at the top of the file")
    names = item.get("published", [])
    unknown = names if not isinstance(names, list) else [one for one in names if str(one) not in published]
    if unknown:
        raise SfddmError(
            f"{path}: claims.{name}: published: must list ids of rows in {PUBLISHED_FOLDER}; got {unknown}"
        )
    item = item | {"published": [published[str(one)] for one in names]}
    shared = {key: content[key] for key in ("paper", "reference", "setting") if key in content}
    try:
        return Claim.model_validate(shared | item)
    except ValidationError as error:
        raise SfddmError(f"{path}: claims.{name}: {describe(error)}") from None
