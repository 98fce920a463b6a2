"""The figures that claims are judged by: the rows of the tables, and those of the interpolated paths."""

from __future__ import annotations

from collections.abc import Iterable

from sfddm.report.rows import Collected, InterpolationOfRow, Row

#: The figure of interpolated paths that says whether the images on the way are meaningful.
REALISM = "intermediate_realism_ratio"


def rows_for_claims(parts: Iterable[Collected]) -> list[Row]:
    """Return every row, and the student's realism along its paths as the figure ``intermediate_realism_ratio_{kind}``.

    The kinds are linear, spherical and cross-fade, which is the control.
    """
    rows: list[Row] = []
    for part in parts:
        rows += part.rows
        for one in part.interpolations:
            rows += _path_rows(one)
    return rows


def _path_rows(one: InterpolationOfRow) -> list[Row]:
    facts = one.model_dump(exclude={"rows"})
    return [
        Row.model_validate(
            facts
            | figure.model_dump(include={"value", "low", "high"})
            | {"metric": f"{REALISM}_{figure.kind}", "label": f"{figure.label}, {figure.kind}"}
        )
        for figure in one.rows
        if figure.metric == REALISM and figure.who == "student"
    ]
