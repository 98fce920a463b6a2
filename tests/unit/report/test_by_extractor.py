"""Figures of several extractors on their way from a run's files to the page, and their rank correlation."""

from __future__ import annotations

import json
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.pages import section
from support.report_runs import SIZES, figures, make_runs, make_spec, only, put_json, read

from sfddm.records.verify import verify
from sfddm.report.collect import collect
from sfddm.report.content import Content
from sfddm.report.extractors import extractors_of, taus_of, with_ranks
from sfddm.report.render import render
from sfddm.results.metrics import read_metrics
from sfddm.runtime.errors import SfddmError

MAIN, FURTHER = "efficientnet-lite0", "inception-v3-compat"
BOTH = {"samples": 100, "extractors": [MAIN, FURTHER]}


def collected(folder: Path, further: dict[str, float] | None, seeds: tuple[int, ...] = (0, 1)) -> Path:
    """Collect a run whose main extractor sees ``SIZES`` and the other one ``further``, where that is given."""
    spec = make_spec(seeds=list(seeds), **({"evaluation": BOTH} if further else {}))
    runs = make_runs(spec, folder / "runs")
    for file in [*runs.glob("seed-*/*/steps-*/score.json"), runs / "reference" / "score.json"]:
        content = json.loads(file.read_text())
        put_json(file, content | {"protocol": content["protocol"] | {"extractor": MAIN}})
        if further:
            rows = [
                row | {"label": f"{row['metric']} by {FURTHER}"} for row in figures(further.get(file.parts[-3], 7.0))
            ]
            own = content | {
                "rows": rows,
                "protocol": content["protocol"] | {"extractor": FURTHER, "feature_layer": "2048"},
            }
            named = file.with_name(f"score-{FURTHER}.json")
            put_json(file.parent / FURTHER / "score.json" if file.parent.name == "reference" else named, own)
    collect(spec, runs, folder / "out")
    return folder / "out"


def test_all_extractors_are_collected_and_only_the_main_one_fills_the_tables(tmp_path: Path) -> None:
    other_order = {"teacher": 9.0, "ddim": 1.0, "progressive": 2.0, "sfddm": 3.0}
    one, two = collected(tmp_path / "one", None), collected(tmp_path / "two", other_order)
    metric = {"metric": "frechet_distance", "method": "sfddm", "steps": 4, "seed": 1}
    assert only(read(two), **metric, label="FD of a test") == only(read(one), **metric)
    assert only(read(two), **metric, label=f"frechet_distance by {FURTHER}")["protocol"]["extractor"] == FURTHER
    floor = {row["label"] for row in read(two)["floor"] if row["metric"] == "frechet_distance"}
    assert floor == {"FD of a test", f"frechet_distance by {FURTHER}"}
    for folder in (one, two):
        render([folder], folder / "report", tmp_path / "no-claims")
    for shown in ("table.md", "table.tex"):
        texts = [(folder / "report" / shown).read_text().splitlines() for folder in (one, two)]
        assert [line for line in texts[0] if "sha256" not in line] == [
            line for line in texts[1] if "sha256" not in line
        ]
    pages = [(folder / "report" / "table.html").read_text() for folder in (one, two)]
    for identifier in ("summary", "table", "distances", "costs", "further", "protocol"):
        assert _text(pages[0], identifier) == _text(pages[1], identifier)
    assert 'id="extractors"' not in pages[0]
    assert "All extractors put the methods in the same order at 0 of 2 numbers of steps." in _text(
        pages[1], "extractors"
    )
    assert _text(pages[1], "extractors").count("−1.00") == 2
    # What lacks further figures is no record's failure, the other way round it is one.
    assert verify(two, one)
    assert not verify(one, two)


def _text(page: str, identifier: str) -> str:
    return section(page, identifier)


def test_rows_of_each_number_of_steps_are_ranked_by_each_extractor(tmp_path: Path) -> None:
    out = collected(tmp_path, {"ddim": 1.0, "progressive": 2.0, "sfddm": 1.0})
    content = Content(read_metrics(out), {})
    found = extractors_of(content, content.parts[0])
    assert found is not None
    assert [name for name, _, _ in found["extractors"]] == [MAIN, FURTHER]
    assert found["extractors"][1][2] == "layer 2048"
    ddim = next(line for line in found["groups"][1] if line["title"] == "DDIM")
    assert [(cell.rank, cell.moved) for cell in ddim["cells"]] == [(3, False), (1, True)]
    assert ddim["cells"][0].value == SIZES["ddim"] + 0.5  # the mean over the two seeds
    assert found["groups"][0][0]["cells"][0].rank is None
    assert found["groups"][-1][0]["role"] == "real"
    assert extractors_of(content, content.parts[0].of_main_extractor) is not None
    alone = Content(read_metrics(collected(tmp_path / "alone", None)), {})
    assert extractors_of(alone, alone.parts[0]) is None


def test_tau_counts_the_pairs_that_two_extractors_order_alike() -> None:
    values = {"a": [1.0, 2.0, 3.0, 4.0, 5.0], "b": [2.0, 1.0, 3.0, 5.0, 4.0], "c": [1.0, 1.0, 1.0, 1.0, 1.0]}
    lines = [
        {"role": "method", "method": f"m{k}", "steps": 8, "extractor": name, "value": value}
        for name, some in values.items()
        for k, value in enumerate(some)
    ]
    ranked = with_ranks(pd.DataFrame(lines), "a", ascending=True)
    ((steps, methods, taus),) = taus_of(ranked, ("a", "b", "c"))
    pairs = list(combinations(range(5), 2))
    alike = sum((values["a"][i] < values["a"][j]) == (values["b"][i] < values["b"][j]) for i, j in pairs)
    assert (steps, methods) == (8, 5)
    assert taus[0] == pytest.approx((2 * alike - len(pairs)) / len(pairs))
    assert taus[1:] == [None, None]
    assert ranked[ranked.extractor == "c"]["rank"].tolist() == [1] * 5


def test_a_score_that_is_missing_is_named(tmp_path: Path) -> None:
    spec: Any = make_spec(evaluation=BOTH)
    runs = make_runs(spec, tmp_path / "runs")
    with pytest.raises(SfddmError, match=rf"score-{FURTHER}\.json: no such file; `sfddm evaluate` writes it"):
        collect(spec, runs, tmp_path / "out")
