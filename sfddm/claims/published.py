"""Figures that sources give, beside measured ones under the same protocol."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, FiniteFloat

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.selection import Selection, Steps
from sfddm.results.verdicts import PublishedComparison
from sfddm.runtime.strict import Strict


class Published(Strict):
    """A figure that a source gives, with what the source says of its protocol.

    Attributes:
        what: whose figure, in words.
        beside: the rows that it would stand beside.
        steps: sampling steps.
        data: the label of the data.
        generated_images: None where the source does not say.
        evidence: where the figure was read.
    """

    what: str
    beside: Selection
    metric: str = "frechet_distance"
    label: str
    value: FiniteFloat
    steps: Steps
    data: str
    extractor: str
    generated_images: Annotated[int, Field(ge=1)] | None = None
    evidence: str

    def compared(self, figures: Figures) -> PublishedComparison:
        """Show measured figures beside it that have its protocol, or say why there are none."""
        reasons: dict[str, list[str]] = {}
        alike: list[FigureOverSeeds] = []
        for figure in figures.select(self.beside, self.metric):
            reasons[figure.first.experiment] = self._differences(figure)
            if not reasons[figure.first.experiment]:
                alike.append(figure)
        measured = [figure for figure in alike if figure.first.steps == self.steps]
        if measured:
            because = "same data, extractor and number of images; networks and training budgets may differ"
        elif alike:
            because = f"cannot be compared: not measured at {self.steps} steps under this protocol"
        else:
            told = "; ".join(f"{experiment}: {', '.join(found)}" for experiment, found in reasons.items() if found)
            because = f"cannot be compared: {told or f'no row {self.beside} was measured'}"
        return PublishedComparison(
            **self.model_dump(include={"what", "label", "value", "steps", "data", "evidence"}),
            measured=tuple(f"{figure.first.experiment}: {figure.number()}" for figure in measured),
            because=because,
        )

    def _differences(self, figure: FigureOverSeeds) -> list[str]:
        """Return in what the protocol of a measured figure differs from this one's."""
        protocol = figure.first.protocol
        found = []
        if protocol.get("data_label") != self.data:
            found.append(f"data {protocol.get('data_label', 'not stated')}, not {self.data}")
        if protocol.get("extractor") != self.extractor:
            found.append(f"features {protocol.get('extractor', 'not stated')}, not {self.extractor}")
        if self.generated_images is None:
            found.append("our source does not say how many images the published figure is from")
        elif figure.images != self.generated_images:
            shown = "an unknown number of" if figure.images is None else f"{figure.images:,}"
            found.append(f"{shown} images, not {self.generated_images:,}")
        return found
