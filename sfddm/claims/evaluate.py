"""From figures to verdicts. Nothing here reads a file or knows a method by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sfddm.claims.cells import NothingToTest, ablation, compare, control, folds, within
from sfddm.claims.measured import Figures, Measured
from sfddm.claims.model import Ablation, Claim, Compare, Control, Folds, Invariant, Published, Untested, Within
from sfddm.claims.tested import how_tested
from sfddm.claims.verdict import Beside, Cell, Verdict, Word, overall
from sfddm.report.rows import Provenance, Row


def evaluate_claims(
    rows: Sequence[Row], floor: Sequence[Row], provenance: Mapping[str, Provenance], claims: Sequence[Claim]
) -> list[Verdict]:
    """Return each claim's verdict, in the order of the claims.

    Args:
        rows: the figures of every experiment.
        floor: real against real; tests find it under the method "real".
        provenance: each experiment's, by name: the teacher's T, the intervals' confidence, the commit.
        claims: what to judge.
    """
    figures = Figures(rows, floor, provenance)
    return [_verdict(claim, figures) for claim in claims]


def _verdict(claim: Claim, figures: Figures) -> Verdict:
    cells: list[Cell] = []
    word: Word
    try:
        if isinstance(claim.test, Invariant | Untested):
            word, because = _without_figures(claim.test, figures.provenance)
        else:
            cells = _cells(claim.test, figures)
            word, because = overall(cells)
    except NothingToTest as nothing:
        word, because = "not tested", str(nothing)
    return Verdict(
        id=claim.id,
        paper=claim.paper,
        statement=claim.statement,
        source=claim.source,
        verdict=word,
        because=because,
        cells=tuple(cells),
        published=tuple(_beside(published, figures) for published in claim.published),
        note=claim.note,
        tested=how_tested(claim),
    )


def _cells(test: Compare | Within | Folds | Control | Ablation, figures: Figures) -> list[Cell]:
    if isinstance(test, Compare):
        return compare(test, figures)
    if isinstance(test, Within):
        return within(test, figures)
    if isinstance(test, Folds):
        return folds(test, figures)
    if isinstance(test, Control):
        return control(test, figures)
    return ablation(test, figures)


def _without_figures(test: Invariant | Untested, provenance: Mapping[str, Provenance]) -> tuple[Word, str]:
    if isinstance(test, Untested):
        return "not tested", test.reason
    if not provenance:
        return "not tested", f"{', '.join(test.tests)} would check it, but there is no run whose code that could be"
    commits = ", ".join(dict.fromkeys(one.commit for one in provenance.values()))
    one = len(test.tests) == 1
    return "reproduced", (
        f"a property of the code, not a measurement: checked by the test{'' if one else 's'} {', '.join(test.tests)} "
        f"at this commit ({commits})"
    )


def _beside(published: Published, figures: Figures) -> Beside:
    """Stand a published figure beside measured ones under its protocol, or say why there are none."""
    candidates = figures.select(published.beside, published.metric)
    if not candidates:
        measured, because = [], f"cannot be compared: no row {published.beside} was measured"
    else:
        reasons = {figure.first.experiment: _differences(published, figure) for figure in candidates}
        alike = [figure for figure in candidates if not _differences(published, figure)]
        measured = [figure for figure in alike if figure.first.steps == published.steps]
        if measured:
            because = "same data, extractor and number of images; networks and training budgets may differ"
        elif alike:
            because = f"cannot be compared: not measured at {published.steps} steps under this protocol"
        else:
            because = "cannot be compared: " + "; ".join(
                f"{experiment}: {', '.join(found)}" for experiment, found in reasons.items() if found
            )
    return Beside(
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
