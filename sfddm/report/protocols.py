"""How each experiment's figures were measured, and where they come from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from sfddm.report.content import Content
from sfddm.results.rows import Collected
from sfddm.results.styles import style_of


def protocol_of(content: Content, part: Collected) -> dict[str, Any]:
    """Return what an experiment's protocols share, what varies, and in what that of the real images differs."""
    rows = [row for row in part.rows if not style_of(row.metric).section]
    shared, varying = common_protocol([row.protocol for row in rows])
    baseline, _ = common_protocol([row.protocol for row in part.baseline])
    return {
        "title": part.provenance.title,
        "labels": list(dict.fromkeys(row.label for row in rows)),
        "shared": shared,
        "varying": varying,
        "baseline": {key: value for key, value in baseline.items() if shared.get(key) != value},
    }


def common_protocol(protocols: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return what all protocols agree on, flattened to "outer inner" keys, and the keys that differ."""
    flat = [_flatten(protocol) for protocol in protocols]
    keys = dict.fromkeys(key for protocol in flat for key in protocol)
    shared = {key: flat[0][key] for key in keys if all(key in one and one[key] == flat[0][key] for one in flat)}
    return shared, [key for key in keys if key not in shared]


def _flatten(value: dict[str, Any], outer: str = "") -> dict[str, Any]:
    """Name nested values by their path; a part of short texts only, such as versions, becomes one line."""
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{outer} {key}".strip().replace("_", " ")
        if isinstance(item, dict) and all(isinstance(v, str) and len(v) < 20 for v in item.values()):
            flat[name] = ", ".join(f"{inner} {text}" for inner, text in item.items())
        else:
            flat.update(_flatten(item, name) if isinstance(item, dict) else {name: item})
    return flat


def provenance_of(content: Content, part: Collected) -> dict[str, Any]:
    """Return the spec, the commit, the data and the machine behind an experiment."""
    spec = yaml.safe_dump(part.provenance.spec, sort_keys=False, allow_unicode=True, width=100)
    return {"source": part.provenance, "seeds": part.seeds, "spec": spec}
