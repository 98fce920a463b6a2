"""Agreement with the teacher: each figure against a closed form or a brute-force computation of its definition."""

from __future__ import annotations

import json

import numpy as np
import pytest
from support.score_specs import make_spec

from sfddm.evaluation.measurements.agreement import (
    METRICS,
    PSNR_CEILING,
    Agreement,
    agreement_rows,
    distance_of_pairs,
    psnr_of_pairs,
    ssim_of_pairs,
)
from sfddm.evaluation.measurements.base import Inputs, write_measurement
from sfddm.evaluation.sections import Samples
from sfddm.runtime.errors import SfddmError
from sfddm.spec import stages


def pictures(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def brute_force_ssim(x: np.ndarray, y: np.ndarray, side: int) -> float:
    """Wang et al. 2004, equations 1 to 13, window by window, with numpy's own mean, variance and covariance."""
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for channel in range(x.shape[2]):
        for top in range(x.shape[0] - side + 1):
            for left in range(x.shape[1] - side + 1):
                a = x[top : top + side, left : left + side, channel].astype(float).ravel()
                b = y[top : top + side, left : left + side, channel].astype(float).ravel()
                (va, cov), (_, vb) = np.cov(a, b)
                luminance = (2 * a.mean() * b.mean() + c1) / (a.mean() ** 2 + b.mean() ** 2 + c1)
                found.append(luminance * (2 * cov + c2) / (va + vb + c2))
    return float(np.mean(found))


@pytest.mark.parametrize(("shape", "side"), [((8, 8, 1), 7), ((11, 9, 3), 7), ((7, 7, 1), 7), ((5, 5, 1), 5)])
def test_structural_similarity_is_that_of_a_brute_force_computation(shape: tuple[int, ...], side: int) -> None:
    x = pictures(300, *shape)
    y = (x // 2 + pictures(300, *shape, seed=1) // 2).astype(np.uint8)
    wanted = [brute_force_ssim(a, b, side) for a, b in zip(x[::37], y[::37], strict=True)]
    np.testing.assert_allclose(ssim_of_pairs(x, y)[::37], wanted, rtol=1e-12)


def test_structural_similarity_of_flat_and_equal_images_has_a_closed_form() -> None:
    x = np.full((1, 8, 8, 1), 100, np.uint8)
    y = np.full((1, 8, 8, 1), 150, np.uint8)
    c1 = 2.55**2
    np.testing.assert_allclose(ssim_of_pairs(x, y), (2 * 100 * 150 + c1) / (100**2 + 150**2 + c1), rtol=1e-14)
    assert ssim_of_pairs(x, x)[0] == 1.0
    dark_and_bright = np.where(np.indices((8, 8)).sum(0) % 2, 255, 0).astype(np.uint8)[None, ..., None]
    assert ssim_of_pairs(dark_and_bright, 255 - dark_and_bright)[0] < -0.9


def test_peak_signal_to_noise_ratio_has_its_closed_form_and_a_ceiling() -> None:
    x = np.full((4, 8, 8, 1), 100, np.uint8)
    y = x.copy()
    y[1] += 1  # mean squared error 1
    y[2, 0, 0] = 108  # 64 / 64 = 1, too
    y[3] = 255  # 155^2; as uint8 the difference would wrap round
    found = psnr_of_pairs(x, y)
    np.testing.assert_allclose(found[1:], [48.1308036, 48.1308036, 20 * np.log10(255 / 155)], atol=1e-7)
    np.testing.assert_allclose(psnr_of_pairs(y, x), found)
    assert found[0] == PSNR_CEILING == pytest.approx(10 * np.log10(255**2 * 12))
    one_level = x[:1].copy()
    one_level[0, 0, 0] += 1  # an error of 1/64 is less than that of rounding
    assert psnr_of_pairs(x[:1], one_level)[0] == PSNR_CEILING


def test_distances_of_features_are_euclidean() -> None:
    x = np.zeros((2, 4), np.float32)
    y = np.array([[3, 0, 4, 0], [0, 0, 0, -2]], np.float32)
    assert distance_of_pairs(x, y).tolist() == [5.0, 2.0]


def rows_of(samples: np.ndarray, teacher: np.ndarray, blocks: int = 5) -> dict[str, dict[str, float]]:
    shape = {"image_size": samples.shape[1], "channels": samples.shape[3]}
    section = Samples(data_label="x", seed=0, confidence=0.95, samples=len(samples), blocks=blocks, **shape)
    features = [some.reshape(len(some), -1).astype(np.float32) for some in (samples, teacher)]
    return {row.metric: vars(row) for row in agreement_rows(samples, teacher, (features[0], features[1]), section)}


def test_the_control_is_the_same_figure_against_the_next_image() -> None:
    teacher = pictures(40, 8, 8, 1)
    samples = np.clip(teacher.astype(int) + 3, 0, 255).astype(np.uint8)
    rows = rows_of(samples, teacher)
    assert list(rows) == [*METRICS, *(f"{metric}_control" for metric in METRICS)]
    assert rows["l1_teacher"]["value"] == pytest.approx(np.abs(samples / 127.5 - teacher / 127.5).mean())
    assert rows["l1_teacher"]["high"] < rows["l1_teacher_control"]["low"]
    other = np.concatenate([teacher[1:], teacher[:1]])
    wanted = {"psnr_teacher": psnr_of_pairs, "ssim_teacher": ssim_of_pairs}
    for metric, figure in wanted.items():
        assert rows[metric]["value"] == pytest.approx(figure(samples, teacher).mean())
        assert rows[f"{metric}_control"]["value"] == pytest.approx(figure(samples, other).mean())
    # Agreement is far outside the control's interval here, on the right side for each figure.
    assert rows["psnr_teacher"]["low"] > rows["psnr_teacher_control"]["high"] + 20
    assert rows["ssim_teacher"]["low"] > rows["ssim_teacher_control"]["high"] + 0.5
    assert rows["feature_distance_teacher"]["high"] < rows["feature_distance_teacher_control"]["low"]
    # And where the samples do not follow the noise, the two agree within their intervals.
    unrelated = rows_of(pictures(40, 8, 8, 1, seed=5), teacher)
    gap = unrelated["ssim_teacher"]["value"] - unrelated["ssim_teacher_control"]["value"]
    assert abs(gap) < 0.1


def test_the_interval_of_a_mean_is_students_over_blocks() -> None:
    teacher, samples = pictures(40, 8, 8, 1), pictures(40, 8, 8, 1, seed=1)
    row = rows_of(samples, teacher, blocks=5)["ssim_teacher"]
    means = ssim_of_pairs(samples, teacher).reshape(5, 8).mean(axis=1)
    half = 2.7764451 * means.std(ddof=1) / np.sqrt(5)  # t of 4 degrees of freedom at 0.975
    np.testing.assert_allclose([row["low"], row["high"]], [means.mean() - half, means.mean() + half], rtol=1e-6)


def test_identical_sets_stay_finite_and_within_range() -> None:
    teacher = pictures(20, 8, 8, 3)
    rows = rows_of(teacher, teacher)
    assert [rows[metric]["value"] for metric in METRICS] == pytest.approx([PSNR_CEILING, 1.0, 0.0, 0.0])
    assert rows["psnr_teacher"]["high"] <= PSNR_CEILING + 1e-12
    assert rows["ssim_teacher_control"]["value"] < 0.2


def test_sets_of_different_size_are_refused() -> None:
    with pytest.raises(ValueError, match="could not be broadcast"):
        rows_of(pictures(20, 8, 8, 1), pictures(19, 8, 8, 1))


def test_the_stage_writes_figures_with_their_protocol(tmp_path) -> None:
    from sklearn.datasets import load_digits

    digits = np.round(load_digits().images[:70] * (255 / 16)).astype(np.uint8)[..., None]
    near = np.clip(digits.astype(int) + pictures(*digits.shape) // 16, 0, 255).astype(np.uint8)
    np.save(tmp_path / "teacher.npy", digits)
    np.save(tmp_path / "student.npy", near)
    section = stages.measurement(make_spec(), "agreement", "ddim", 4)
    student, teacher, out = (tmp_path / name for name in ("student.npy", "teacher.npy", "agreement.json"))
    write_measurement(Agreement, Inputs(section, samples=student, teacher_samples=teacher), out)
    with np.load(tmp_path / "agreement.npz") as arrays:
        assert arrays.files == []
    written = json.loads((tmp_path / "agreement.json").read_text())
    rows = {row["metric"]: row for row in written["rows"]}
    assert written["schema"] == 1
    assert rows["psnr_teacher"]["value"] == pytest.approx(psnr_of_pairs(near[:60], digits[:60]).mean())
    assert rows["feature_distance_teacher"]["value"] < 0.7 * rows["feature_distance_teacher_control"]["value"]
    assert "EfficientNet-Lite0" in rows["feature_distance_teacher"]["label"]
    protocol = written["protocol"]
    assert (protocol["generated_images"], protocol["sampling_seed"], protocol["identical_images"]) == (60, 7, 0)
    assert "58.92 dB" in protocol["settings"]["psnr_teacher"]
    assert "7x7" in protocol["settings"]["ssim_teacher"]

    np.save(tmp_path / "short.npy", digits[:59])
    with pytest.raises(SfddmError, match=r"short\.npy: holds 59 images"):
        write_measurement(
            Agreement, Inputs(section, samples=student, teacher_samples=tmp_path / "short.npy"), tmp_path / "none.json"
        )
    assert not (tmp_path / "none.json").exists()
    with pytest.raises(SfddmError, match="--teacher-samples: is missing, the measurement needs it"):
        write_measurement(Agreement, Inputs(section, samples=student), tmp_path / "none.json")
