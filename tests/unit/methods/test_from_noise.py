"""What holds for every method whose student sees pure noise: one step, no data, no epsilon."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from support.exact_networks import tiny_denoiser
from support.methods import TIMESTEPS, method_of
from support.noise_paths import NOISE, SCHEDULE, TableNetwork, exact_teacher, tau_of
from support.point_runs import SPEC

from sfddm.diffusion.index_sets import karras_indices
from sfddm.methods import all_methods
from sfddm.methods.base import Training
from sfddm.methods.from_noise import FromNoiseMethod
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import load_model, save_model
from sfddm.runtime.errors import SfddmError
from sfddm.spec.load import parse_spec

METHODS = [name for name, method in all_methods().items() if issubclass(method, FromNoiseMethod)]
each = pytest.mark.parametrize("name", METHODS)


def test_both_are_there_and_their_common_base_is_no_method_of_its_own() -> None:
    assert {"pid", "boot"} <= set(METHODS)


@each
def test_its_only_training_sees_no_data_and_its_student_no_image(name: str) -> None:
    method = method_of(name)
    plan = method.plan(1)
    (training,) = plan.trainings
    assert (training.data_free, training.pairs) == (True, False)
    assert training.from_noise == {"pid": "trajectory", "boot": "signal"}[name]
    assert plan.index_set == training.index_set[:1] == (0,)
    assert training.index_set[-1] == TIMESTEPS - 1


@pytest.mark.parametrize(("points", "rho"), [(2, 7.0), (5, 7.0), (8, 1.0), (250, 7.0)])
def test_the_path_is_that_of_karras_et_al_moved_to_the_nearest_steps(points: int, rho: float) -> None:
    """Their eq. 5, level by level, with a search by hand for the step whose tau^(1 / rho) is nearest."""
    tau, wanted = tau_of(), []
    for i in range(points):
        low, high = tau[0] ** (1 / rho), tau[-1] ** (1 / rho)
        level = (high + i / (points - 1) * (low - high)) ** rho
        wanted.append(min(range(64), key=lambda t: abs(tau[t] ** (1 / rho) - level ** (1 / rho))))
    assert karras_indices(SCHEDULE.alphas_bar, points, rho) == tuple(sorted(set(wanted)))


@pytest.mark.parametrize("prediction", ["x0", "v"])
def test_at_each_step_the_student_stands_for_the_signal_or_the_point_of_its_path(prediction: Any) -> None:
    path, images = (0, 20, 63), np.random.default_rng(1).standard_normal((3, 1, 2, 2))
    network, steps = TableNetwork(path, images, prediction, SCHEDULE), exact_teacher().steps.subsequence(path, path)
    tau, t, noise = tau_of()[list(path)][:, None, None, None], torch.tensor(path), NOISE.expand(3, -1, -1, -1)
    share = tau / tau[-1]
    wanted = {"signal": images, "trajectory": share * (tau[-1] * NOISE.numpy()) + (1 - share) * images}
    for what, x0 in wanted.items():
        student = Denoiser(network, prediction, steps, what)  # type: ignore[arg-type]
        with torch.no_grad():
            found = student.predict(noise, t)
        torch.testing.assert_close(found.x0.double(), torch.from_numpy(x0), rtol=1e-4, atol=1e-4)
        point = (tau * NOISE.numpy() + images) if what == "signal" else x0
        level = student.level(t)
        x_t = level.signal * found.x0 + level.sigma * found.eps
        torch.testing.assert_close(x_t / level.signal, torch.from_numpy(point).float(), rtol=1e-4, atol=1e-4)


# --- bad input ----------------------------------------------------------------------------------------------------


def refused(row: dict[str, Any], sentence: str, **spec: Any) -> None:
    """The spec gaussians-2d with one row, which must be refused in one sentence."""
    methods = {"teacher": {"reference_steps": 64}, **row}
    with pytest.raises(SfddmError, match=re.escape(sentence)) as caught:
        parse_spec(SPEC | {"methods": methods, "evaluation": SPEC["evaluation"] | {"agreement": []}} | spec, "a test")
    assert "\n" not in str(caught.value)


@each
def test_a_spec_that_it_cannot_follow_is_refused_in_one_sentence(name: str) -> None:
    steps = f"methods.{name}: steps: {name} makes an image in 1 step, not in 4"
    refused({name: {"steps": [4]}}, steps)
    pairs = f"{name}: pairs: a data-free method compares with no images; leave out pairs"
    refused({name: {"pairs": {"count": 8, "steps": 4}}}, pairs)
    epsilon = "must be x0 or v, for its network sees pure noise and epsilon would only repeat it; got epsilon"
    refused({name: {}}, epsilon, network=SPEC["network"] | {"prediction": "epsilon"})
    refused({name: {"network": {"kind": "mlp", "prediction": "epsilon"}}}, epsilon)
    refused({name: {}, "ddim": {"steps": [1], "student_of": name}}, f"the student of {name} sees pure noise alone")
    refused(
        {"few": {"method": "trajectory", "steps": [1]}, name: {"student_of": "few"}}, "is no model at all of this row"
    )


@each
@pytest.mark.parametrize("wrong", [{"points": 1}, {"rho": 0}, {"prediction": "epsilon"}, {"distance": "lpips"}])
def test_options_out_of_their_range_are_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        method_of(name, **wrong)


def test_a_spec_with_both_is_accepted_beside_pairs_of_others() -> None:
    methods = {"teacher": {"reference_steps": 64}, **{name: {} for name in METHODS}}
    spec = parse_spec(SPEC | {"methods": methods, "evaluation": SPEC["evaluation"] | {"agreement": []}}, "a test")
    assert {(name, 1) for name in METHODS} <= set(spec.rows())


def test_no_training_is_data_free_and_compares_with_pairs() -> None:
    with pytest.raises(SfddmError, match="pairs: the training 1 is data-free"):
        Training("1", (0, 1), data_free=True, pairs=True)


def test_a_model_folder_keeps_what_the_network_makes_of_noise_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    model = tiny_denoiser(prediction="v", size=4)
    assert "from_noise" not in save_and_read(tmp_path / "denoiser", model)
    model.from_noise = "signal"
    assert save_and_read(tmp_path / "signal", model)["from_noise"] == "signal"
    assert load_model(tmp_path / "signal")[0].from_noise == "signal"
    model.from_noise = "smoke"  # type: ignore[assignment]
    with pytest.raises(SfddmError, match="from_noise 'smoke' is neither signal nor trajectory"):
        save_and_read(tmp_path / "smoke", model)


def save_and_read(folder: Path, model: Denoiser) -> dict[str, Any]:
    save_model(folder, model, {})
    return load_model(folder)[1]
