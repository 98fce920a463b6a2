"""The check of a GPU, on the CPU: its forecast by hand, its operations by hand, and what it calls a failure."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support.report_runs import make_spec

from benchmarks.gpu_check import __main__ as gpu_check
from benchmarks.gpu_check import every_method, rates
from benchmarks.gpu_check.forecast import Speeds, forecast
from sfddm.methods import all_methods
from sfddm.runtime.errors import SfddmError
from sfddm.spec.load import load_spec

CPU = torch.device("cpu")


def test_every_registered_method_has_a_row_of_two_steps() -> None:
    spec = every_method.spec_of_every_method()
    assert {options.method for options in spec.methods.values()} == set(all_methods())
    trainings = [training for row in spec.methods for training in spec.trainings(row).values()]
    assert len(trainings) > len(all_methods()) - 3
    for training in trainings:
        options = training.options or spec.students
        assert options.images == 2 * options.batch_size


def test_a_method_without_a_row_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(every_method, "SPECS", ("smoke",))
    with pytest.raises(SfddmError, match=r"no row of .*consistency.* in smoke"):
        every_method.spec_of_every_method()


def test_the_forecast_is_counted_by_hand() -> None:
    """The teacher sees 64 images; SFDDM 2 x 32 for 4 and 2 steps, an evaluation each of student and teacher."""
    spec = make_spec(
        methods={"ddim": {}, "sfddm": {}}, steps=[4, 2], students={"images": 32, "batch_size": 16}, seeds=[0, 1]
    )
    teacher = spec.teacher.training
    assert teacher is not None
    assert teacher.images is not None
    hours = forecast(spec, Speeds(training=2.0, evaluation=8.0, features={"a": 4.0, "b": 1.0}), stored=0)
    count, lengths = spec.evaluation.samples, [steps for _, steps in spec.rows()]
    assert hours["train"] == pytest.approx(2 * -(-teacher.images // teacher.batch_size) * teacher.batch_size / 2 / 3600)
    assert hours["distill"] == pytest.approx(2 * 2 * 32 * (1 / 2 + 1 / 8) / 3600)
    assert hours["sample"] == pytest.approx(2 * count * sum(lengths) / 8 / 3600)
    assert hours["evaluate"] == pytest.approx(2 * count * len(lengths) * (1 / 4 + 1) / 3600)


def test_operations_are_those_of_a_convolution_and_its_gradients() -> None:
    layer, x = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False), torch.ones(2, 3, 8, 8, requires_grad=True)
    once = 2 * (2 * 8 * 8) * (3 * 3 * 3) * 5
    assert rates.operations(lambda: layer(x)) == once
    assert rates.operations(lambda: layer(x).sum().backward()) == 3 * once


def test_rates_are_of_a_device_that_has_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = load_spec("smoke")
    network = rates.OfTensors(spec.network, 8, 1)
    monkeypatch.setattr(rates, "product_rate", lambda name, device: 1e9)
    (one,) = rates.training_rates(network, (4,), "no", CPU)
    assert one.batch_size == 4
    assert one.share * 1e9 / one.images == pytest.approx(
        rates.operations(rates.training_step(network, network.inputs(4, CPU), "no")) / 4
    )

    def without_memory(size: int) -> tuple[torch.Tensor, ...]:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(network, "inputs", lambda size, device: without_memory(size))
    assert rates.sampling_rates(network, (4,), "no", CPU) == []


@pytest.mark.parametrize("wrong", ["", "RuntimeError: no such kernel"])
def test_a_method_that_breaks_is_named_in_the_table_and_the_exit_status(
    wrong: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def tried(folder: Path, device: torch.device) -> Iterator[tuple[str, float, str]]:
        yield "trajectory", 0.5, wrong

    monkeypatch.setattr(gpu_check, "try_every_method", tried)
    monkeypatch.setattr(gpu_check, "SIZES", {"cpu": (2,)})
    monkeypatch.setattr(rates, "compiled_alike", lambda network, size, device: (1.5, 1e-6))
    monkeypatch.setattr(gpu_check, "feature_speeds", lambda spec, device: {"a": 10.0, "b": "has no weights"})
    assert gpu_check.main(["smoke"]) == bool(wrong)
    said = " ".join(capsys.readouterr().out.split())
    assert ("failed: two steps of trajectory" in said) == bool(wrong)
    assert ("all passed" in said) == (not wrong)
    assert "has no weights" in said
    assert "the table of smoke" in said


def test_answers_that_lie_apart_are_a_failure() -> None:
    assert gpu_check._alike("compiled", lambda: (2.0, 1e-6)).failed is False
    assert gpu_check._alike("compiled", lambda: (2.0, 0.5)).failed is True
    assert gpu_check._alike("compiled", lambda: (2.0, float("nan"))).failed is True


def test_an_unknown_spec_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert gpu_check.main(["no-such-spec"]) == 1
    assert "no-such-spec" in capsys.readouterr().err


@pytest.mark.slow
def test_one_method_is_trained_through_its_stages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = every_method.spec_of_every_method()
    few = whole.model_copy(update={"methods": {name: whole.methods[name] for name in ("teacher", "trajectory")}})
    monkeypatch.setattr(every_method, "spec_of_every_method", lambda: few)
    ((row, seconds, wrong),) = every_method.try_every_method(tmp_path, CPU)
    assert (row, wrong) == ("trajectory", "")
    assert seconds > 0
    monkeypatch.setattr("sfddm.distill", lambda *arguments: 1 / 0)
    ((_, _, wrong),) = every_method.try_every_method(tmp_path / "other", CPU)
    assert wrong == "ZeroDivisionError: division by zero"
