"""Published figures: what the reader refuses, and when one stands beside a measured figure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.results import PROTOCOL, part, row

from sfddm.claims import load_claims, load_published
from sfddm.claims.figures import Figures
from sfddm.claims.published import PublishedRow
from sfddm.report.content import Content
from sfddm.report.landscape import landscape_of, published_text
from sfddm.results.verdicts import PublishedComparison
from sfddm.runtime.errors import SfddmError

ROOT = Path(__file__).parents[3]
SMALL: dict[str, Any] = {
    "reference": "R",
    "rows": [
        {
            "id": "a-row",
            "method": "A",
            "data": "CIFAR-10",
            "label": "FID",
            "extractor": "inception-v3-compat",
            "generated_images": 50000,
            "evidence": "paper",
            "read": "Table 1",
            "beside": {"method": "a"},
            "values": {16: 3.0, 8: 4.5},
        }
    ],
}


def test_a_figure_stands_beside_a_measured_one_only_under_its_protocol() -> None:
    def beside(
        protocol: dict[str, Any], steps: int = 16, nfe: int | None = None, **changes: Any
    ) -> PublishedComparison:
        rows = [row("a", 4.0, steps, protocol=PROTOCOL | protocol, nfe=nfe), row("b", 9.0, steps)]
        published = PublishedRow.model_validate(SMALL["rows"][0] | {"reference": "R"} | changes)
        first, second = published.compared(Figures([part(rows)]))
        assert not (first.measured and second.measured)
        return first

    assert beside({}).measured == ("one: A: 4.00 [3.00, 5.00]",)
    for protocol, reason in (
        ({"data_label": "Digits"}, "data Digits, not CIFAR-10"),
        ({"extractor": "e"}, "features e, not inception-v3-compat"),
        ({"generated_images": 1797}, "1,797 images, not 50,000"),
    ):
        one = beside(protocol)
        assert (one.measured, one.because) == ((), f"cannot be compared: one: {reason}")
    assert "not measured at 16 evaluations" in beside({}, 8).because
    assert "not measured at 16 evaluations" in beside({}, 16, nfe=31).because  # a sampler of second order
    assert beside({}, 8, nfe=16).measured
    assert "does not say how many images" in beside({}, generated_images=None).because
    assert "no row c was measured" in beside({}, beside={"method": "c"}).because
    assert "no method here is the source's" in beside({}, beside=None).because


def test_the_report_counts_what_stands_beside_ours() -> None:
    published = [SMALL["rows"][0] | {"reference": "R"}, SMALL["rows"][0] | {"reference": "R", "data": "Digits"}]
    rows = tuple(PublishedRow.model_validate(one) for one in published)
    found = landscape_of(Content((part([row("a", 4.0)]),), {}, published=rows))
    assert [(table["data"], table["beside"], table["evaluations"]) for table in found["tables"]] == [
        ("CIFAR-10", 1, [8, 16]),
        ("Digits", 0, [8, 16]),
    ]
    assert list(found["tables"][0]["reasons"].values()) == [["A"]]
    assert set(found["marks"]) == {"paper"}
    assert [published_text(value) for value in (3.0, 13.36, 1.499)] == ["3.00", "13.36", "1.499"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda c: c["rows"][0].pop("evidence"), "one.yaml: rows.a-row: evidence: this key is missing"),
        (
            lambda c: c["rows"][0].update(evidence="memory"),
            "one.yaml: rows.a-row: evidence: input should be 'paper', 'code', 'summary', 'secondary' or 'derived'",
        ),
        (lambda c: c["rows"][0].pop("read"), "one.yaml: rows.a-row: read: this key is missing"),
        (lambda c: c.pop("reference"), "one.yaml: rows.a-row: reference: this key is missing"),
        (lambda c: c["rows"][0].update(colour="red"), "one.yaml: rows.a-row: colour: unknown key"),
        (lambda c: c["rows"][0].update(values={}), "one.yaml: rows.a-row: values: dictionary should have at least 1"),
        (lambda c: c["rows"][0].update(values={"8": "low"}), "one.yaml: rows.a-row: values.8: input should be"),
        (lambda c: c["rows"].append(c["rows"][0]), "one.yaml: the row 'a-row' is given twice"),
        (lambda c: c["rows"].append(3), "one.yaml: rows.1: input should be"),
        (lambda c: c.update(colour="red"), "one.yaml: must have the key rows (a list), may have reference"),
    ],
)
def test_a_mistake_in_a_file_gives_one_sentence(tmp_path: Path, change: Callable[[Any], Any], sentence: str) -> None:
    content = json.loads(json.dumps(SMALL))
    change(content)
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(SfddmError) as caught:
        load_published(tmp_path)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_claim_names_rows_that_are_there(tmp_path: Path) -> None:
    claim = {"id": "a", "statement": "S.", "test": {"kind": "none", "reason": "no"}, "published": ["a-row"]}
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "one.yaml").write_text(yaml.safe_dump({"paper": "P", "reference": "R", "claims": [claim]}))
    with pytest.raises(
        SfddmError, match=r"one\.yaml: claims\.a: published: must list ids of rows in .*; got \['a-row'\]"
    ):
        load_claims(tmp_path / "claims")
    (tmp_path / "published").mkdir()
    (tmp_path / "published" / "one.yaml").write_text(yaml.safe_dump(SMALL))
    assert [one.values for one in load_claims(tmp_path / "claims")[0].published] == [{16: 3.0, 8: 4.5}]


def test_the_shipped_figures_are_fids_with_evidence() -> None:
    rows = load_published(ROOT / "params" / "published")
    assert {row.label for row in rows.values()} == {"FID"}
    assert rows["ddim-cifar10"].values == {10: 13.36, 20: 6.84, 50: 4.67, 100: 4.16, 1000: 4.04}
    assert not any("SFDDM" in row.method for row in rows.values())  # the paper's table is not among our sources
    for name, one in rows.items():
        assert one.values == {nfe: value for nfe, value in one.values.items() if 1 <= value < 400}, name
