"""Reads the report: its HTML as a tree of elements, its LaTeX tables as cells."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Element:
    """A tag with its attributes, and in ``children`` elements and words."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.children: list[Element | str] = []

    def every(self, tag: str | None = None, **attributes: str) -> list[Element]:
        """Return the elements inside of a tag, whose attributes hold the given words; ``class_`` is class."""
        wanted = {name.rstrip("_"): word for name, word in attributes.items()}
        return [
            one
            for one in self._inside()
            if tag in (None, one.tag)
            and all(word in one.attributes.get(name, "").split(" ") for name, word in wanted.items())
        ]

    def one(self, tag: str | None = None, **attributes: str) -> Element:
        """Return the only such element."""
        (found,) = self.every(tag, **attributes)
        return found

    def values(self, *names: str) -> list[str]:
        """Return the values of attributes of all elements inside."""
        return [value for one in self._inside() for name, value in one.attributes.items() if name in names]

    def _inside(self) -> Iterator[Element]:
        for child in self.children:
            if isinstance(child, Element):
                yield child
                yield from child._inside()

    def words(self) -> Iterator[str]:
        for child in self.children:
            yield from [child] if isinstance(child, str) else child.words()

    @property
    def text(self) -> str:
        """What a reader sees, one space between two words."""
        return " ".join(" ".join(self.words()).split())


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack = [Element("", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            element = self.stack[-1].children[-1]
            assert isinstance(element, Element)
            self.stack.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.stack[-1].children.append(Element(tag, {key: value or "" for key, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop().tag == tag, f"{tag} is closed, but is not the one that is open"

    def handle_data(self, data: str) -> None:
        self.stack[-1].children.append(data)


def parse(html: str) -> Element:
    """Return a page, in which every tag that is opened is closed."""
    builder = _Builder()
    builder.feed(html)
    builder.close()
    (page,) = builder.stack
    return page


def section(html: str, name: str) -> str:
    """Return the text of a section of the page."""
    return parse(html).one("section", id=name).text


def latex_cells(text: str, table: int) -> dict[str, list[str]]:
    lines = text.split(r"\begin{table}")[1 + table].splitlines()
    rows = [re.split(r"(?<!\\) & ", line.strip().removesuffix(r" \\")) for line in lines if line.endswith(r" \\")]
    return {row[0]: row[1:] for row in rows}
