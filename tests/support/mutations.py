"""Damage to files, a function of a random generator: to bytes, and to the values of JSON and YAML."""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

import yaml

#: What stands in for a value; also at the edges of what numbers can be.
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 7, 10**6, 10**9, 10**12, 2**31, 2**63, 10**30, 0.0, -0.0, 1e-30, 1e30, 1e308, -1e308,
    float("inf"), float("nan"), "", "x", "flow", "../../x", "\x00", "\ud800", "a\nb", "{{x}}", "é" * 300, [], {}, [[]],
    [None], [1, "x"], {"": 1}, {"x": {"y": []}}, ["x"] * 50, list(range(300)),
)  # fmt: skip
_TOKENS = (
    b"\x00", b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff" * 8, b"{", b"[" * 500, b"'", b'"', b"\n", b": ", b"1e999",
    b"9" * 400, b"&a *a", b"!!int a", b"<<: ", b"2:08", b"2024-13-45", b"\xed\xa0\x80", b"NaN", b"null",
)  # fmt: skip


def mutated(content: bytes, name: str, random: Random) -> bytes:
    """Return other content than ``content``, the whole of a file called ``name``; half the time by its values."""
    while True:
        kind = name.rsplit(".", 1)[-1]
        by_value = kind in ("json", "yaml") and random.random() < 0.5
        try:
            changed = _by_value(content, kind, random) if by_value else _by_bytes(content, random)
        except (ValueError, UnicodeEncodeError, yaml.YAMLError):  # a value that its format cannot write
            continue
        if changed != content:
            return changed


def mutated_value(value: Any, random: Random) -> Any:
    """Return JSON's ``value`` with one to three places changed: replaced, removed, repeated or under another key."""
    value = copy.deepcopy(value)
    for _ in range(random.randint(1, 3)):
        holder, key = _place(value, random)
        if holder is None:
            return random.choice(NASTY)
        how = random.random()
        if how < 0.7:
            holder[key] = copy.deepcopy(random.choice(NASTY))
        elif how < 0.8:
            del holder[key]
        elif how < 0.9 and isinstance(holder, dict):
            holder[str(random.choice(NASTY))] = holder.pop(key)
        else:
            deep: Any = holder[key]
            for _ in range(random.choice((1, 3, 90))):
                deep = [deep]
            holder[key] = deep
    return value


def _place(value: Any, random: Random) -> tuple[Any, Any]:
    """Return a container in a value and a key of it, drawn level by level."""
    holder = key = None
    while isinstance(value, dict | list) and value:
        if holder is not None and random.random() < 0.2:
            break
        holder = value
        key = random.choice(list(value)) if isinstance(value, dict) else random.randrange(len(value))
        value = value[key]
    return holder, key


def _by_value(content: bytes, kind: str, random: Random) -> bytes:
    if kind == "json":
        return json.dumps(mutated_value(json.loads(content), random)).encode()
    return yaml.safe_dump(mutated_value(yaml.safe_load(content), random), sort_keys=False).encode()


def _by_bytes(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        # Half of the changes hit the first bytes, where headers are.
        end = len(changed) if random.random() < 0.5 else min(len(changed), 256)
        start = random.randrange(end) if end else 0
        length = min(random.choice((1, 2, 4, 8, 64, 4096)), len(changed) - start)
        how = random.randrange(7)
        if how == 0 and changed:
            changed[start] ^= 1 << random.randrange(8)
        elif how == 1 and changed:
            changed[start] = random.choice((0, 1, 127, 128, 255))
        elif how == 2:
            del changed[start:]
        elif how == 3:
            del changed[start : start + length]
        elif how == 4:
            changed[start:start] = changed[start : start + length] * random.choice((1, 1, 100))
        elif how == 5:
            changed[start : start + length] = random.randbytes(length)
        else:
            token = random.choice(_TOKENS)
            changed[start : start + (len(token) if random.random() < 0.5 else 0)] = token
    return bytes(changed)
