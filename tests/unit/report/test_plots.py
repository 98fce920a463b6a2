"""Drawings are short, and say to whoever points at them exactly what they were given."""

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from sfddm.report.formats import plain_text
from sfddm.report.plots import inline_plot, name_point

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDS = "A & B, 8 steps: 159.163 [145.0312, 173.2951]"


def drawn() -> str:
    def draw(axes: "Axes") -> None:
        axes.errorbar([1, 2, 3], [1.23456, 2, 3], yerr=[0.1, 0.2, 0.3], capsize=2)
        axes.set_ylabel("letters on their side")
        name_point(axes, 1, 1.23456, WORDS)

    return inline_plot("one", "a plot", draw)


def test_what_a_point_says_is_not_shortened() -> None:
    titles = [one.text for one in ElementTree.fromstring(drawn()).iter("title")]
    assert titles == [WORDS]


def test_coordinates_have_two_decimals_and_every_reference_leads_to_an_id() -> None:
    svg = drawn()
    coordinates = re.findall(r' (?:d|x|y|transform)="([^"]*)"', svg)
    assert coordinates
    assert not [one for one in coordinates if re.search(r"\.\d{3}|\n", one)]
    assert "font-family" not in svg
    referred = set(re.findall(r'(?:href="|url\()#([^")]*)', svg))
    assert referred
    assert referred <= set(re.findall(r'\bid="([^"]*)"', svg))
    assert "rotate(-90" in svg, "the label of the axis stays on its side"


def test_coordinates_are_those_of_matplotlib_but_for_their_last_digits() -> None:
    """Three points at equal distances stay so to within a hundredth."""
    marks = re.findall(r'<path d="(M[^"zC]*L[^"zC]*L[^"zC]*)" clip-path', drawn())
    line = next(mark for mark in marks if mark.count("L") == 2)
    x = [float(point.split()[0]) for point in re.split("[ML]", line)[1:]]
    assert x[1] - x[0] == pytest.approx(x[2] - x[1], abs=0.021)


@pytest.mark.parametrize(
    ("value", "text"),
    [({"clip": True, "data_share": 0.34}, "clip yes, data share 0.34"), ([1, 2.5], "1, 2.5"), (None, "—")],
)
def test_values_are_written_as_a_reader_would(value: object, text: str) -> None:
    assert plain_text(value) == text
