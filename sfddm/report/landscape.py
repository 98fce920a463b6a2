"""Published figures in tables of their own: data set by data set, methods down, network evaluations across."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sfddm.claims.figures import Figures
from sfddm.claims.published import EVIDENCE, PublishedRow
from sfddm.report.content import Content


def landscape_of(content: Content) -> dict[str, Any]:
    """Return a table for each data set, with the measured figures beside those of the same protocol, and the marks."""
    figures = Figures(content.collected)
    by_data = {data: [row for row in content.published if row.data == data] for data in _most_first(content.published)}
    used = {row.evidence for row in content.published}
    marks = {mark: meaning for mark, meaning in EVIDENCE.items() if mark in used}
    tables = [_table(data, rows, figures) for data, rows in by_data.items()]
    return {"tables": tables, "marks": marks, "text": published_text}


def _most_first(rows: Sequence[PublishedRow]) -> list[str]:
    data = [row.data for row in rows]
    return sorted(dict.fromkeys(data), key=lambda one: -data.count(one))


def _table(data: str, rows: Sequence[PublishedRow], figures: Figures) -> dict[str, Any]:
    """Return one data set's lines, and by reason the methods whose figures stand beside none of ours."""
    by_row = [(row, row.compared(figures)) for row in rows]
    compared = [one for _, some in by_row for one in some]
    reasons: dict[str, dict[str, None]] = {}
    for one in compared:
        if not one.measured:
            reasons.setdefault(one.because, {})[one.what] = None
    return {
        "data": data,
        "evaluations": sorted({one.nfe for one in compared}),
        "lines": [{"row": row, "cells": {one.nfe: one for one in some}} for row, some in by_row],
        "reasons": {because: list(methods) for because, methods in reasons.items()},
        "beside": sum(bool(one.measured) for one in compared),
    }


def published_text(value: float) -> str:
    """Return a figure with two decimals, or all that its source gives where these are more."""
    return f"{value:.2f}" if value == round(value, 2) else f"{value:g}"
