"""How numbers and names are written in the report's three formats. Pure functions from values to text."""

from __future__ import annotations

from typing import Any

ABSENT = "—"


def typographic_minus(number: str) -> str:
    """Return a printed number with a true minus sign, as wide as the figures beside it."""
    return number.replace("-", "−")


def count_text(value: float | None) -> str:
    """Return a count in at most three significant digits and a unit: 815, 1.80 k, 12.3 M, 4.00 G."""
    if value is None:
        return ABSENT
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.{2 if scaled < 10 else 1 if scaled < 100 else 0}f} {unit}"
    return f"{value:g}"


def duration_text(seconds: float | None) -> str:
    """Return seconds as "0 s", "8.4 s", "2 min 05 s" or "3 h 20 min"."""
    if seconds is None:
        return ABSENT
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds else "0 s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def milliseconds_text(seconds: float | None) -> str:
    """Return seconds as milliseconds with three significant digits."""
    if seconds is None:
        return ABSENT
    value = seconds * 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def plain_text(value: Any) -> str:
    """Return a JSON value as a reader would write it: yes or no, lists with commas."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return ABSENT
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(plain_text(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{str(key).replace('_', ' ')} {plain_text(one)}" for key, one in value.items())
    return f"{value:,}" if isinstance(value, int) and value >= 10_000 else str(value)


_MARKDOWN = str.maketrans(
    {character: f"\\{character}" for character in "\\`*_[]|#~"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_LATEX = str.maketrans(
    {character: f"\\{character}" for character in "{}$&%#_"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    | {"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"}
    | {"—": "---", "–": "--", "−": "$-$", "’": "'", "“": "``", "”": "''", "…": r"\ldots{}"}
    | {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "≈": r"$\approx$", "×": r"$\times$"}
)


def markdown_text(text: object) -> str:
    """Escape a text for one cell or line of Markdown."""
    return " ".join(str(text).split()).translate(_MARKDOWN)


def latex_text(text: object) -> str:
    """Escape a text for LaTeX."""
    escaped = " ".join(str(text).split()).translate(_LATEX)
    # After the end of a table's row, a bracket would be the length of the gap to the next.
    return "{[}" + escaped[1:] if escaped.startswith("[") else escaped
