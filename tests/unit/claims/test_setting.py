"""The scale of a test: what makes it toy or reduced, and that nothing smaller ever raises it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.results import PROTOCOL, part, row

from sfddm.claims import evaluate_claims, load_claims
from sfddm.claims.claim import Claim
from sfddm.claims.setting import Setting, grade_of
from sfddm.results.costs import DataLabel
from sfddm.results.metrics import read_metrics
from sfddm.results.rows import Provenance, Row
from sfddm.results.verdicts import GRADES

ROOT = Path(__file__).parents[3]
STATED = {
    "timesteps": 1024,
    "resolution": 32,
    "training_images": {"teacher": 1000, "student": 500},
    "parameters": 100,
    "generated_images": 50000,
    "extractor": "inception-v3-compat",
    "data": {"CIFAR-10": None},
}
SETTING = Setting.model_validate(STATED)


def used(label: str = "CIFAR-10", timesteps: int = 1024, **spec: Any) -> Provenance:
    content = {
        "data": {"image_size": 32},
        "schedule": {"timesteps": timesteps},
        "teacher": {"training": {"images": 1000}},
    }
    return replace(part([row("a", 1.0)]).provenance, spec=content | spec, data=DataLabel(label=label, sha256="ab"))


def measured(**facts: Any) -> Row:
    return row("a", 1.0, **{"folds": 2, "images_seen": 1000, "parameters": 100} | facts)


def test_where_all_that_is_stated_is_met_the_grade_is_full() -> None:
    assert grade_of(SETTING, measured(), used()).word == "full"
    assert grade_of(SETTING, measured(folds=0, images_seen=0), used()).word == "full"  # DDIM trains nothing
    teacher = row("teacher", 1.0, images_seen=1000)
    epochs = used(teacher={"training": {"epochs": 2, "images": None}})
    assert grade_of(SETTING, measured(), epochs, teacher).word == "full"
    open_setting = Setting.model_validate({"data": {"CIFAR-10": {"training_images": {"student": 500}}}})
    assert grade_of(open_setting, measured(protocol={}), used(timesteps=9)).word == "full"


def test_where_no_amount_is_stated_full_scale_cannot_be_shown() -> None:
    grade = grade_of(Setting.model_validate({"data": {"CIFAR-10": None}, "timesteps": 1024}), measured(), used())
    assert grade.word == "reduced"
    assert grade.reasons == ("our sources state neither the paper's training nor its number of images",)


@pytest.mark.parametrize(
    ("facts", "source", "reason"),
    [
        ({}, {"timesteps": 1000}, "T 1000, not 1024"),
        ({}, {"timesteps": 2048}, "T 2048, not 1024"),
        ({}, {"data": {"image_size": 16}}, "resolution 16, not 32"),
        ({}, {"data": {"image_size": 32, "limit": 1500}}, "1,500 images of each split, not all"),
        ({}, {"label": "CIFAR-10 (JPEG copy)"}, "data CIFAR-10 (JPEG copy), not CIFAR-10"),
        ({}, {"teacher": {"training": {"images": 999}}}, "the teacher's training saw 999 images, not 1,000"),
        ({}, {"teacher": {"pretrained": {"folder": "x"}}}, "the teacher's training saw an unknown number of images"),
        ({"images_seen": 999}, {}, "each training of a saw 499 images, not 500"),
        ({"parameters": 99}, {}, "the network of a has 99 weights, not 100"),
        ({"parameters": 400, "active_parameters": 99}, {}, "the network of a has 99 weights, not 100"),
        ({"parameters": None}, {}, "the network of a has an unknown number of weights, not 100"),
        ({"protocol": PROTOCOL | {"generated_images": 10000}}, {}, "10,000 generated images, not 50,000"),
        ({"protocol": PROTOCOL | {"extractor": "e"}}, {}, "extractor e, not inception-v3-compat"),
    ],
)
def test_each_reason_alone_makes_it_reduced(facts: dict[str, Any], source: dict[str, Any], reason: str) -> None:
    grade = grade_of(SETTING, measured(**facts), used(**source))
    assert grade.word == "reduced"
    (told,) = grade.reasons
    assert told.startswith(reason)


def test_a_figure_without_score_needs_neither_extractor_nor_images() -> None:
    bare = measured(protocol={}, metric="psnr_teacher")
    assert grade_of(SETTING, bare, used()).word == "full"
    assert grade_of(SETTING, measured(protocol={}), used(), scored=False).word == "full"
    assert grade_of(SETTING, measured(protocol={}), used()).word == "reduced"


@pytest.mark.parametrize("label", ["Digits 8x8", "CIFAR-100", "CIFAR-10-C", "ImageNet-64"])
def test_other_data_make_it_toy(label: str) -> None:
    grade = grade_of(SETTING, measured(), used(label=label))
    assert (grade.word, grade.reasons) == ("toy", (f"data {label}, not CIFAR-10",))


def test_where_our_sources_name_no_data_it_is_toy() -> None:
    assert grade_of(Setting(), measured(), used()).word == "toy"


def test_what_holds_for_some_data_alone_is_asked_of_them_alone() -> None:
    data = {"LSUN Bedroom, first 1/20": {"resolution": 128}, "LSUN Church": None}
    setting = Setting.model_validate({"data": data, "generated_images": 1})

    def word(label: str, size: int) -> str:
        return grade_of(setting, measured(), used(label=label, data={"image_size": size})).word

    assert word("LSUN Bedroom 128x128, first 1/20", 128) == word("LSUN Bedroom 128x128", 128) == "full"
    assert word("LSUN Bedroom 64x64", 64) == "reduced"
    assert word("LSUN Church 64x64", 64) == "full"
    assert word("LSUN Church 64x64, first 1/20", 64) == "reduced"


AMOUNTS = st.fixed_dictionaries(
    {
        name: st.integers(0, 2 * size)
        for name, size in (("size", 32), ("teacher", 1000), ("seen", 1000), ("weights", 100))
    }
    | {"images": st.integers(0, 100000)}
)


@given(AMOUNTS, st.sampled_from(["size", "teacher", "seen", "weights", "images"]), st.floats(0, 1))
def test_nothing_smaller_raises_a_grade(amounts: dict[str, int], name: str, share: float) -> None:
    def rank(some: dict[str, int]) -> int:
        source = used(data={"image_size": some["size"]}, teacher={"training": {"images": some["teacher"]}})
        protocol = PROTOCOL | {"generated_images": some["images"]}
        figure = measured(images_seen=some["seen"], parameters=some["weights"], protocol=protocol)
        return GRADES.index(grade_of(SETTING, figure, source).word)

    assert rank(amounts | {name: int(share * amounts[name])}) <= rank(amounts)


def test_a_claim_takes_the_lowest_grade_of_the_rows_in_a_cell_and_the_highest_of_the_cells_that_agree() -> None:
    def at(experiment: str, images: int, left: float) -> list[Row]:
        facts: dict[str, Any] = {"experiment": experiment, "images_seen": 500}
        protocol = PROTOCOL | {"generated_images": images}
        return [row("a", left, **facts, protocol=protocol), row("b", 10.0, folds=0, **facts)]

    setting = {"data": {"CIFAR-10": None}, "generated_images": 50000}
    test = {"kind": "compare", "left": {"method": "a"}, "relation": "lower", "right": {"method": "b"}}
    claim = Claim.model_validate(
        {"id": "a", "paper": "P", "reference": "R", "statement": "S.", "test": test, "setting": setting}
    )
    parts = [part(at(name, images, left), name=name) for name, images, left in
             (("full", 50000, 10.0), ("reduced", 9999, 1.0))]  # fmt: skip
    toy = part(at("toy", 50000, 1.0), name="toy")
    parts.append(replace(toy, provenance=replace(toy.provenance, data=DataLabel(label="Digits", sha256="ab"))))
    (verdict,) = evaluate_claims(parts, [claim])
    assert [(cell.grade, cell.verdict) for cell in verdict.cells] == [
        ("full", "inconclusive"),
        ("reduced", "reproduced"),
        ("toy", "reproduced"),
    ]
    assert verdict.cells[1].reduced == ("9,999 generated images, not 50,000",)
    assert (verdict.verdict, verdict.grade) == ("inconclusive", "full")
    (verdict,) = evaluate_claims(parts[1:], [claim])
    assert (verdict.verdict, verdict.grade, verdict.to_json()["grade"]) == ("reproduced", "reduced", "reduced")
    (verdict,) = evaluate_claims([part([row("c", 1.0)])], [claim])
    assert verdict.grade is None


@pytest.mark.parametrize("name", ["digits-cpu", "digits-msd-cpu", "digits-o2mkd-cpu", "gaussians-2d-cpu", "smoke-cpu"])
def test_what_was_measured_on_digits_or_in_the_plane_is_toy_for_every_paper(name: str) -> None:
    verdicts = evaluate_claims(
        read_metrics(ROOT / "reports" / "records" / name), load_claims(ROOT / "params" / "claims")
    )
    assert {verdict.grade for verdict in verdicts} == {"toy", None}
    assert all((cell.grade == "toy") == (cell.verdict != "not tested") for one in verdicts for cell in one.cells)


def test_a_jpeg_copy_is_not_full() -> None:
    record = read_metrics(ROOT / "reports" / "records" / "cifar10-jpeg-small-cpu")
    verdicts = {one.id: one for one in evaluate_claims(record, load_claims(ROOT / "params" / "claims"))}
    assert {verdict.grade for verdict in verdicts.values()} == {"toy", "reduced", None}
    below = verdicts["sfddm-below-ddim"]
    assert below.grade == "reduced"
    assert below.cells[0].reduced == (
        "data CIFAR-10 (JPEG copy), not CIFAR-10",
        "the teacher's training saw 64,000 images, not 2,500,000",
        "each training of sfddm saw 9,600 images, not 2,500,000",
    )
