"""Everything that was measured as one tidy data frame, from which the tables of the report are group-bys and pivots."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from sfddm.report.choices import choices_of
from sfddm.results.rows import Collected, Row, RowOf
from sfddm.results.statistics import mean_over_seeds
from sfddm.results.styles import interval_text, style_of

#: What says which figure of which row a line is, the seed apart.
KEYS = ["experiment", "kind", "method", "steps", "item", "metric", "label"]

_MEAN = ["value", "low", "high", "text", "interval", "by_seed"]


def frame_of(parts: Iterable[Collected]) -> pd.DataFrame:
    """Return one line for each experiment, row, number of steps, seed and metric.

    The columns are those of ``Row``, and further

        kind: "score", or "audit" or "class" for a figure of one protocol, chosen afterwards or not, or of one class;
        item: which protocol or class; "" for a score;
        confidence: of the intervals, in (0, 1).

    What is missing is NaN: a comparison with it is False. Real images have the steps and the seed 0.
    """
    lines = [
        line | {"confidence": part.provenance.confidence}
        for part in parts
        for line in (*_scores(part), *_audits(part), *_classes(part))
    ]
    frame = pd.DataFrame(lines)
    return frame.assign(**{key: frame[key].fillna(0).astype(int) for key in ("steps", "seed")})


def _scores(part: Collected) -> Iterator[dict[str, Any]]:
    for row in (*part.rows, *part.baseline):
        yield vars(row) | {"kind": "score", "item": ""}


def _audits(part: Collected) -> Iterator[dict[str, Any]]:
    protocols = ((one, figure.protocol_name, figure) for one in part.audits for figure in one.rows)
    for whose, item, figure in (*protocols, *choices_of(part)):
        figures = {key: getattr(figure, key) for key in ("metric", "label", "value", "low", "high")}
        yield _facts(whose, "audit", item) | figures


def _classes(part: Collected) -> Iterator[dict[str, Any]]:
    for one in part.classes:
        for figure in one.rows:
            facts = _facts(one, "class", figure.class_)
            yield facts | {"metric": "kid", "value": figure.kid, "low": figure.low, "high": figure.high}
            yield facts | {"metric": "hits", "value": figure.hits}


def _facts(whose: RowOf | Row, kind: str, item: Any) -> dict[str, Any]:
    keys = ("experiment", "method", "role", "title", "steps", "seed")
    return {key: getattr(whose, key) for key in keys} | {"kind": kind, "item": item, "label": ""}


def over_seeds(frame: pd.DataFrame) -> pd.DataFrame:
    """Return one line for each figure, its mean over the seeds and the interval of that, and both as they are printed.

    ``by_seed`` has the printed figure and interval of each of several seeds. Other columns are those of the first seed.
    """
    groups = frame.groupby(KEYS, sort=False)
    lines = list(frame[["metric", "confidence", "seed", *_MEAN[:3]]].itertuples())
    means = {}
    for places in groups.indices.values():
        seeds = [lines[place] for place in places]
        mean = mean_over_seeds(seeds, seeds[0].confidence)
        decimals = style_of(seeds[0].metric).decimals
        text = f"{mean.value:.{decimals}f}"
        of_seeds = {
            one.seed: (f"{one.value:.{decimals}f}", interval_text(one.low, one.high, decimals)) for one in seeds
        }
        interval = interval_text(mean.low, mean.high, decimals)
        by_seed = of_seeds if len(seeds) > 1 else {}
        means[seeds[0].Index] = mean.value, mean.low, mean.high, text, interval, by_seed
    columns = pd.DataFrame.from_dict(means, orient="index", columns=_MEAN)
    return groups.head(1).drop(columns=_MEAN[:3]).join(columns)


def lines_of(frame: pd.DataFrame) -> list[Any]:
    """Return the lines as named tuples, None where a value is missing."""
    return list(frame.astype(object).where(frame.notna(), None).itertuples(index=False))


def in_reading_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the lines with the teacher's first, then by falling number of steps."""
    falling = frame.sort_values("steps", ascending=False, kind="stable")
    return falling.sort_values("role", key=lambda role: role != "teacher", kind="stable")
