"""The perceptron for points: from its spec, to its output, to disk and back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from support.exact_networks import assert_same_weights, normal, weights_of

from sfddm.diffusion.schedule import make_schedule
from sfddm.networks.base import Condition, parameter_count
from sfddm.networks.build import build_network
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.kinds.unet import UNetOptions
from sfddm.networks.model_folder import load_model, save_model
from sfddm.networks.perceptron import fourier_features
from sfddm.networks.spec import NetworkSpec
from sfddm.networks.steps import Steps
from sfddm.networks.times import sinusoids
from sfddm.runtime.errors import SfddmError

STEPS = Steps.of_teacher(make_schedule("cosine", 16))


def network(seed: int = 0, **options: Any) -> torch.nn.Module:
    return build_network(PerceptronOptions(kind="mlp", width=16, depth=2, **options).config(1, 2), seed)


def test_a_spec_without_kind_means_the_u_net() -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(NetworkSpec)
    assert adapter.validate_python({"channels": 8}) == UNetOptions(channels=8)
    assert adapter.validate_python({"kind": "mlp", "width": 8}) == PerceptronOptions(kind="mlp", width=8)
    assert adapter.validate_python(PerceptronOptions(kind="mlp")).depth == 3
    for wrong in ({"width": 8}, {"kind": "mlp", "channels": 8}, {"kind": "transformer"}, {"classes": 0}):
        with pytest.raises(ValidationError):
            adapter.validate_python(wrong)


def test_a_u_nets_configuration_has_no_kind() -> None:
    assert "kind" not in UNetOptions(channels=8, channel_multipliers=(1, 2)).config(8, 1)


def test_the_output_has_the_inputs_shape_and_each_point_its_own() -> None:
    one, x, t = network(), normal(5, 2, 1, 1), torch.arange(5)
    out = one(x, Condition(t))
    assert out.shape == x.shape
    for k in range(5):
        torch.testing.assert_close(one(x[k : k + 1], Condition(t[k : k + 1])), out[k : k + 1])
    assert not torch.allclose(one(x, Condition(t + 1)), out)


def test_weights_are_a_function_of_the_seed_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one = network(3).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert_same_weights(one, network(3).state_dict())
    assert not torch.equal(one["enter.weight"], network(4).state_dict()["enter.weight"])


def test_no_label_is_the_label_after_the_last() -> None:
    one, x, t = network(classes=3), normal(4, 2, 1, 1), torch.full((4,), 7)
    outs = [one(x, Condition(t, torch.full((4,), label))) for label in range(4)]
    assert torch.equal(one(x, Condition(t)), outs[3])
    assert all(not torch.allclose(outs[i], outs[j]) for i in range(4) for j in range(i))
    assert parameter_count(one) == parameter_count(network()) + 4 * 16
    with pytest.raises(IndexError):
        one(x, Condition(t, torch.full((4,), 4)))
    with pytest.raises(ValueError, match="without classes"):
        network()(x, Condition(t, torch.zeros(4, dtype=torch.int64)))


def test_sinusoids_tell_near_steps_apart() -> None:
    found = sinusoids(torch.arange(1024))
    assert found.shape == (1024, 64)
    torch.testing.assert_close(found.square().sum(1), torch.full((1024,), 32.0))
    assert (found[1:] - found[:-1]).norm(dim=1).min() > 0.5
    torch.testing.assert_close(found[3, :1], torch.tensor([3.0]).sin())


@pytest.mark.parametrize("classes", [None, 3])
@pytest.mark.parametrize("index_set", [tuple(range(16)), (2, 9, 15)])
def test_saving_and_loading_changes_no_bit(tmp_path: Path, classes: int | None, index_set: tuple[int, ...]) -> None:
    model = Denoiser(network(classes=classes), "v", STEPS.subsequence(index_set, tuple(range(len(index_set)))))
    save_model(tmp_path / "model", model, {"fold": "3", "depends_on": "x"})
    assert sorted(str(file.relative_to(tmp_path / "model")) for file in (tmp_path / "model").rglob("*.*")) == [
        ".sfddm-outputs",
        "card.json",
        "network/model.safetensors",
    ]
    loaded, card = load_model(tmp_path / "model")
    assert_same_weights(weights_of(model), weights_of(loaded))
    assert (loaded.steps.index_set, loaded.steps.conditioning) == (index_set, tuple(range(len(index_set))))
    assert loaded.steps.alphas_bar.tobytes() == model.steps.alphas_bar.tobytes()
    assert (loaded.prediction, card["fold"], card["network"]["kind"]) == ("v", "3", "mlp")
    x, t = normal(2, 2, 1, 1), torch.tensor([index_set[0], index_set[-1]])
    assert torch.equal(model.raw(x, t), loaded.raw(x, t))
    _, features = loaded.with_features(x, t)
    assert features.shape == (2, 16)
    torch.testing.assert_close(loaded.network.out(features).view_as(x), loaded.raw(x, t))  # type: ignore[operator]


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "model", Denoiser(network(), "v", STEPS), {})
    weights = tmp_path / "model/network/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(SfddmError, match="not a whole model folder"):
        load_model(tmp_path / "model")
    weights.unlink()
    with pytest.raises(SfddmError, match="not a whole model folder"):
        load_model(tmp_path / "model")


def test_training_and_sampling_points_import_no_diffusers() -> None:
    script = (
        "import sys, torch, sfddm.training.teacher, sfddm.sampling.images, sfddm.networks.perceptron; "
        "found = {name.partition('.')[0] for name in sys.modules}; "
        "assert not found & {'diffusers', 'torchvision', 'torch_fidelity', 'matplotlib'}, found"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_waves_repeat_after_their_periods() -> None:
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    found = fourier_features(x)
    assert found.shape == (1, 14)
    assert torch.equal(found[:, :2], x)
    torch.testing.assert_close(fourier_features(x + 2)[:, 2:], found[:, 2:])
    assert not torch.allclose(fourier_features(x + 1)[:, 2:4], found[:, 2:4])
    torch.testing.assert_close(found[:, 2:8].square() + found[:, 8:].square(), torch.ones_like(found[:, 2:8]))
