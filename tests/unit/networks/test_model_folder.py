"""Model folders: nothing is lost on disk, stock diffusers samples them, and a damaged one is refused."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.exact_networks import assert_same_weights, normal, tiny_denoiser, weights_of

from sfddm.diffusion.schedule import ScheduleKind, make_schedule
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import load_model, load_pretrained, save_model
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import read_json, write_json
from sfddm.runtime.torchvision_operators import declare_missing_operators
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM

IRREGULAR = (2, 3, 9, 20, 21, 40, 55, 63)
WEIGHTS = Path("unet") / "diffusion_pytorch_model.safetensors"


def student_of(
    teacher: Denoiser, index_set: tuple[int, ...] = IRREGULAR, conditioning: tuple[int, ...] | None = None
) -> Denoiser:
    return Denoiser(
        teacher.network, teacher.prediction, teacher.steps.subsequence(index_set, conditioning or index_set)
    ).eval()


def assert_same_model(one: Denoiser, other: Denoiser) -> None:
    assert_same_weights(weights_of(one), weights_of(other))
    assert one.steps.alphas_bar.tobytes() == other.steps.alphas_bar.tobytes()
    assert other.steps.alphas_bar.dtype == np.float64
    for name in ("timesteps", "index_set", "conditioning"):
        assert getattr(one.steps, name) == getattr(other.steps, name)
    assert one.prediction == other.prediction
    assert dict(one.named_buffers()).keys() == dict(other.named_buffers()).keys()
    for (name, mine), (_, theirs) in zip(one.named_buffers(), other.named_buffers(), strict=True):
        assert torch.equal(mine, theirs), name


@settings(max_examples=5)
@given(
    st.sampled_from(["linear", "cosine", "sigmoid"]),
    st.sets(st.integers(0, 63), min_size=1, max_size=20).map(lambda s: tuple(sorted(s))),
    st.sampled_from(["epsilon", "v", "x0", "consistency"]),
    st.booleans(),
    st.integers(0, 1000),
)
def test_saving_and_loading_changes_no_bit(
    schedule: ScheduleKind, index_set: tuple[int, ...], prediction: Any, own_index: bool, seed: int
) -> None:
    teacher = tiny_denoiser(make_schedule(schedule, 64), prediction=prediction, size=4, seed=seed)
    student = student_of(teacher, index_set, tuple(range(len(index_set))) if own_index else None)
    for model in (teacher, student):
        with tempfile.TemporaryDirectory() as folder:
            save_model(Path(folder) / "a", model, {"fold": "8", "depends_on": "x", "seconds": 0.1})
            loaded, card = load_model(Path(folder) / "a")
            save_model(Path(folder) / "b", loaded, card)
            _, again = load_model(Path(folder) / "b")
            one, other = ((Path(folder) / name / WEIGHTS).read_bytes() for name in "ab")
        assert_same_model(model, loaded)
        assert (card["fold"], card["depends_on"], card["seconds"]) == ("8", "x", 0.1)
        assert card == again
        assert one == other
        assert card["weights_sha256"] == hashlib.sha256(one).hexdigest()
        x, t = normal(2, 1, 4, 4), torch.tensor([model.steps.index_set[0], model.steps.index_set[-1]])
        with torch.no_grad():
            assert torch.equal(model.raw(x, t), loaded.eval().raw(x, t))


def stock_images(folder: Path, steps: int, seed: int) -> torch.Tensor:
    declare_missing_operators()
    from diffusers.pipelines.ddim.pipeline_ddim import DDIMPipeline

    pipeline: Any = DDIMPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        batch_size=3,
        generator=torch.Generator().manual_seed(seed),
        eta=0.0,
        num_inference_steps=steps,
        use_clipped_model_output=True,
        output_type="pt",
    ).images
    return images * 2 - 1


@pytest.mark.parametrize("own_index", [False, True], ids=["teacher index", "student index"])
@pytest.mark.parametrize(("schedule", "prediction"), [("cosine", "epsilon"), ("sigmoid", "v"), ("linear", "x0")])
def test_stock_diffusers_samples_a_student_as_we_do(
    tmp_path: Path, schedule: ScheduleKind, prediction: Any, own_index: bool
) -> None:
    teacher = tiny_denoiser(make_schedule(schedule, 64), prediction=prediction)
    student = student_of(teacher, IRREGULAR, tuple(range(8)) if own_index else None)
    save_model(tmp_path / "model", student, {})
    noise = torch.randn((3, 1, 8, 8), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        ours = sample(student, IRREGULAR, DDIM(), noise, lambda k: noise)
    theirs = stock_images(tmp_path / "model", 8, seed=5)
    assert ours.std() > 0.1
    torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)


def test_stock_diffusers_samples_a_teacher_as_we_do(tmp_path: Path) -> None:
    teacher = tiny_denoiser(make_schedule("linear", 16))
    save_model(tmp_path / "model", teacher, {})
    noise = torch.randn((3, 1, 8, 8), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        ours = sample(teacher, tuple(range(16)), DDIM(), noise, lambda k: noise)
    # 16 steps with betas up to the cap, float32 in diffusers: still a hundredth of a grey level
    torch.testing.assert_close(stock_images(tmp_path / "model", 16, seed=5), ours, rtol=0, atol=1e-4)


def test_a_saved_teacher_can_be_named_as_a_pretrained_pipeline(tmp_path: Path) -> None:
    teacher = tiny_denoiser(make_schedule("linear", 64), prediction="v")
    save_model(tmp_path / "model", teacher, {})
    again = load_pretrained(tmp_path / "model", 64)
    assert again.prediction == "v"
    assert_same_weights(weights_of(again), weights_of(teacher))
    np.testing.assert_allclose(again.steps.alphas_bar, teacher.steps.alphas_bar, rtol=1e-4)  # float32 in the pipeline
    with pytest.raises(SfddmError, match=r"teacher\.pretrained: .*model has 64 steps, schedule\.timesteps says 1000"):
        load_pretrained(tmp_path / "model", 1000)


@pytest.mark.parametrize("broken", ["nothing", "no weights", "no scheduler"])
def test_a_folder_that_is_no_pipeline_is_refused_as_a_teacher(tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "model"
    if broken != "nothing":
        save_model(folder, tiny_denoiser(size=4), {})
        (folder / (WEIGHTS if broken == "no weights" else "scheduler/scheduler_config.json")).unlink()
    with pytest.raises(SfddmError, match=r"teacher\.pretrained: .* is not a diffusers pipeline with unet/"):
        load_pretrained(folder, 64)


# --- damage -------------------------------------------------------------------------------------------------------


def edit_card(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        card = read_json(folder / "card.json")
        change(card)
        write_json(folder / "card.json", card, with_digest=True)

    return edit


def edit_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / WEIGHTS)
        change(weights)
        save_file(weights, folder / WEIGHTS)
        sha256 = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        edit_card(lambda card: card.update(weights_sha256=sha256))(folder)

    return edit


def truncate(name: Path | str, keep: float) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(keep * len(content))])

    return cut


def put_in_a_weight(value: float) -> Callable[[dict[str, torch.Tensor]], object]:
    return lambda weights: weights["conv_out.bias"].fill_(value)


def swap_conditioning(card: dict[str, Any]) -> None:
    card["conditioning"][0] += 1


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no card": lambda folder: (folder / "card.json").unlink(),
    "half a card": truncate("card.json", 0.5),
    "an empty card": truncate("card.json", 0),
    "a card that is a list": lambda folder: (folder / "card.json").write_text("[]"),
    "no weights": lambda folder: (folder / WEIGHTS).unlink(),
    "half the weights": truncate(WEIGHTS, 0.5),
    "a byte less of weights": truncate(WEIGHTS, 0.99999),
    "empty weights": truncate(WEIGHTS, 0),
    "a weight less": edit_weights(lambda weights: weights.pop("conv_in.weight")),
    "a weight more": edit_weights(lambda weights: weights.update(extra=torch.zeros(1))),
    "a weight of another shape": edit_weights(lambda weights: weights.update({"conv_in.bias": torch.zeros(5)})),
    "another table of steps": edit_weights(lambda weights: weights["time_proj.weight"].add_(1e-3)),
    "no table of steps": edit_weights(lambda weights: weights.pop("time_proj.weight")),
    "a weight that is NaN": edit_weights(put_in_a_weight(float("nan"))),
    "a weight that is infinite": edit_weights(put_in_a_weight(float("-inf"))),
    "a card without the weights' digest": edit_card(lambda card: card.pop("weights_sha256")),
    "a card without steps": edit_card(lambda card: card.pop("index_set")),
    "a card without levels": edit_card(lambda card: card.pop("alphas_bar")),
    "a card without network": edit_card(lambda card: card.pop("network")),
    "another network": edit_card(lambda card: card["network"].update(block_out_channels=[8, 24])),
    "another index set": edit_card(lambda card: card.update(index_set=[2, 3, 9, 20, 21, 40, 55])),
    "an index set that falls": edit_card(lambda card: card["index_set"].reverse()),
    "an index out of range": edit_card(lambda card: card.update(timesteps=60)),
    "levels that rise": edit_card(lambda card: card["alphas_bar"].reverse()),
    "other levels": edit_card(lambda card: card["alphas_bar"].pop()),
    "another conditioning": edit_card(swap_conditioning),
    "an unknown prediction": edit_card(lambda card: card.update(prediction="noise")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_folder_is_refused(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "model"
    save_model(folder, student_of(tiny_denoiser(size=4)), {})
    edit_weights(lambda weights: None)(folder)
    load_model(folder)
    DAMAGE[damage](folder)
    with pytest.raises(SfddmError, match=str(folder)) as caught:
        load_model(folder)
    assert "\n" not in str(caught.value)


def test_a_pretrained_pipeline_with_a_weight_that_is_nan_is_refused(tmp_path: Path) -> None:
    save_model(tmp_path / "model", tiny_denoiser(make_schedule("linear", 64), size=4), {})
    edit_weights(put_in_a_weight(float("nan")))(tmp_path / "model")
    with pytest.raises(SfddmError, match=r"model: the weights unet\.conv_out\.bias must be finite"):
        load_pretrained(tmp_path / "model", 64)


def test_a_failed_save_leaves_the_old_model_whole(tmp_path: Path) -> None:
    folder, teacher = tmp_path / "model", tiny_denoiser(size=4)
    save_model(folder, teacher, {"fold": "old"})
    with pytest.raises(ValueError, match="JSON"):
        save_model(folder, tiny_denoiser(size=4, seed=9), {"seconds": float("nan")})
    loaded, card = load_model(folder)
    assert card["fold"] == "old"
    assert_same_model(teacher, loaded)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
