"""Figures that sources give, beside measured ones under the same protocol."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.claims.selection import Selection
from sfddm.results.verdicts import PublishedComparison
from sfddm.runtime.strict import Strict

Evaluations = Annotated[int, Field(ge=1)]
Evidence = Literal["paper", "code", "summary", "secondary", "derived"]
#: What each mark means.
EVIDENCE: dict[Evidence, str] = {
    "paper": "the source's own text or official repository",
    "code": "read in the authors' code",
    "summary": "a published summary of the source",
    "secondary": "another paper's table, a review or a leaderboard",
    "derived": "computed from what a source states",
}


class PublishedRow(Strict):
    """One method's figures on one data set as a source gives them, with what it says of their protocol.

    Attributes:
        id: what a claim calls the row.
        method: in the source's words.
        reference: the source.
        data: the label of the data.
        network, generated_images: None where the source does not say.
        label: the source's name of the metric, which is ``metric`` here.
        values: by network evaluations for one image (NFE).
        evidence: how near to the source it was read, one of ``EVIDENCE``; ``read``: where.
        beside: the rows that it would stand beside; None where no method of this project is its.
    """

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    method: str
    reference: str
    data: str
    network: str | None = None
    label: str
    metric: str = "frechet_distance"
    extractor: str
    generated_images: Annotated[int, Field(ge=1)] | None = None
    values: Annotated[dict[Evaluations, FiniteFloat], Field(min_length=1)]
    evidence: Evidence
    read: str
    beside: Selection | None = None

    def compared(self, figures: Figures) -> tuple[PublishedComparison, ...]:
        """Show beside each figure the measured ones that have its protocol, or say why there are none."""
        reasons: dict[str, list[str]] = {}
        alike: list[FigureOverSeeds] = []
        for figure in figures.select(self.beside, self.metric) if self.beside else ():
            reasons[figure.first.experiment] = self._differences(figure)
            if not reasons[figure.first.experiment]:
                alike.append(figure)
        told = "; ".join(f"{experiment}: {', '.join(found)}" for experiment, found in reasons.items() if found)
        none = f"no row {self.beside} was measured" if self.beside else "no method here is the source's"
        return tuple(self._beside(nfe, value, alike, told or none) for nfe, value in self.values.items())

    def _beside(self, nfe: int, value: float, alike: list[FigureOverSeeds], told: str) -> PublishedComparison:
        measured = [figure for figure in alike if _evaluations(figure) == nfe]
        if measured:
            because = "same data, extractor and number of images; networks and training budgets may differ"
        elif alike:
            because = (
                f"cannot be compared: not measured at {nfe} evaluation{'' if nfe == 1 else 's'} under this protocol"
            )
        else:
            because = f"cannot be compared: {told}"
        return PublishedComparison(
            what=self.method,
            label=self.label,
            value=value,
            nfe=nfe,
            data=self.data,
            evidence=f"{self.read}, evidence: {self.evidence}",
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


def _evaluations(figure: FigureOverSeeds) -> int | None:
    """Return the network evaluations for one image; older records state the steps alone."""
    return figure.first.steps if figure.first.nfe is None else figure.first.nfe
