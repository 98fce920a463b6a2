"""Networks that are also told where a step goes: before training they answer as without."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.exact_networks import TINY_NETWORK, assert_same_weights, normal, weights_of

from sfddm.diffusion.schedule import make_schedule
from sfddm.networks.base import Network
from sfddm.networks.build import build_network, with_second_time
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.ensemble import Ensemble
from sfddm.networks.kinds.perceptron import PerceptronOptions
from sfddm.networks.model_folder import load_model, save_model
from sfddm.networks.steps import Steps
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM

STEPS = Steps.of_teacher(make_schedule("cosine", 64))
GRID = (7, 31, 63)


def network(kind: str, classes: int | None) -> Network:
    if kind == "mlp":
        return build_network(PerceptronOptions(kind="mlp", width=8, depth=1, classes=classes).config(4, 1), 0)
    return build_network(TINY_NETWORK.model_copy(update={"classes": classes}).config(4, 1), 0)


def told(model: Network) -> Denoiser:
    """Return a student whose second time has an effect."""
    student = Denoiser(with_second_time(model, 1), "v", STEPS.subsequence(GRID, GRID)).eval()
    torch.nn.init.normal_(student.network.arrival.last.weight)  # type: ignore[union-attr, arg-type]
    return student


every_network = pytest.mark.parametrize(("kind", "classes"), [("mlp", None), ("mlp", 3), ("unet", None), ("unet", 3)])


@every_network
@torch.no_grad()
def test_before_training_it_answers_as_the_network_it_came_from(kind: str, classes: int | None) -> None:
    plain = network(kind, classes)
    before = {name: value.clone() for name, value in plain.state_dict().items()}
    student = Denoiser(with_second_time(plain, 1), "v", STEPS).eval()
    teacher = Denoiser(plain, "v", STEPS).eval()
    x, t, labels = normal(3, 1, 4, 4), torch.tensor([63, 20, 3]), torch.tensor([0, 2, 1])
    one = teacher.given(labels, 2.0).raw(x, t)
    for arrival in (None, torch.tensor([-1, 5, 3])):
        assert torch.equal(student.given(labels, 2.0).raw(x, t, arrival), one)
    assert (student.takes_arrival, teacher.takes_arrival) == (True, False)
    assert "second_time" not in plain.config
    assert_same_weights(dict(plain.state_dict()), before)
    assert student.network.config == plain.config | {"second_time": True}
    assert all(parameter.requires_grad for parameter in student.parameters())


@every_network
@torch.no_grad()
def test_on_disk_nothing_is_lost(kind: str, classes: int | None, tmp_path: Path) -> None:
    student = told(network(kind, classes))
    save_model(tmp_path / "model", student, {})
    loaded, card = load_model(tmp_path / "model")
    assert card["network"]["second_time"] is True
    assert_same_weights(weights_of(student), weights_of(loaded))
    x, t, arrival = normal(2, 1, 4, 4), torch.tensor([63, 31]), torch.tensor([7, -1])
    assert torch.equal(loaded.eval().raw(x, t, arrival), student.raw(x, t, arrival))
    assert not (tmp_path / "model" / "model_index.json").exists(), "stock diffusers cannot sample it"


@every_network
@torch.no_grad()
def test_each_image_of_a_batch_has_its_own_arrival(kind: str, classes: int | None) -> None:
    student = told(network(kind, classes))
    x, t, arrivals = normal(1, 1, 4, 4).repeat(3, 1, 1, 1), torch.full((3,), 63), torch.tensor([63, 7, -1])
    raw = student.raw(x, t, arrivals)
    alone = [student.raw(x[:1], t[:1], arrivals[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(raw, torch.cat(alone), rtol=0, atol=1e-5)
    assert (raw[0] - raw[1]).abs().max() > 1e-3
    assert (raw[1] - raw[2]).abs().max() > 1e-3
    assert torch.equal(student.raw(x[:1], t[:1]), student.raw(x[:1], t[:1], t[:1])), "None is a step of no length"


@torch.no_grad()
def test_under_guidance_both_answers_are_of_the_same_arrivals() -> None:
    student = told(network("mlp", 3))
    x, t, arrivals = normal(2, 1, 4, 4), torch.tensor([63, 31]), torch.tensor([7, -1])
    labels, none = torch.tensor([0, 2]), torch.full((2,), 3)
    with_class, without = (student.given(given).raw(x, t, arrivals) for given in (labels, none))
    guided = student.given(labels, 2.0).raw(x, t, arrivals)
    torch.testing.assert_close(guided, 2 * with_class - without, rtol=0, atol=1e-4)


def test_an_arrival_that_is_none_of_its_steps_is_an_error() -> None:
    student = told(network("mlp", None))
    with pytest.raises(IndexError):
        student.raw(normal(1, 1, 4, 4), torch.tensor([63]), torch.tensor([5]))
    with pytest.raises(ValueError, match="must be told where the step goes"):
        student.network.arrival(None)  # type: ignore[operator]


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: Ensemble([one], [None])])
def test_sampling_tells_where_each_step_goes(wrap) -> None:  # type: ignore[no-untyped-def]
    student, asked = told(network("mlp", None)), []
    student.network.register_forward_pre_hook(lambda module, inputs: asked.append(inputs[1]))
    sample(wrap(student), GRID, DDIM(), normal(2, 1, 4, 4), lambda k: normal(2, 1, 4, 4))
    assert [(int(one.t[0]), int(one.arrival[0])) for one in asked] == [(63, 31), (31, 7), (7, -1)]


def test_torch_compiles_it() -> None:
    model = network("unet", None)
    grown = with_second_time(model, 1)
    torch.nn.init.normal_(grown.arrival.last.weight)  # type: ignore[union-attr, arg-type]
    from sfddm.networks.base import Condition

    x, condition = normal(2, 1, 4, 4), Condition(torch.tensor([3, 9]), None, torch.tensor([-1, 4]))
    with torch.no_grad():
        compiled = torch.compile(grown, backend="eager")(x, condition)
        torch.testing.assert_close(compiled, grown(x, condition), rtol=0, atol=1e-5)
