"""YAML files: each key once, plain numbers, sizes that people write; all else is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.yaml_file import MOST_BYTES, read_yaml

DOUBLINGS = "a: &a [1, 1]\n" + "".join(
    f"{chr(98 + level)}: &{chr(98 + level)} [*{chr(97 + level)}, *{chr(97 + level)}]\n" for level in range(24)
)
REFUSED = {
    "a: 1\nb:\n  c: 1\n  c: 2\n": r": not a YAML file \(line 4: the key c is given twice\)",
    "a: 1\n'a': 2\n": r": not a YAML file \(line 2: the key a is given twice",
    "samples: 2:08\n": r"line 1: write 2:08 as a plain number",
    "samples: 010\n": r"line 1: write 010 as a plain number",
    "seconds: 1:2:3.5\n": r"write 1:2:3\.5 as a plain number",
    f"samples: {2**63}\n": r"a number is 2\^63 or more",
    "samples: 0x" + "f" * 10_000: r"a number is 2\^63 or more",
    "samples: " + "9" * 6000: "not a YAML file",
    "day: 2024-13-45\n": "month must be in 1..12",
    "a: !!int a\n": "invalid literal for int",
    "a: !!float a\n": "could not convert",
    "a: !!timestamp a\n": "not a YAML file",
    "a: !!bool perhaps\n": "not a YAML file",
    "a: !!python/object/apply:os.system ['id']\n": "could not determine a constructor",
    "[" * 100_000: "nested deeper than 64 levels",
    "{a: " * 5_000: "nested deeper than 64 levels",
    "a: &a [*a]\n": "the alias a stands in what it stands for",
    DOUBLINGS: "more than 1,000,000 values",
    "? [a, b]\n: 1\n": "unhashable key",
    "\x00": "not a YAML file",
    "a: 1\n---\na: 1\n": "another document",
}


@pytest.mark.parametrize("text", REFUSED, ids=[repr(text[:20]) for text in REFUSED])
def test_what_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(text)
    with pytest.raises(SfddmError, match=rf"^{path}.*{REFUSED[text]}") as caught:
        read_yaml(path)
    assert "\n" not in str(caught.value)


def test_what_people_write_is_read(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(
        "none: {a: 0, b: 0.5, c: -0.1, d: 1e-3, e: .inf, f: 1_000, g: yes, h: '2:08', i: 9223372036854775807}\n"
        "first: &first {x: 0, y: 0}\nsecond: &second {<<: *first, x: 1}\nthird: {<<: *second, x: 2}\n"
    )
    assert read_yaml(path) == {
        "none": {
            "a": 0, "b": 0.5, "c": -0.1, "d": "1e-3", "e": float("inf"), "f": 1000, "g": True, "h": "2:08",
            "i": 2**63 - 1,
        },
        "first": {"x": 0, "y": 0},
        "second": {"x": 1, "y": 0},
        "third": {"x": 2, "y": 0},
    }  # fmt: skip


def test_a_large_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"#" * (MOST_BYTES + 1))
    with pytest.raises(SfddmError, match=r"has 4,194,305 bytes; at most 4,194,304 are allowed"):
        read_yaml(path)
