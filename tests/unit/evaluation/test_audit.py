"""The protocol audit: each protocol against torch-fidelity or a closed form, and the stage on real digits."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from support.score_specs import make_spec

from sfddm.data.store import write_store
from sfddm.diffusion.randomness import epoch_order
from sfddm.evaluation.intervals import Blocks, stratified_interval
from sfddm.evaluation.measurements.audit import ProtocolAudit, as_jpeg
from sfddm.evaluation.measurements.base import Inputs, write_measurement
from sfddm.evaluation.metrics.frechet_distance import RealSide, frechet_by_block, frechet_of_few
from sfddm.evaluation.reference import write_reference
from sfddm.evaluation.score import score
from sfddm.extractors.base import extract_features, extract_layers
from sfddm.extractors.efficientnet_lite0 import EfficientNetLite0
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.torchvision_operators import declare_missing_operators
from sfddm.spec import stages

pytestmark = pytest.mark.slow


def fidelity_distance(x: np.ndarray, y: np.ndarray) -> float:
    declare_missing_operators()
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    both = [some.astype(np.float64) for some in (x, y)]
    statistics = [{"mu": some.mean(axis=0), "sigma": np.cov(some, rowvar=False)} for some in both]
    return float(fid_statistics_to_metric(*statistics, False)[KEY_METRIC_FID])


@pytest.mark.parametrize(("counts", "width"), [((200, 150), 12), ((30, 30), 90), ((20, 45), 60)])
def test_the_distance_of_few_images_is_torch_fidelitys(counts: tuple[int, int], width: int) -> None:
    generator = np.random.default_rng(0)
    mixing = generator.normal(size=(width, width))
    x = (generator.normal(size=(counts[0], width)) @ mixing).astype(np.float32)
    y = (generator.normal(size=(counts[1], width)) @ mixing * 1.3 + 0.2).astype(np.float32)
    wanted = fidelity_distance(x, y)
    assert frechet_of_few(x, y) == pytest.approx(wanted, rel=1e-5)
    # The same from either side of the matrix, and its replicates are those of the images that are left.
    size = counts[0] // 4
    found = frechet_by_block(x, RealSide.of(y), Blocks(counts[0], 4))
    assert found.value == pytest.approx(wanted, rel=1e-5)
    without = [fidelity_distance(np.delete(x, range(b * size, (b + 1) * size), axis=0), y) for b in range(4)]
    np.testing.assert_allclose(found.replicates, without, rtol=1e-5)


def test_few_images_in_many_dimensions_are_far_apart_although_nothing_differs() -> None:
    # Each covariance has expected trace D, but of rank 9 in 2,000 dimensions the two hardly overlap: nearly 2 D.
    generator = np.random.default_rng(0)
    few = [generator.normal(size=(10, 2000)).astype(np.float32) for _ in range(2)]
    many = [generator.normal(size=(300, 4)).astype(np.float32) for _ in range(2)]
    assert frechet_of_few(*few) > 0.8 * 2 * 2000
    assert frechet_of_few(*many) < 0.1
    assert frechet_of_few(few[0], few[0]) == pytest.approx(0, abs=1e-6)


def test_the_interval_over_batches_ignores_what_the_layers_differ_in() -> None:
    strata = np.array([[1.0, 2.0, 3.0], [101.0, 102.0, 103.0]])
    low, high = stratified_interval(strata, 0.95)
    half = 2.7764451 / np.sqrt(6)  # t of 4 degrees of freedom at 0.975; the variance within each layer is 1
    assert (low, high) == pytest.approx((52 - half, 52 + half))
    assert stratified_interval(strata[:, :1], 0.95) == (None, None)


def test_jpeg_loses_more_at_less_quality() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 16, 16, 3), np.uint8)
    losses = [np.abs(as_jpeg(images, quality).astype(int) - images).mean() for quality in (95, 75)]
    assert 0 < losses[0] < losses[1]
    grey = np.random.default_rng(0).integers(100, 120, (3, 8, 8, 1), np.uint8)
    back = as_jpeg(grey, 95)
    assert back.shape == grey.shape
    assert 0 < np.abs(back.astype(int) - grey).max() < 12


@pytest.fixture(scope="module", autouse=True)
def _narrow_layer() -> Iterator[None]:
    """Let metrics use a layer 112 wide: distances in 1,280 dimensions take seconds each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EfficientNetLite0, "layer", "112")
        yield


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    return np.round(load_digits().images[:1000] * (255 / 16)).astype(np.uint8)[..., None]


@pytest.fixture(scope="module")
def run(tmp_path_factory, digits):
    """A run of 260 noisy digits against 440 real ones, audited."""
    folder = tmp_path_factory.mktemp("run")
    spec = make_spec(samples=260, blocks=2, metrics=["frechet_distance"], reference_images=440)
    for split, images in (("train", digits[:450]), ("test", digits[450:600])):
        stored = ((image, -1) for image in images)
        write_store(folder / "data" / split, "digits", {}, (8, 8, 1), stored, count=len(images))
    noise = np.random.default_rng(0).integers(0, 60, (300, 8, 8, 1))
    np.save(folder / "samples.npy", np.clip(digits[600:900].astype(int) + noise, 0, 255).astype(np.uint8))
    write_reference(stages.scoring(spec), folder / "data", folder / "reference")
    score(stages.scoring(spec), folder / "samples.npy", folder / "reference", folder / "score.json")
    audit(spec, folder / "samples.npy", folder / "reference", folder / "data", folder / "audit.json")
    return folder, spec, json.loads((folder / "audit.json").read_text())


def audit(spec, samples, reference, data, out) -> None:
    section = stages.measurement(spec, "audit", "ddim", 4)
    write_measurement(ProtocolAudit, Inputs(section, samples=samples, reference=reference, data=data), out)


def by_name(written) -> dict[str, dict]:
    return {row["protocol_name"]: row for row in written["rows"]}


def test_every_protocol_that_the_images_allow_is_there_and_described(run) -> None:
    folder, _, written = run
    rows = by_name(written)
    assert list(rows) == [
        "own",
        "images-250",
        "images-100",
        "released",
        "resolution-64",
        "jpeg-95",
        "jpeg-75",
        "split-test",
    ]
    assert all(row["metric"] == "frechet_distance" and row["description"] for row in rows.values())
    assert all(row["low"] <= row["value"] <= row["high"] for row in rows.values() if row["low"] is not None)
    scored = json.loads((folder / "score.json").read_text())["rows"][0]
    assert {key: rows["own"][key] for key in ("label", "value", "low", "high")} == pytest.approx(
        {key: scored[key] for key in ("label", "value", "low", "high")}
    )
    counts = {name: (row["images"], row["reference_images"]) for name, row in rows.items()}
    assert counts["own"] == counts["jpeg-75"] == counts["resolution-64"] == (260, 440)
    assert counts["images-250"] == (250, 440)
    assert counts["images-100"] == (100, 440)
    assert counts["released"] == (200, 200)
    assert counts["split-test"] == (260, 150)
    assert rows["split-test"]["reference_split"] == "test"
    assert rows["resolution-64"]["resize"].startswith("64x64")
    assert rows["released"]["layer"] == "192 and 672"
    assert "layers 192 and 672" in rows["released"]["label"]
    assert "cannot" in written["note"]


def test_protocols_move_the_figure_as_they_must(run) -> None:
    values = {name: row["value"] for name, row in by_name(run[2]).items()}
    # Fewer images are further away by bias alone; JPEG moves the figure without another image having been sampled.
    assert values["images-100"] > values["images-250"] > values["own"]
    assert abs(values["jpeg-75"] - values["own"]) > abs(values["jpeg-95"] - values["own"]) > 1e-3
    assert values["split-test"] != pytest.approx(values["own"], rel=0.01)


def test_both_sides_are_resized_alike(run, digits) -> None:
    folder, spec, written = run
    larger = spec.evaluation.model_copy(update={"extractor_resolution": 64})
    generated = extract_features(np.load(folder / "samples.npy")[:260], larger)
    real = extract_features(digits[:450][np.sort(epoch_order_of_reference(450)[:440])], larger)
    wanted = fidelity_distance(generated, real)
    assert by_name(written)["resolution-64"]["value"] == pytest.approx(wanted, rel=1e-4)


def test_the_released_codes_protocol_is_the_mean_over_batches_of_both_layers(run, digits) -> None:
    folder, spec, written = run
    generated = extract_layers(np.load(folder / "samples.npy")[:200], spec.evaluation, ("192", "672"))
    chosen = np.sort(epoch_order_of_reference(450)[:440])
    order = epoch_order(123, 0, 440)[:200]
    real = extract_layers(digits[:450][chosen][order], spec.evaluation, ("192", "672"))
    batches = [
        fidelity_distance(generated[layer][place], real[layer][place])
        for layer, place in (("192", slice(0, 100)), ("672", slice(100, 200)))
    ]
    assert by_name(written)["released"]["value"] == pytest.approx(np.mean(batches), rel=1e-4)


def epoch_order_of_reference(count: int) -> np.ndarray:
    from sfddm.diffusion.randomness import derived_seed

    return epoch_order(derived_seed("evaluation", "reference"), 0, count)


def test_a_set_too_small_for_a_protocol_leaves_it_out(tmp_path, digits) -> None:
    spec = make_spec(samples=20, blocks=2, metrics=["frechet_distance"])
    write_store(tmp_path / "train", "digits", {}, (8, 8, 1), ((image, -1) for image in digits[:50]), count=50)
    np.save(tmp_path / "samples.npy", digits[:20])
    write_reference(stages.scoring(spec), tmp_path, tmp_path / "reference")
    audit(spec, tmp_path / "samples.npy", tmp_path / "reference", tmp_path, tmp_path / "audit.json")
    assert list(by_name(json.loads((tmp_path / "audit.json").read_text()))) == [
        "own",
        "resolution-64",
        "jpeg-95",
        "jpeg-75",
    ]
    # A store that is not the reference's own is told apart.
    write_store(tmp_path / "train", "digits", {}, (8, 8, 1), ((image, -1) for image in digits[:60]), count=60)
    with pytest.raises(SfddmError, match="gives 60 reference images, the reference was made from 50"):
        audit(spec, tmp_path / "samples.npy", tmp_path / "reference", tmp_path, tmp_path / "none.json")
    assert not (tmp_path / "none.json").exists()
