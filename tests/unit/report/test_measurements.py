"""Agreement, interpolation and the protocol audit on their way from a run's files to the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.pages import parse, section
from support.report_runs import make_runs, make_spec, put_json, read

from sfddm.report.collect import collect
from sfddm.report.render import render
from sfddm.runtime.errors import SfddmError

METRICS = ("psnr_teacher", "ssim_teacher", "feature_distance_teacher")
METHODS = {"teacher": {"reference_steps": 16}, "ddim": {}, "sfddm": {}}
# Further measurements are made of the rows that the spec lists, at its own steps.
LISTED = {name: list(METHODS) for name in ("agreement", "audit", "interpolation")}
EVALUATION = {"samples": 100} | LISTED


def agreement_file(same: float, other: float, width: float = 1.0) -> dict[str, Any]:
    rows = []
    for suffix, value in (("", same), ("_control", other)):
        for metric in METRICS:
            size = 50 - value if metric.startswith("feature") else value
            figure = {"value": size, "low": size - width, "high": size + width}
            rows.append({"metric": metric + suffix, "label": f"Label of {metric}{suffix}"} | figure)
    return {"schema": 1, "rows": rows, "protocol": {"settings": {"psnr_teacher": "How it is computed"}}}


def audit_file(values: dict[str, float], width: float = 1.0) -> dict[str, Any]:
    rows = [
        {
            "protocol_name": name,
            "title": f"Title of {name}",
            "description": f"Description of {name}",
            "metric": "frechet_distance",
            "label": "FD of a test",
            "value": value,
            "low": value - width,
            "high": value + width,
            "images": 100,
            "reference_images": 70,
            "layer": "7",
            "resize": "as it is",
            "reference_split": "train",
        }
        for name, value in values.items()
    ]
    return {"schema": 1, "rows": rows, "note": "A note of the audit."}


def path_file(realism: dict[str, float], width: float = 0.05) -> dict[str, Any]:
    rows = [
        {
            "who": "student",
            "kind": kind,
            "space": "features",
            "metric": "intermediate_realism_ratio",
            "label": "Realism",
            "value": value,
            "low": value - width,
            "high": value + width,
            "pairs": 5,
        }
        for kind, value in realism.items()
    ]
    return {"schema": 1, "rows": rows, "protocol": {"pairs": 5, "teacher_reference_steps": 16}}


def put_paths(place: Path, realism: dict[str, float], seed: int = 0) -> dict[str, np.ndarray]:
    put_json(place / "interpolation.json", path_file(realism))
    generator = np.random.default_rng(seed)
    names = ("linear/student", "linear/teacher", "cross-fade/student")
    strips = {name: generator.integers(0, 256, (5, 9, 8, 8, 1), np.uint8) for name in names}
    np.savez(place / "interpolation.npz", **strips)
    return strips


@pytest.fixture
def run(tmp_path: Path):
    spec = make_spec(methods=METHODS, evaluation=EVALUATION)
    return spec, make_runs(spec, tmp_path / "runs")


def page_of(spec, runs: Path) -> str:
    collect(spec, runs, runs / "collected")
    render([runs / "collected"], runs / "out", claims=runs / "no-claims")
    text = (runs / "out" / "table.html").read_text()
    parse(text)  # tags are balanced
    return text


def test_without_the_files_nothing_is_shown(run) -> None:
    spec, runs = run
    page = page_of(spec, runs)
    for name in ("agreement", "interpolation", "audit"):
        assert f'id="{name}"' not in page
    content = read(runs / "collected")
    assert (content["audits"], content["interpolations"]) == ([], [])


def test_agreement_is_gathered_with_the_rows_and_shown_beside_its_control(run) -> None:
    spec, runs = run
    before = page_of(spec, runs)
    put_json(runs / "seed-0" / "sfddm" / "steps-16" / "agreement.json", agreement_file(30.0, 10.0))
    put_json(runs / "seed-0" / "ddim" / "steps-16" / "agreement.json", agreement_file(11.0, 10.0))
    put_json(runs / "seed-0" / "teacher" / "steps-16" / "agreement.json", agreement_file(45.0, 10.0))
    page = page_of(spec, runs)
    rows = [row for row in read(runs / "collected")["rows"] if row["metric"].startswith("psnr_teacher")]
    found = {(row["method"], row["steps"], row["seed"], row["metric"]): row["value"] for row in rows}
    assert found["sfddm", 16, 0, "psnr_teacher"] == 30.0
    assert found["ddim", 16, 0, "psnr_teacher_control"] == 10.0
    assert len(found) == 6
    text = section(page, "agreement")
    # 30 is nearer outside the intervals, 11 against 10 is not; the teacher's own row does not count.
    assert "in 1 of 2 by PSNR, 1 of 2 by SSIM and 1 of 2 by feature distance." in text
    assert "30.00 [29.00, 31.00] 10.00 [9.00, 11.00]" in text
    assert "45.00" not in text
    assert "How it is computed" in text
    # The tables of the scores and the protocol are as they were.
    for name in ("table", "further", "protocol", "summary"):
        assert section(page, name) == section(before, name)
    assert "PSNR" not in (runs / "out" / "table.md").read_text()


def memorisation_file(ratio: float, share: float) -> dict[str, Any]:
    values = {
        "nearest_training": 10 * ratio,
        "nearest_training_held_out": 10.0,
        "nearest_training_ratio": ratio,
        "nearer_than_held_out": share,
    }
    rows = [
        {"metric": metric, "label": f"Label of {metric}", "value": value, "low": value - 0.1, "high": value + 0.1}
        for metric, value in values.items()
    ]
    return {"schema": 1, "rows": rows, "protocol": {"control": "some others", "settings": {"nearest_training": "Thus"}}}


def test_distances_to_training_images_are_shown_beside_held_out_ones(tmp_path: Path) -> None:
    evaluation = {"samples": 100, "measurements": {"memorisation": list(METHODS)}}
    spec = make_spec(methods=METHODS, evaluation=evaluation)
    runs = make_runs(spec, tmp_path / "runs")
    before = page_of(spec, runs)
    assert 'id="memorisation"' not in before
    for row, ratio, share in (("sfddm", 0.85, 0.25), ("ddim", 0.95, 0.0125), ("teacher", 0.25, 0.75)):
        put_json(runs / "seed-0" / row / "steps-16" / "memorisation.json", memorisation_file(ratio, share))
    page = page_of(spec, runs)
    text = section(page, "memorisation")
    # 0.85 and 0.25 are below 1 outside the interval, 0.95 is not.
    assert "In 2 of 3 rows, generated images are nearer to training images" in text
    assert "Held-out: some others." in text
    assert "8.50 [8.40, 8.60] 10.00 [9.90, 10.10] 0.850 [0.750, 0.950] 0.2500 [0.1500, 0.3500]" in text
    assert "Thus" in text
    for name in ("table", "further", "protocol", "summary"):
        assert section(page, name) == section(before, name)


def put_audits(runs: Path, values: dict[str, dict[str, float]], steps: int = 16, seed: int = 0) -> None:
    for row, of_row in values.items():
        put_json(runs / f"seed-{seed}" / row / f"steps-{steps}" / "audit.json", audit_file(of_row))


def test_a_ranking_that_changes_is_told_with_its_protocol(run) -> None:
    spec, runs = run
    put_audits(
        runs,
        {
            "ddim": {"own": 10.0, "small": 105.0, "near": 31.0},
            "sfddm": {"own": 20.0, "small": 100.0, "near": 30.0},
        },
    )
    put_audits(runs, {"ddim": {"own": 10.0, "small": 50.0}, "sfddm": {"own": 11.5, "small": 49.0}}, steps=4)
    put_audits(runs, {"teacher": {"own": 1.0, "small": 200.0}}, steps=16)
    text = section(page_of(spec, runs), "audit")
    assert (
        "of 2 pairs of methods at the same steps, 2 are turned round by at least one protocol, 1 of them with" in text
    )
    assert "At 16 steps DDIM is ahead of SFDDM, but behind it under: Title of small, Title of near." in text
    assert "At 4 steps DDIM is ahead of SFDDM, but behind it under: Title of small; their intervals overlap." in text
    # The teacher's own samples move most, although it is not ranked.
    assert "by up to a factor of 200: that of Teacher" in text
    assert "10.00 [9.00, 11.00] 20.00 [19.00, 21.00] ddim < sfddm" in text
    assert "105.00 [104.00, 106.00] +95.00, beyond" in text
    assert "sfddm < ddim another ranking than the report’s own" in text
    assert "A note of the audit." in text
    audits = read(runs / "collected")["audits"]
    assert {(one["method"], one["steps"], one["seed"], len(one["rows"])) for one in audits} == {
        ("ddim", 16, 0, 3),
        ("sfddm", 16, 0, 3),
        ("ddim", 4, 0, 2),
        ("sfddm", 4, 0, 2),
        ("teacher", 16, 0, 2),
    }
    merged = json.loads((runs / "out" / "metrics.json").read_text())
    assert merged["audits"] == audits


def test_a_ranking_that_changes_within_the_intervals_only_is_told_so(run) -> None:
    spec, runs = run
    put_audits(runs, {"ddim": {"own": 10.0, "near": 31.0}, "sfddm": {"own": 20.0, "near": 30.0}})
    text = section(page_of(spec, runs), "audit")
    assert "of 1 pairs" not in text
    assert "1 is turned round by at least one protocol, none of them with intervals apart under both" in text
    assert "under: Title of near; their intervals overlap." in text


def test_a_ranking_that_stays_and_ties_are_told(run) -> None:
    spec, runs = run
    put_audits(runs, {"ddim": {"own": 10.0, "small": 20.0}, "sfddm": {"own": 12.0, "small": 30.0}})
    put_audits(runs, {"ddim": {"own": 10.0, "small": 20.0}, "sfddm": {"own": 10.0, "small": 19.0}}, steps=4)
    text = section(page_of(spec, runs), "audit")
    assert "The ranking does not change: the one pair of methods at the same steps keep their order." in text
    assert "ddim = sfddm" in text
    assert "sfddm < ddim another ranking" in text
    put_audits(runs, {"sfddm": {"own": 10.0, "small": 19.0}})
    assert "No two methods at the same steps differ" in section(page_of(spec, runs), "audit")


def test_audits_of_several_seeds_are_ranked_by_their_means(tmp_path: Path) -> None:
    spec = make_spec(methods=METHODS, seeds=[0, 1], evaluation=EVALUATION)
    runs = make_runs(spec, tmp_path / "runs")
    put_audits(runs, {"ddim": {"own": 10.0, "small": 5.0}, "sfddm": {"own": 11.0, "small": 6.0}}, seed=0)
    put_audits(runs, {"ddim": {"own": 14.0, "small": 5.0}, "sfddm": {"own": 11.0, "small": 6.0}}, seed=1)
    text = section(page_of(spec, runs), "audit")
    assert "At 16 steps SFDDM is ahead of DDIM, but behind it under: Title of small; their intervals overlap." in text
    assert "12.00 [−13.41, 37.41] 11.00" in text  # t of 1 degree of freedom


def test_interpolations_show_strips_teacher_above_student_and_compare_realism(run) -> None:
    spec, runs = run
    place = runs / "seed-0" / "sfddm" / "steps-4"
    strips = put_paths(place, {"linear": 1.0, "spherical": 1.22, "cross-fade": 1.25})
    page = page_of(spec, runs)
    text = section(page, "interpolation")
    assert "linear 1.00 against 1.25 (nearer to real images)" in text
    assert "spherical 1.22 against 1.25 (not distinguishable)" in text
    assert "means over 5 paths" in text
    alts = [alt for alt in parse(page).values("alt") if "noise 0 to noise 1" in alt]
    assert alts == [
        "Teacher, 4 steps: Linear, from noise 0 to noise 1, 9 images, left to right",
        "SFDDM, 4 steps: Linear, from noise 0 to noise 1, 9 images, left to right",
    ]
    with np.load(runs / "collected" / "samples.npz", allow_pickle=False) as samples:
        found = {name for name in samples.files if name.startswith("interpolation/")}
        assert found == {f"interpolation/sfddm/4/0/{name}" for name in strips}
        np.testing.assert_array_equal(samples["interpolation/sfddm/4/0/linear/teacher"], strips["linear/teacher"][:2])
    (only,) = read(runs / "collected")["interpolations"]
    assert (only["method"], only["steps"], only["seed"], len(only["rows"])) == ("sfddm", 4, 0, 3)
    assert json.loads((runs / "out" / "metrics.json").read_text())["interpolations"] == [only]


def test_broken_files_are_told_apart_from_absent_ones(run) -> None:
    spec, runs = run
    place = runs / "seed-0" / "sfddm" / "steps-4"
    put_paths(place, {"linear": 1.0})
    (place / "interpolation.npz").write_bytes(b"PK nothing")
    with pytest.raises(SfddmError, match=r"interpolation\.npz: not an archive"):
        collect(spec, runs, runs / "collected")
    (place / "interpolation.npz").unlink()
    with pytest.raises(SfddmError, match=r"interpolation\.npz: no such file; `sfddm measure` writes it"):
        collect(spec, runs, runs / "collected")
    (place / "interpolation.json").unlink()
    put_json(place / "audit.json", {"schema": 1, "rows": [{"metric": "frechet_distance"}], "note": ""})
    with pytest.raises(SfddmError, match=r"audit\.json: rows\.0\.label: this key is missing"):
        collect(spec, runs, runs / "collected")
    assert not (runs / "collected").exists()
