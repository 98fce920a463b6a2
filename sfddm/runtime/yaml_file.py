"""YAML files as people write them: plain values, each key once, nothing that YAML 1.1 reads in a way of its own."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import read_bytes

#: Bytes of a file, levels of nesting, and values once every alias is written out.
MOST_BYTES, DEEPEST, MOST_VALUES = 4 << 20, 64, 1_000_000
LARGEST = 1 << 63
# The same loader, in C where the package has it: eight times as fast.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _PlainLoader(_Loader):  # type: ignore[misc]
    """A safe loader that refuses a key given twice, and numbers that are not what they look like."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        """Return a mapping; a key that is given twice is an error, one that takes the place of a merged one is none."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value} is given twice", key.start_mark
                    )
                seen.add((key.tag, key.value))
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return found

    def construct_number(self, node: Any) -> Any:
        """Return an integer or float; not 2:08, which YAML 1.1 reads as 128, nor 010, which it reads as 8."""
        text = str(node.value).lstrip("+-")
        if ":" in text or (text[:1] == "0" and text[1:].isdigit()):
            raise yaml.constructor.ConstructorError(
                None, None, f"write {node.value} as a plain number", node.start_mark
            )
        if node.tag != "tag:yaml.org,2002:int":
            return self.construct_yaml_float(node)
        number = self.construct_yaml_int(node)
        if abs(number) >= LARGEST:
            raise yaml.constructor.ConstructorError(None, None, "a number is 2^63 or more", node.start_mark)
        return number


for _tag in ("int", "float"):
    _PlainLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _PlainLoader.construct_number)


def read_yaml(path: Path) -> Any:
    """Read a YAML file, plain values alone.

    Raises:
        FileNotFoundError: there is none.
        SfddmError: it is not YAML, gives a key twice, or is larger or deeper than what people write.
    """
    content = read_bytes(path, MOST_BYTES)
    try:
        text = content.decode("utf-8")
        _check_size(text)
        return yaml.load(text, Loader=_PlainLoader)
    except yaml.MarkedYAMLError as error:
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise SfddmError(f"{path}: not a YAML file ({place}{error.problem or error.context})") from None
    # A tag such as !!int before a word, or a date without such a day, ends in whatever its constructor raises.
    except (yaml.YAMLError, ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError) as error:
        raise SfddmError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None


def _check_size(text: str) -> None:
    """Raise a YAMLError where values are nested too deep or, with every alias written out, too many."""
    sizes: dict[str | None, int] = {}
    counts: list[int] = [0]
    anchors: list[str | None] = [None]
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in anchors:
                raise yaml.YAMLError(f"the alias {event.anchor} stands in what it stands for")
            counts[-1] += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            counts.append(1)
            anchors.append(event.anchor)
        elif isinstance(event, yaml.CollectionEndEvent):
            size, anchor = counts.pop(), anchors.pop()
            counts[-1] += size
            if anchor:
                sizes[anchor] = size
        elif isinstance(event, yaml.ScalarEvent):
            counts[-1] += 1
            if event.anchor:
                sizes[event.anchor] = 1
        if len(counts) > DEEPEST:
            raise yaml.YAMLError(f"it is nested deeper than {DEEPEST} levels")
        if sum(counts) > MOST_VALUES:
            raise yaml.YAMLError(f"it holds more than {MOST_VALUES:,} values")
