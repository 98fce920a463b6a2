"""From figures to verdicts. Nothing here reads a file or knows a method by name."""

from __future__ import annotations

from collections.abc import Sequence

from sfddm.claims.claim import Claim, Published
from sfddm.claims.figures import Figures, Measured
from sfddm.claims.verdict import PublishedComparison, Verdict
from sfddm.results.rows import Collected


def evaluate_claims(parts: Sequence[Collected], claims: Sequence[Claim]) -> list[Verdict]:
    """Return each claim's verdict, in the order of the claims.

    Args:
        parts: what was measured in each experiment.
        claims: what to judge.
    """
    figures = Figures(parts)
    return [_verdict(claim, figures) for claim in claims]


def _verdict(claim: Claim, figures: Figures) -> Verdict:
    word, because, cells = claim.test.outcome(figures)
    return Verdict(
        id=claim.id,
        paper=claim.paper,
        statement=claim.statement,
        source=claim.source,
        verdict=word,
        because=because,
        cells=tuple(cells),
        published=tuple(_compared(published, figures) for published in claim.published),
        note=claim.note,
        tested=claim.test.describe(),
    )


def _compared(published: Published, figures: Figures) -> PublishedComparison:
    """Show measured figures beside a published one under its protocol, or say why there are none."""
    reasons: dict[str, list[str]] = {}
    alike: list[Measured] = []
    for figure in figures.select(published.beside, published.metric):
        reasons[figure.first.experiment] = _differences(published, figure)
        if not reasons[figure.first.experiment]:
            alike.append(figure)
    measured = [figure for figure in alike if figure.first.steps == published.steps]
    if measured:
        because = "same data, extractor and number of images; networks and training budgets may differ"
    elif alike:
        because = f"cannot be compared: not measured at {published.steps} steps under this protocol"
    elif reasons:
        told = [f"{experiment}: {', '.join(found)}" for experiment, found in reasons.items() if found]
        because = "cannot be compared: " + "; ".join(told)
    else:
        because = f"cannot be compared: no row {published.beside} was measured"
    return PublishedComparison(
        what=published.what,
        label=published.label,
        value=published.value,
        steps=published.steps,
        data=published.data,
        evidence=published.evidence,
        measured=tuple(f"{figure.first.experiment}: {figure.number()}" for figure in measured),
        because=because,
    )


def _differences(published: Published, figure: Measured) -> list[str]:
    """Return in what the protocol of a measured figure differs from the published one's."""
    protocol = figure.first.protocol
    found = []
    if protocol.get("data_label") != published.data:
        found.append(f"data {protocol.get('data_label', 'not stated')}, not {published.data}")
    if protocol.get("extractor") != published.extractor:
        found.append(f"features {protocol.get('extractor', 'not stated')}, not {published.extractor}")
    if published.generated_images is None:
        found.append("our source does not say how many images the published figure is from")
    elif figure.images != published.generated_images:
        shown = "an unknown number of" if figure.images is None else f"{figure.images:,}"
        found.append(f"{shown} images, not {published.generated_images:,}")
    return found
