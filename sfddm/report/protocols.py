"""Protocols side by side: what all figures of an experiment agree on, and what differs."""

from __future__ import annotations

from typing import Any


def common_protocol(protocols: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
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
