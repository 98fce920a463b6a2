"""Points in the plane on their way through the stages: source, spec, figures, agreement, report."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy.linalg import sqrtm
from support.pages import parse
from support.point_runs import FILE, SPEC, collected, make_spec, points

from sfddm.data.fetch import fetch
from sfddm.data.gaussians import petals
from sfddm.data.spec import DataSpec
from sfddm.data.store import open_store
from sfddm.evaluation.compare import compare
from sfddm.evaluation.intervals import Blocks
from sfddm.evaluation.measurements.agreement import Agreement
from sfddm.evaluation.measurements.base import Inputs, write_measurement
from sfddm.evaluation.metrics.frechet_distance import RealSide, frechet_by_block
from sfddm.evaluation.reference import reference_statistics
from sfddm.extractors.base import extract_features
from sfddm.extractors.points import LENGTH, coordinates_of, fourier_features
from sfddm.records.pictures import sample_grid
from sfddm.report.collect import KEPT_POINTS, _first_samples
from sfddm.report.content import read_content
from sfddm.report.points import are_points, panel, share_near
from sfddm.report.render import render_html
from sfddm.runtime.errors import SfddmError
from sfddm.spec import stages
from sfddm.spec.load import parse_spec


def data_section(**options: Any) -> Any:
    section = {"source": "gaussians-2d", "label": "Points", "images": 3000} | options
    return TypeAdapter(DataSpec).validate_python(section)


def test_the_store_holds_the_mixture_in_256_levels(tmp_path: Path) -> None:
    fetch(data_section(splits=["train", "test"]), tmp_path)
    train, test = (open_store(tmp_path / split) for split in ("train", "test"))
    assert train.images.shape == (3000, 1, 1, 2)
    assert train.manifest["class_names"] == [f"arm {number}" for number in range(8)]
    mixture, found = petals(), train.images.reshape(-1, 2) / 127.5 - 1
    for label in range(8):
        own = mixture.given(label)
        apart = np.linalg.norm(found[train.labels == label][:, None] - own.means, axis=2).min(axis=1)
        assert apart.max() < 5 * 0.04
        # Of an isotropic Gaussian in the plane, the mean squared distance from the middle is twice the variance.
        assert np.square(apart).mean() == pytest.approx(2 * 0.04**2, rel=0.2)
    assert not np.array_equal(train.images, test.images)
    fetch(data_section(), tmp_path / "again")
    assert open_store(tmp_path / "again" / "train").digest == train.digest
    fetch(data_section(seed=1), tmp_path / "other")
    assert open_store(tmp_path / "other" / "train").digest != train.digest


@pytest.mark.parametrize("wrong", [{"channels": 3}, {"image_size": 2}, {"images": 0}, {"center_crop": 1}])
def test_a_point_has_one_shape_only(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        data_section(**wrong)


def test_images_still_have_one_channel_or_three() -> None:
    digits = {"source": "sklearn-digits", "label": "d", "image_size": 8}
    for wrong in ({"channels": 2}, {"channels": 1, "image_size": 1}):
        with pytest.raises(ValidationError):
            TypeAdapter(DataSpec).validate_python(digits | wrong)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"network": {"kind": "unet"}}, "network.kind: must be mlp"),
        (
            {"evaluation": {"samples": 64}},
            "must be points for a source of points, and for no other; gaussians-2d gives points",
        ),
        ({"evaluation": SPEC["evaluation"] | {"audit": ["ddim"]}}, "evaluation.audit: is for images, not for points"),
        (
            {"data": {"source": "sklearn-digits", "label": "d", "image_size": 8, "channels": 1}},
            "sklearn-digits gives images",
        ),
    ],
)
def test_points_and_images_are_not_mixed(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SfddmError, match=sentence):
        parse_spec(SPEC | change, "a test")


def test_coordinates_lie_between_minus_one_and_one() -> None:
    some = np.array([[0, 255], [127, 128]], dtype=np.uint8).reshape(2, 1, 1, 2)
    found = coordinates_of(some)
    np.testing.assert_allclose(found, [[-1, 1], [-1 / 255, 1 / 255]], atol=1e-7)
    assert found.dtype == np.float32
    features = extract_features(some, make_spec().evaluation)
    np.testing.assert_allclose(np.square(features).mean(axis=1), 1, rtol=1e-6)


def test_mean_products_of_features_are_a_gaussian_kernel() -> None:
    draw = np.random.default_rng(0)
    apart, scale, deviation = 0.05, LENGTH, 0.03
    x, y = draw.normal(size=(2, 20_000, 2)) * deviation + np.array([[[0.2, 0.0]], [[0.2 + apart, 0.0]]])
    means = [fourier_features(some.astype(np.float32)).mean(axis=0) for some in (x, y)]
    width = scale**2 + 2 * deviation**2  # of the kernel and the difference of two points
    wanted = [scale**2 / width * np.exp(-(d**2) / (2 * width)) for d in (0.0, apart)]
    assert means[0] @ means[0] / 128 == pytest.approx(wanted[0], abs=0.05)
    assert means[0] @ means[1] / 128 == pytest.approx(wanted[1], abs=0.05)
    far = fourier_features(x.astype(np.float32) + 0.7).mean(axis=0)
    assert abs(means[0] @ far) / 128 < 0.2  # 64 frequencies: 0 but for an error of about 1 / 8


def test_a_ring_is_not_a_disc_of_the_same_mean_and_covariance() -> None:
    draw = np.random.default_rng(1)
    angle = draw.uniform(0, 2 * np.pi, 4000)
    circle = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ring = (0.5 * circle).astype(np.float32)
    disc = (0.5 * np.sqrt(2) * np.sqrt(draw.uniform(size=(4000, 1))) * circle).astype(np.float32)
    np.testing.assert_allclose(np.cov(ring.T), np.cov(disc.T), atol=0.01)
    blocks, half = Blocks(2000, 4), slice(None, 2000)
    blind = frechet_by_block(ring[half], RealSide.of(disc), blocks).value
    seen = frechet_by_block(fourier_features(ring[half]), RealSide.of(fourier_features(disc)), blocks).value
    same = frechet_by_block(fourier_features(ring[half]), RealSide.of(fourier_features(ring[2000:])), blocks).value
    assert blind < 1e-3
    assert seen > 10 * same


def test_the_frechet_distance_of_points_is_heusels_formula() -> None:
    draw = np.random.default_rng(3)
    x = (draw.normal(size=(400, 2)) @ np.array([[0.3, 0.1], [0.0, 0.2]])).astype(np.float32)
    y = (draw.normal(size=(500, 2)) * 0.25 + 0.1).astype(np.float32)
    rows = compare(x, reference_statistics(y, 3), stages.scoring(make_spec(blocks=4)))
    a, b = np.cov(x.T), np.cov(y.T)
    wanted = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert [row.label for row in rows][:4] == ["FD points", "KID points", "Precision points", "Recall points"]
    assert all(row.label.endswith(" points") for row in rows)
    assert rows[0].value == pytest.approx(wanted, rel=1e-5)
    assert rows[0].low <= wanted <= rows[0].high


def test_agreement_of_points_is_the_l1_distance_alone(tmp_path: Path) -> None:
    spec = make_spec(samples=200, blocks=4)
    teacher = points(200)
    student = np.where(teacher > 20, teacher - 20, teacher + 20).astype(np.uint8)
    np.save(tmp_path / "teacher.npy", teacher)
    np.save(tmp_path / "student.npy", student)
    section = stages.measurement(spec, "agreement", "ddim", 4)
    inputs = Inputs(section, samples=tmp_path / "student.npy", teacher_samples=tmp_path / "teacher.npy")
    write_measurement(Agreement, inputs, tmp_path / "agreement.json")
    written = json.loads((tmp_path / "agreement.json").read_text())
    assert [row["metric"] for row in written["rows"]] == ["l1_teacher", "l1_teacher_control"]
    near, far = written["rows"]
    assert near["value"] == pytest.approx(20 / 127.5)
    assert far["low"] > near["high"]
    assert list(written["protocol"]["settings"]) == ["l1_teacher"]


def test_evaluating_points_imports_no_torch_fidelity() -> None:
    script = (
        "import sys, numpy as np; from sfddm.spec.load import load_spec; import sfddm.evaluation.score; "
        "from sfddm.evaluation.compare import compare; from sfddm.spec.stages import scoring; "
        "from sfddm.evaluation.reference import reference_statistics; "
        "x = np.random.default_rng(0).normal(size=(100, 2)).astype('float32'); "
        "compare(x, reference_statistics(x, 3), scoring(load_spec(sys.argv[1]))); "
        "assert not {name.partition('.')[0] for name in sys.modules} & {'torch_fidelity', 'torchvision', 'diffusers'}"
    )
    subprocess.run([sys.executable, "-c", script, str(FILE)], check=True)


def test_more_points_than_images_are_kept(tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", points(KEPT_POINTS + 5))
    assert len(_first_samples(tmp_path / "points.npy", KEPT_POINTS + 5)) == KEPT_POINTS
    np.save(tmp_path / "two.npy", np.zeros((5, 2, 2, 2), np.uint8))
    with pytest.raises(SfddmError, match=r"points \(N, 1, 1, 2\), got uint8 of shape \(5, 2, 2, 2\)"):
        _first_samples(tmp_path / "two.npy", 5)
    assert not are_points(np.zeros((5, 1, 1, 3), np.uint8))


def test_a_panel_draws_each_point_where_it_is_and_says_so() -> None:
    some = np.array([[0, 0], [255, 255], [10, 200]], np.uint8).reshape(3, 1, 1, 2)
    drawn = parse(panel(some, some[:2], "A <row>", 1, "real-points")["svg"])
    dots = [re.findall(r"M(\d+) (\d+)h0", path) for path in drawn.values("d")]
    assert dots == [[("0", "255"), ("255", "0"), ("10", "55")]]  # y points upwards
    assert drawn.values("href") == ["#real-points"]
    real = parse(panel(some[:2], None, "Real points", None, "real-points")["svg"])
    assert real.one("g", id="real-points").values("d") == ["M0 255h0M255 0h0"]
    (described,) = drawn.values("aria-label")
    assert "A <row>, 1 step: 3 points" in described
    assert "67 % of them within 0.03 of one of 2 real points" in described
    assert share_near(some, some[:1]) == pytest.approx(1 / 3)


def test_the_report_shows_scatter_plots_and_the_l1_distance(tmp_path: Path) -> None:
    content = read_content([collected(tmp_path)], tmp_path / "none")
    page = parse(render_html(content))
    plots = page.every("svg", class_="points")
    assert len(plots) == 3
    assert all(plot.attributes["role"] == "img" and plot.attributes["aria-label"] for plot in plots)
    assert [sum(d.count("h0") for d in plot.values("d")) for plot in plots] == [500, 500, 500]
    name = f"real-points-{content.collected[0].provenance.experiment}"
    assert page.one("g", id=name)
    assert len(page.every("use", href=f"#{name}")) == 2
    assert not page.every("img")
    assert "12.3" in page.text
    agreement = page.one("section", id="agreement").text
    assert "1 of 1 by L1 distance" in agreement
    assert "PSNR" not in agreement
    picture = sample_grid(content, 100_000)
    assert picture is not None
    assert picture.startswith(b"\x89PNG")
