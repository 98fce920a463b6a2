"""Interrupted trainings give the same bits, whatever their objective has; a corrupt checkpoint is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.exact_networks import assert_same_weights, first_layer, tiny_denoiser, weights_of
from support.tiny_training import (
    OPTIONS,
    loss_with_auxiliary,
    loss_with_average,
    loss_with_everything,
    own_loss,
    run,
    run_objective,
)
from torch import Tensor

from sfddm.diffusion.draws import Draws
from sfddm.objectives.objective import LossFunction
from sfddm.objectives.terms import Batch, Loss, Networks
from sfddm.runtime.errors import SfddmError
from sfddm.training.loop import TrainingResult, remove_state

# --- resume -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stops", [(5,), (1, 11), (3, 4, 10)], ids=str)
@pytest.mark.parametrize("ema", [None, 0.9], ids=["no average", "average"])
def test_an_interrupted_training_gives_the_same_bits(tmp_path: Path, stops: tuple[int, ...], ema: float | None) -> None:
    options = OPTIONS.model_copy(update={"ema": ema})
    straight, result = run(tmp_path / "straight", options)
    assert not (tmp_path / "straight").exists()
    checkpoint = tmp_path / "stopped.safetensors"
    for stop in stops:
        # from the second run on the network starts elsewhere: all of it has to come out of the checkpoint
        stopped, _ = run(checkpoint, options, weights=0 if stop == stops[0] else stop, stop_after=stop)
        assert checkpoint.exists()
        assert not torch.equal(first_layer(stopped), first_layer(straight))
    resumed, again = run(checkpoint, options, weights=99)
    assert_same_weights(weights_of(resumed), weights_of(straight))
    assert (result.steps, result.images_seen) == (again.steps, again.images_seen) == (12, 48)
    assert again.losses == result.losses
    assert len(result.losses) == 12
    assert again.seconds > 0


EVERYTHING: list[tuple[LossFunction, dict[str, Any]]] = [
    (loss_with_average, {"average_decay": 0.7}),
    (loss_with_auxiliary, {"auxiliary": True}),
    (loss_with_everything, {"auxiliary": True, "average_decay": 0.7}),
]


@pytest.mark.parametrize(("loss", "parts"), EVERYTHING, ids=[loss.__name__ for loss, _ in EVERYTHING])
@pytest.mark.parametrize("stop", [1, 2, 5, 9])
def test_the_whole_objective_is_resumed_bit_by_bit(
    tmp_path: Path, loss: LossFunction, parts: dict[str, Any], stop: int
) -> None:
    """Also where the student, or anyone, has had no turn yet and so has no moments."""
    straight, _ = run_objective(tmp_path / "straight", loss=loss, **parts)
    alone, _ = run(tmp_path / "alone")
    assert not torch.equal(first_layer(straight.student), first_layer(alone)), "the loss asks them"
    if "auxiliary" in parts:
        moved: Any = straight.auxiliary["other"]
        assert not torch.equal(first_layer(moved), first_layer(tiny_denoiser(size=4, seed=7)))
    run_objective(tmp_path / "stopped", loss=loss, stop_after=stop, **parts)
    resumed, _ = run_objective(tmp_path / "stopped", loss=loss, weights=99, **parts)
    state = dict(resumed.state_dict())
    assert {name.split(".")[0] for name in state} == {"student", *(part.split("_")[0] for part in parts)}
    assert_same_weights(state, dict(straight.state_dict()))


def test_the_average_of_the_loss_rests_where_the_student_does(tmp_path: Path) -> None:
    """It follows after the steps 0, 3 and 6 alone, with constant decay: written out from the student's weights."""
    parts: dict[str, Any] = {"auxiliary": True, "average_decay": 0.7}
    options = OPTIONS.model_copy(update={"ema": None})
    wanted = first_layer(tiny_denoiser(size=4)).detach().double()
    for step in range(7):
        # the student after step + 1 steps, and its average
        found, _ = run_objective(tmp_path / f"{step}", options, loss=loss_with_everything, stop_after=step + 1, **parts)
        if step % 3 == 0:
            wanted = 0.7 * wanted + 0.3 * first_layer(found.student).detach().double()
        assert found.average is not None
        torch.testing.assert_close(first_layer(found.average).detach().double(), wanted, rtol=1e-5, atol=1e-7)


def test_writing_checkpoints_changes_nothing_and_a_finished_one_needs_no_step(tmp_path: Path) -> None:
    straight, _ = run(tmp_path / "straight")
    checkpoint = tmp_path / "often.safetensors"
    often, _ = run(checkpoint, OPTIONS.model_copy(update={"checkpoint_seconds": 1e-9}))
    assert_same_weights(weights_of(often), weights_of(straight))

    def never(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        raise AssertionError("the training is finished")

    finished, result = run(checkpoint, loss=never)
    assert_same_weights(weights_of(finished), weights_of(straight))
    assert result.steps == 12


def test_the_seconds_of_all_runs_are_counted(tmp_path: Path) -> None:
    from safetensors import safe_open

    checkpoint = tmp_path / "c"
    run(checkpoint, stop_after=5)
    with safe_open(checkpoint, framework="pt") as file:
        assert file.metadata()["step"] == "5"
        before = float(file.metadata()["seconds"])
    _, result = run(checkpoint)
    assert result.seconds > before > 0


# --- corrupt checkpoints ----------------------------------------------------------------------------------------------


def rewrite(change: Callable[[dict[str, Tensor], dict[str, str]], object]) -> Callable[[Path], None]:
    def edit(path: Path) -> None:
        from safetensors import safe_open
        from safetensors.torch import save_file

        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata())
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        change(tensors, header)
        save_file(tensors, path, header)

    return edit


CORRUPTION: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: path.write_bytes(b""),
    "half of it": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a byte less": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "something else": lambda path: path.write_bytes(b"not a checkpoint at all" * 50),
    "no step": rewrite(lambda tensors, header: header.pop("step")),
    "a step that is no number": rewrite(lambda tensors, header: header.update(step="five")),
    "no moments": rewrite(lambda tensors, header: tensors.pop("exp_avg.0")),
    "no average": rewrite(lambda tensors, header: tensors.pop("average.0")),
    "a weight less": rewrite(lambda tensors, header: tensors.pop("objective.student.network.unet.conv_in.weight")),
    "a weight of another shape": rewrite(
        lambda tensors, header: tensors.update({"objective.student.network.unet.conv_in.bias": torch.zeros(3)})
    ),
    "moments of another shape": rewrite(lambda tensors, header: tensors.update({"exp_avg.0": torch.zeros(3)})),
    "a step beyond the end": rewrite(lambda tensors, header: header.update(step="13")),
}


@pytest.fixture(scope="module")
def whole_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "c.safetensors"
    run(path, stop_after=2)
    return path.read_bytes()


@pytest.mark.parametrize("corruption", CORRUPTION)
def test_a_corrupt_checkpoint_is_refused_with_its_name(
    tmp_path: Path, whole_checkpoint: bytes, corruption: str
) -> None:
    path = tmp_path / "c.safetensors"
    path.write_bytes(whole_checkpoint)
    CORRUPTION[corruption](path)
    with pytest.raises(SfddmError, match=rf"^{path}: not a checkpoint of this training .*delete it to start over$"):
        run(path)


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    run(path, OPTIONS.model_copy(update={"ema": None}), stop_after=2)
    with pytest.raises(SfddmError, match="not a checkpoint of this training"):
        run(path)


# --- snapshots --------------------------------------------------------------------------------------------------------


def snapshot_weights(result: TrainingResult) -> dict[str, dict[str, Tensor]]:
    return {name: load_file(path) for name, path in result.snapshots.items()}


@pytest.mark.parametrize("stops", [(), (3,), (5, 6), (1, 4, 11)], ids=str)
def test_snapshots_change_no_bit_and_are_the_same_after_a_stop(tmp_path: Path, stops: tuple[int, ...]) -> None:
    plain, _ = run(tmp_path / "plain")
    options = OPTIONS.model_copy(update={"snapshots": 4})
    straight, result = run(tmp_path / "straight", options)
    for stop in stops:
        run(tmp_path / "stopped", options, weights=0 if stop == stops[0] else stop, stop_after=stop)
    resumed, again = run(tmp_path / "stopped", options, weights=99 if stops else 0)
    for trained in (straight, resumed):
        assert_same_weights(weights_of(trained), weights_of(plain))
    assert list(result.snapshots) == ["1-of-4", "2-of-4", "3-of-4", "raw"]
    wanted, found = snapshot_weights(result), snapshot_weights(again)
    for name in result.snapshots:
        assert_same_weights(found[name], wanted[name])


def test_a_snapshot_after_the_last_checkpoint_is_made_again(tmp_path: Path) -> None:
    """Killed in step 8: the checkpoint is of step 5, the snapshot of step 6 is written and written again."""
    options = OPTIONS.model_copy(update={"snapshots": 2})

    def killed(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        if batch.step == 7:
            raise KeyboardInterrupt
        return own_loss(networks, batch, draws)

    straight, result = run(tmp_path / "straight", options)
    run(tmp_path / "c", options, stop_after=5)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "c", options, loss=killed, weights=3)
    (early,) = tmp_path.glob("c-1-of-2*")
    before = early.read_bytes()
    resumed, again = run(tmp_path / "c", options, weights=99)
    assert early.read_bytes() == before
    assert_same_weights(weights_of(resumed), weights_of(straight))
    wanted, found = snapshot_weights(result), snapshot_weights(again)
    for name in ("1-of-2", "raw"):
        assert_same_weights(found[name], wanted[name])


def test_a_snapshot_is_what_a_training_stopped_there_would_give(tmp_path: Path) -> None:
    """Averaged weights after 3, 6 and 9 of 12 steps; and the last ones, which a training without an average gives."""
    options = OPTIONS.model_copy(update={"snapshots": 4})
    _, result = run(tmp_path / "c", options)
    found = snapshot_weights(result)
    for part in (1, 2, 3):
        stopped, _ = run(tmp_path / f"{part}", OPTIONS, stop_after=3 * part)
        assert_same_weights(found[f"{part}-of-4"], dict(stopped.network.state_dict()))
    raw, without = run(tmp_path / "raw", OPTIONS.model_copy(update={"ema": None, "snapshots": 1}))
    assert_same_weights(found["raw"], dict(raw.network.state_dict()))
    assert without.snapshots == {}, "without an average the model is the last weights"


def test_a_snapshot_that_is_gone_is_missed(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"snapshots": 2})
    run(tmp_path / "c", options, stop_after=7)
    (lost,) = tmp_path.glob("c-1-of-2*")
    lost.unlink()
    with pytest.raises(SfddmError, match=rf"^{lost}: is missing beside {tmp_path / 'c'}; delete that to start over$"):
        run(tmp_path / "c", options)


def test_a_changed_snapshot_is_not_taken(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"snapshots": 2})
    run(tmp_path / "c", options, stop_after=7)
    (file,) = tmp_path.glob("c-1-of-2*")
    file.write_bytes(file.read_bytes()[:-1] + b"\x01")
    with pytest.raises(SfddmError, match=rf"^{file}: was changed .*; delete it and {tmp_path / 'c'} to start over$"):
        run(tmp_path / "c", options)


def test_snapshots_of_a_training_of_fewer_steps_are_those_there_are(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"images": 8, "snapshots": 4})  # two steps
    assert list(run(tmp_path / "c", options)[1].snapshots) == ["2-of-4", "raw"]


def test_no_changed_bit_of_a_checkpoint_is_used(tmp_path: Path) -> None:
    path = tmp_path / "state" / "checkpoint.safetensors"
    run(path, stop_after=5)
    whole = path.read_bytes()
    for bit in np.random.default_rng(0).choice(8 * len(whole), 100, replace=False):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << (bit % 8)
        path.write_bytes(changed)
        with pytest.raises(SfddmError, match=r"checkpoint\.safetensors: was changed since .*; delete it to start over"):
            run(path)
    path.write_bytes(whole)
    straight, _ = run(tmp_path / "straight")
    resumed, result = run(path)
    assert_same_weights(weights_of(resumed), weights_of(straight))
    remove_state(path, result)
    assert not list(path.parent.iterdir())
