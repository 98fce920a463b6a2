"""Interpolation in noise: mixtures and path numbers against closed forms, and the stage end to end."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from support.exact_networks import gaussian_denoiser, tiny_denoiser
from support.score_specs import make_spec

from sfddm.data.store import write_store
from sfddm.diffusion.randomness import initial_noise
from sfddm.diffusion.schedule import make_schedule
from sfddm.evaluation.measurements.base import Inputs, write_measurement
from sfddm.evaluation.measurements.interpolation import (
    NoiseInterpolation,
    cross_fade,
    images_of_paths,
    linear,
    path_figures,
    path_numbers,
    spherical,
)
from sfddm.evaluation.pairwise import nearest
from sfddm.evaluation.reference import write_reference
from sfddm.networks.model_folder import save_model
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.base import find_sampler
from sfddm.samplers.ddim import DDIM
from sfddm.sampling.images import sample_row
from sfddm.sampling.sections import RowSampling
from sfddm.spec import stages

UNCLIPPED = DDIM(clip=False)


def sampling(sampler, batch_size: int = 20) -> RowSampling:
    return RowSampling("x", "student", 4, (7, 23, 47, 63), sampler, 1.0, (1, 8, 8), 8, 5, batch_size)


def noises(pairs: int, *shape: int) -> tuple[np.ndarray, np.ndarray]:
    noise = initial_noise(3, 0, 2 * pairs, shape)
    return noise[::2], noise[1::2]


def test_mixtures_start_and_end_at_the_noises_themselves() -> None:
    first, second = noises(3, 1, 4, 4)
    for mixture in (linear, spherical):
        path = mixture(first, second)
        assert path.shape == (3, 9, 1, 4, 4)
        assert path.dtype == np.float32
        assert np.array_equal(path[:, 0], first)
        np.testing.assert_allclose(path[:, 8], second, atol=1e-7)
    np.testing.assert_allclose(linear(first, second)[:, 2], 0.75 * first + 0.25 * second, atol=1e-6)


def test_the_spherical_way_turns_evenly_and_keeps_its_length() -> None:
    first = np.array([[2.0, 0.0, 0.0]], np.float32)
    second = np.array([[0.0, 2.0, 0.0]], np.float32)
    angles = np.arange(9) * np.pi / 16
    wanted = 2 * np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
    np.testing.assert_allclose(spherical(first, second)[0], wanted, atol=1e-6)
    # Of two independent noises, the middle keeps its size, while the linear one has a root of one half of it.
    first, second = noises(20, 1, 16, 16)
    sizes = [np.linalg.norm(mixture(first, second)[:, 4].reshape(20, -1), axis=1) for mixture in (spherical, linear)]
    assert sizes[0] / 16 == pytest.approx(np.ones(20), abs=0.15)
    assert sizes[1] / 16 == pytest.approx(np.full(20, np.sqrt(0.5)), abs=0.1)


def test_noises_in_one_direction_are_mixed_linearly() -> None:
    first, _ = noises(2, 1, 4, 4)
    np.testing.assert_allclose(spherical(first, 3 * first), linear(first, 3 * first), rtol=1e-5)


def test_path_numbers_have_their_closed_forms() -> None:
    straight = np.linspace(0, 1, 9)[:, None] * np.array([3.0, 4.0])
    angles = np.linspace(0, np.pi / 2, 9)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    jump = np.repeat([[0.0, 0.0], [1.0, 0.0]], [5, 4], axis=0)
    there_and_back = np.abs(np.linspace(-1, 1, 9))[:, None] * np.array([1.0, 0.0])
    still = np.ones((9, 2))
    ratio, largest = path_numbers(np.stack([straight, arc, jump, there_and_back, still]))
    chord = 8 * 2 * np.sin(np.pi / 32) / np.sqrt(2)
    np.testing.assert_allclose(ratio[:3], [1.0, chord, 1.0])
    np.testing.assert_allclose(largest[:4], [1 / 8, 1 / 8, 1.0, 1 / 8])
    assert np.isnan(ratio[3:]).all()
    assert np.isnan(largest[4])


def test_a_cross_fade_is_straight_and_even_in_pixels() -> None:
    ends = np.random.default_rng(0).integers(0, 256, (4, 9, 16, 16, 3), dtype=np.uint8)
    fade = cross_fade(ends)
    assert np.array_equal(fade[:, 0], ends[:, 0])
    assert np.array_equal(fade[:, 8], ends[:, 8])
    assert fade[0, 2, 0, 0, 0] == round(0.75 * ends[0, 0, 0, 0, 0] + 0.25 * ends[0, 8, 0, 0, 0])
    ratio, largest = path_numbers(fade)
    np.testing.assert_allclose(ratio, 1, atol=1e-3)
    np.testing.assert_allclose(largest, 1 / 8, atol=1e-3)


def test_nearest_distances_are_those_of_all_pairs() -> None:
    generator = np.random.default_rng(0)
    ours = generator.normal(size=(20, 5)).astype(np.float32)
    real = generator.normal(size=(5000, 5)).astype(np.float32)
    wanted = np.linalg.norm(ours[:, None].astype(float) - real[None], axis=2).min(axis=1)
    np.testing.assert_allclose(nearest(ours, real)[0], wanted, rtol=1e-6)


def figures(nearest_real: np.ndarray, images: np.ndarray | None = None) -> dict[tuple[str, str], dict]:
    pairs = len(nearest_real)
    images = np.random.default_rng(1).integers(0, 256, (pairs, 9, 4, 4, 1), np.uint8) if images is None else images
    features = images.reshape(pairs, 9, -1).astype(np.float32) ** 2
    rows = path_figures(images, features, nearest_real, "student", "linear", 0.95)
    assert all((row.who, row.kind) == ("student", "linear") for row in rows)
    return {(row.metric, row.space): vars(row) for row in rows}


def test_realism_compares_the_inner_images_with_the_ends() -> None:
    distances = np.tile([2.0, 3, 3, 3, 3, 3, 3, 3, 4.0], (3, 1))
    row = figures(distances)["intermediate_realism_ratio", "features"]
    assert (row["value"], row["low"], row["high"], row["pairs"]) == (1.0, 1.0, 1.0, 3)
    distances[:, 1:8] = 6
    assert figures(distances)["intermediate_realism_ratio", "features"]["value"] == 2.0
    assert ("intermediate_realism_ratio", "features") not in figures(np.zeros((3, 9)))


def test_intervals_are_students_over_pairs() -> None:
    images = np.random.default_rng(1).integers(0, 256, (6, 9, 4, 4, 1), np.uint8)
    row = figures(np.ones((6, 9)), images)["path_length_ratio", "pixels"]
    ratio, _ = path_numbers(images)
    half = 2.5705818 * ratio.std(ddof=1) / np.sqrt(6)  # t of 5 degrees of freedom at 0.975
    np.testing.assert_allclose(row["value"], ratio.mean())
    np.testing.assert_allclose([row["low"], row["high"]], [ratio.mean() - half, ratio.mean() + half], rtol=1e-6)


def test_pairs_without_a_way_are_left_out_and_counted() -> None:
    images = np.random.default_rng(1).integers(0, 256, (3, 9, 4, 4, 1), np.uint8)
    images[1, 8] = images[1, 0]
    found = figures(np.ones((3, 9)), images)
    assert (found["path_length_ratio", "pixels"]["pairs"], found["path_largest_step", "pixels"]["pairs"]) == (2, 3)
    images[:, 8] = images[:, 0]
    assert ("path_length_ratio", "pixels") not in figures(np.ones((3, 9)), images)
    alone = figures(np.ones((1, 9)))["path_largest_step", "pixels"]
    assert (alone["pairs"], alone["low"], alone["high"]) == (1, None, None)


def test_an_affine_generator_turns_straight_noise_into_a_straight_way() -> None:
    # The optimal network for Gaussian pixels maps noise to images affinely, so the closed forms carry over.
    model = gaussian_denoiser(make_schedule("cosine", 64), torch.full((1, 8, 8), 0.1), 0.25)
    way = sampling(UNCLIPPED)
    first, second = noises(4, 1, 8, 8)
    straight, _ = path_numbers(images_of_paths(model, way, linear(first, second), "cpu"))
    np.testing.assert_allclose(straight, 1, atol=0.01)
    bent, largest = path_numbers(images_of_paths(model, way, spherical(first, second), "cpu"))
    flat = [noise.reshape(4, -1) for noise in (first, second)]
    sizes = [np.linalg.norm(noise, axis=1) for noise in flat]
    angle = np.arccos((flat[0] * flat[1]).sum(axis=1) / (sizes[0] * sizes[1]))
    np.testing.assert_allclose(bent, 8 * np.sin(angle / 16) / np.sin(angle / 2), rtol=0.02)
    np.testing.assert_allclose(largest, 1 / 8, atol=0.02)


def test_a_path_changes_nothing_but_the_initial_noise() -> None:
    model = tiny_denoiser()
    first, _ = noises(3, 1, 8, 8)
    still = np.repeat(first[:, None], 9, axis=1)
    for kind in ("ancestral", "consistency"):
        images = images_of_paths(model, sampling(find_sampler(kind)(), batch_size=9), still, "cpu")
        assert np.abs(images.astype(int) - images[:, :1]).max() <= 1
        assert np.array_equal(
            images, images_of_paths(model, sampling(find_sampler(kind)(), batch_size=27), still, "cpu")
        )
        assert (images[0, 0] != images[1, 0]).any()


@pytest.fixture
def folders(tmp_path):
    from sklearn.datasets import load_digits

    digits = np.round(load_digits().images[:120] * (255 / 16)).astype(np.uint8)[..., None]
    write_store(tmp_path / "data" / "train", "digits", {}, (8, 8, 1), ((image, -1) for image in digits), count=120)
    save_model(tmp_path / "teacher", tiny_denoiser(make_schedule("cosine", 16)), {"depends_on": "x"})
    return tmp_path


def test_the_stage_writes_strips_whose_ends_are_the_rows_samples(folders) -> None:
    spec = make_spec(samples=8, metrics=["kid"], blocks=2, batch_size=18)
    spec = spec.model_copy(update={"methods": make_methods()})
    write_reference(stages.scoring(spec), folders / "data", folders / "reference")
    teacher, out, cpu = folders / "teacher", folders / "out" / "interpolation.json", torch.device("cpu")
    section = stages.measurement(spec, "interpolation", "ddim", 4).model_copy(update={"pairs": 3})
    inputs = Inputs(section, models=(teacher,), teacher=teacher, reference=folders / "reference")
    write_measurement(NoiseInterpolation, inputs, out)
    sample_row(stages.row_sampling(spec, "ddim", 4), [teacher], folders / "samples.npy", device=cpu)
    samples = np.load(folders / "samples.npy").astype(int)
    with np.load(out.with_suffix(".npz"), allow_pickle=False) as archive:
        strips = {name: archive[name] for name in archive.files}
    who = ("student", "teacher", "teacher-reference")
    assert set(strips) == {f"{kind}/{w}" for kind in ("linear", "spherical") for w in who} | {"cross-fade/student"}
    for kind in ("linear", "spherical"):
        strip = strips[f"{kind}/student"].astype(int)
        assert strip.shape == (3, 9, 8, 8, 1)
        assert np.abs(strip[:, 0] - samples[0:6:2]).max() <= 1
        assert np.abs(strip[:, 8] - samples[1:6:2]).max() <= 1
    # The row is DDIM itself, so its teacher on the same steps is the same; at the reference length it is another.
    assert np.array_equal(strips["linear/student"], strips["linear/teacher"])
    assert not np.array_equal(strips["linear/teacher"], strips["linear/teacher-reference"])
    written = json.loads(out.read_text())
    assert len(written["rows"]) == 7 * 5
    ratio, _ = path_numbers(strips["spherical/teacher"])
    wanted = {"who": "teacher", "kind": "spherical", "space": "pixels", "metric": "path_length_ratio"}
    row = next(row for row in written["rows"] if wanted.items() <= row.items())
    assert row["value"] == pytest.approx(ratio.mean())
    assert written["protocol"]["teacher_reference_steps"] == 6
    assert written["protocol"]["pairs"] == 3


def make_methods():
    from sfddm.spec.load import parse_spec

    base = make_spec().model_dump(mode="json")
    methods = {"teacher": {"reference_steps": 6}, "ddim": {}}
    return parse_spec(base | {"methods": methods}, "test").methods


def test_a_model_of_other_steps_is_refused_and_nothing_written(folders) -> None:
    model = tiny_denoiser(make_schedule("cosine", 16))
    model.steps = model.steps.subsequence((1, 2, 3), (1, 2, 3))
    save_model(folders / "student", model, {"depends_on": "x"})
    spec = make_spec(samples=8, metrics=["kid"], blocks=2)
    write_reference(stages.scoring(spec), folders / "data", folders / "reference")
    section = stages.measurement(spec, "interpolation", "ddim", 4)
    assert section.teacher_index_set is None
    models = {"models": (folders / "student",), "teacher": folders / "teacher"}
    with pytest.raises(SfddmError, match="student: is no model at some of the steps of ddim at 4"):
        write_measurement(
            NoiseInterpolation, Inputs(section, reference=folders / "reference", **models), folders / "out" / "x.json"
        )
    assert not (folders / "out").exists()
