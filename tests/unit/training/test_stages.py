"""The training loop: bit-exact resume, batches as functions of (seed, step), averages, and what stops it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from support.exact_networks import assert_same_weights, first_layer, random_images, tiny_denoiser, weights_of
from torch import Tensor

from sfddm.diffusion.randomness import training_noise
from sfddm.methods.options import TrainingOptions
from sfddm.methods.teacher import denoising_loss
from sfddm.networks.denoiser import Denoiser, FrozenDenoiser
from sfddm.objectives.terms import Loss
from sfddm.runtime.errors import SfddmError
from sfddm.training.feed import Feed
from sfddm.training.loop import Batch, BatchLoss, TrainingResult, train

CPU = torch.device("cpu")
IMAGES = random_images(10, size=4)
LABELS = np.full(10, -1)
#: 12 steps of 4 of 10 images: batches straddle the ends of epochs. Everything that has a state is switched on.
OPTIONS = TrainingOptions(
    images=48,
    batch_size=4,
    learning_rate=1e-3,
    learning_rate_schedule="cosine",
    warmup_steps=3,
    weight_decay=0.01,
    ema=0.9,
    horizontal_flip=True,
)


def run(
    checkpoint: Path,
    options: TrainingOptions = OPTIONS,
    *,
    weights: int = 0,
    seed: int = 5,
    stop_after: int | None = None,
    loss: Callable[[Denoiser], BatchLoss] | None = None,
    with_target: bool = False,
    companions: torch.nn.ModuleDict | None = None,
) -> tuple[Denoiser, TrainingResult]:
    """Train a fresh tiny network; ``with_target`` trains towards a moving average of itself, as consistency does."""
    student = tiny_denoiser(size=4, seed=weights)
    target = copy.deepcopy(student) if with_target else None
    frozen = FrozenDenoiser(target) if target is not None else None

    def batch_loss(batch: Batch) -> Loss:
        own = denoising_loss(student, batch.x0, batch.noise, batch.k)
        if companions is not None:
            # The companion learns in every step, the student in every third, from the companion's answer.
            companion: Denoiser = companions["companion"]  # type: ignore[assignment]
            apart = denoising_loss(companion, batch.x0, batch.noise, batch.k).total
            if batch.step % 3:
                return Loss(apart, trains_student=False)
            pull = (student(batch.noise, batch.k) - companion(batch.noise, batch.k).detach()).square().mean()
            return Loss(own.total + apart + pull)
        if frozen is None:
            return own
        pull = (student(batch.noise, batch.k) - frozen(batch.noise, batch.k)).square().mean()
        return Loss(own.total + pull)

    result = train(
        student,
        loss(student) if loss else batch_loss,
        IMAGES,
        LABELS,
        options,
        seed=seed,
        checkpoint=checkpoint,
        device=CPU,
        title="tiny",
        target=target,
        target_decay=0.7,
        companions=companions,
        companion_rate=0.5,
        stop_after=stop_after,
    )
    return student, result


# --- resume -------------------------------------------------------------------------------------------------------


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
    assert again.seconds > 0


def test_a_moving_target_is_resumed_too(tmp_path: Path) -> None:
    straight, _ = run(tmp_path / "straight", with_target=True)
    alone, _ = run(tmp_path / "alone")
    assert not torch.equal(first_layer(straight), first_layer(alone))
    run(tmp_path / "stopped", stop_after=5, with_target=True)
    resumed, _ = run(tmp_path / "stopped", weights=99, with_target=True)
    assert_same_weights(weights_of(resumed), weights_of(straight))


def companion() -> torch.nn.ModuleDict:
    return torch.nn.ModuleDict({"companion": tiny_denoiser(size=4, seed=7)})


@pytest.mark.parametrize("stop", [1, 2, 5, 9])
def test_companions_and_the_students_turns_are_resumed_too(tmp_path: Path, stop: int) -> None:
    """Also where the student, or anyone, has had no turn yet and so has no moments."""
    beside = companion()
    straight, _ = run(tmp_path / "straight", companions=beside)
    alone, _ = run(tmp_path / "alone")
    assert not torch.equal(first_layer(straight), first_layer(alone))
    assert not torch.equal(*(m.state_dict()["companion.network.conv_in.weight"] for m in (beside, companion())))
    run(tmp_path / "stopped", stop_after=stop, companions=companion())
    again = companion()
    resumed, _ = run(tmp_path / "stopped", weights=99, companions=again)
    assert_same_weights(weights_of(resumed), weights_of(straight))
    assert_same_weights(dict(again.state_dict()), dict(beside.state_dict()))


def test_writing_checkpoints_changes_nothing_and_a_finished_one_needs_no_step(tmp_path: Path) -> None:
    straight, _ = run(tmp_path / "straight")
    checkpoint = tmp_path / "often.safetensors"
    often, _ = run(checkpoint, OPTIONS.model_copy(update={"checkpoint_seconds": 1e-9}))
    assert_same_weights(weights_of(often), weights_of(straight))

    def never(student: Denoiser) -> BatchLoss:
        def loss(batch: Batch) -> Loss:
            raise AssertionError("the training is finished")

        return loss

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


# --- what a step does ---------------------------------------------------------------------------------------------


def test_the_loop_is_adamw_on_the_batches_of_seed_and_step(tmp_path: Path) -> None:
    """Three steps by hand: the data in [-1, 1], flips, the rate's shape, clipping, weight decay, the average."""
    options = OPTIONS.model_copy(update={"gradient_clip": 0.05, "images": 12})
    trained, _ = run(tmp_path / "c", options)

    student = tiny_denoiser(size=4).train()
    optimizer = torch.optim.AdamW(student.network.parameters(), lr=1.0, betas=(0.9, 0.999), weight_decay=0.01)
    average: dict[str, Tensor] = {name: value.detach().clone() for name, value in student.network.named_parameters()}
    rates = [1e-3 * (step + 1) / 3 * 0.5 * (1 + math.cos(math.pi * step / 3)) for step in range(3)]
    feed = Feed(IMAGES, None, 4, 5, True, CPU)
    for step, rate in enumerate(rates):
        x0 = torch.from_numpy(IMAGES[feed.indices(step)]).permute(0, 3, 1, 2).float() / 127.5 - 1
        noise, k, flips = training_noise(5, step, (4, 1, 4, 4), 64, CPU)
        x0 = torch.stack([image.flip(-1) if flip else image for image, flip in zip(x0, flips, strict=True)])
        optimizer.zero_grad()
        denoising_loss(student, x0, noise, k).total.backward()
        gradients = [parameter.grad for parameter in student.network.parameters() if parameter.grad is not None]
        norm = math.sqrt(sum(float(gradient.double().square().sum()) for gradient in gradients))
        assert norm > 0.05
        for gradient in gradients:
            gradient.mul_(0.05 / (norm + 1e-6))
        optimizer.param_groups[0]["lr"] = rate
        optimizer.step()
        decay = min(0.9, (1 + step) / (10 + step))
        for name, value in student.network.named_parameters():
            average[name] = decay * average[name] + (1 - decay) * value.detach()
    found = weights_of(trained)
    for name, wanted in average.items():
        # Adam divides tiny gradients by their own size, which magnifies float32's rounding where both are near 0
        torch.testing.assert_close(found[name], wanted, rtol=1e-3, atol=1e-5)
    moved = max(float((value - found[name]).abs().max()) for name, value in weights_of(tiny_denoiser(size=4)).items())
    assert moved > 1e-4


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    options = TrainingOptions(images=160, batch_size=4, learning_rate=3e-3)
    losses: list[float] = []

    def recorded(student: Denoiser) -> BatchLoss:
        def loss(batch: Batch) -> Loss:
            found = denoising_loss(student, batch.x0, batch.noise, batch.k)
            losses.append(float(found.total.detach()))
            return found

        return loss

    trained, _ = run(tmp_path / "c", options, loss=recorded)
    assert len(losses) == 40
    assert np.mean(losses[-10:]) < 0.8 * np.mean(losses[:5])
    assert first_layer(trained).requires_grad


def test_another_seed_trains_another_network(tmp_path: Path) -> None:
    one, _ = run(tmp_path / "a", seed=5)
    other, _ = run(tmp_path / "b", seed=6)
    assert not torch.equal(first_layer(one), first_layer(other))


# --- what stops it ------------------------------------------------------------------------------------------------


def failing(at: int, how: str) -> Callable[[Denoiser], BatchLoss]:
    """A loss, or only its gradient, that is no number from the step ``at`` on."""

    def make(student: Denoiser) -> BatchLoss:
        calls = iter(range(1000))

        def loss(batch: Batch) -> Loss:
            total = denoising_loss(student, batch.x0, batch.noise, batch.k).total
            if next(calls) < at:
                return Loss(total)
            if how == "gradient":
                return Loss(total + (first_layer(student).sum() * 0).sqrt())
            return Loss(total * {"nan": math.nan, "infinite": math.inf}[how])

        return loss

    return make


@pytest.mark.parametrize("how", ["nan", "infinite", "gradient"])
def test_a_loss_that_is_no_number_stops_the_training_and_is_never_kept(tmp_path: Path, how: str) -> None:
    from safetensors.torch import load_file

    checkpoint = tmp_path / "c.safetensors"
    options = OPTIONS.model_copy(update={"checkpoint_seconds": 1e-9, "gradient_clip": None})
    with pytest.raises(SfddmError, match=r"^tiny: the loss or its gradient is not finite at step 5 .*learning_rate"):
        run(checkpoint, options, loss=failing(4, how))
    assert all(bool(torch.isfinite(value).all()) for value in load_file(checkpoint).values())
    # what was kept is the state before the failure, from which a sound loss goes on as if nothing had happened
    resumed, _ = run(checkpoint, OPTIONS.model_copy(update={"gradient_clip": None}), weights=3)
    straight, _ = run(tmp_path / "straight", OPTIONS.model_copy(update={"gradient_clip": None}))
    assert_same_weights(weights_of(resumed), weights_of(straight))


def test_a_failure_in_the_first_step_leaves_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SfddmError, match="not finite at step 1"):
        run(tmp_path / "c", OPTIONS.model_copy(update={"checkpoint_seconds": 1e-9}), loss=failing(0, "nan"))
    assert list(tmp_path.iterdir()) == []


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
    "a weight less": rewrite(lambda tensors, header: tensors.pop("network.conv_in.weight")),
    "a weight of another shape": rewrite(
        lambda tensors, header: tensors.update({"network.conv_in.bias": torch.zeros(3)})
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
