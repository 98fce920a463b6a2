"""The losses that a card keeps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_training import OPTIONS, own_loss, run

from sfddm.diffusion.draws import Draws
from sfddm.objectives.terms import Batch, Loss, Networks
from sfddm.training.loss_curve import PARTS, LossCurve


@given(st.integers(1, 200))
def test_each_part_is_the_mean_of_its_steps_and_parts_are_equally_long(total: int) -> None:
    curve = LossCurve(total, torch.device("cpu"))
    parts: list[list[float]] = [[] for _ in range(min(PARTS, total))]
    for step in range(total):
        curve.add(step, torch.tensor(float(step)))
        parts[step * len(parts) // total].append(float(step))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert curve.means() == pytest.approx([sum(part) / len(part) for part in parts], rel=1e-3)


def test_a_training_keeps_the_loss_of_its_steps(tmp_path: Path) -> None:
    """Twelve steps are twelve parts: what the loss was, step by step."""
    seen = []

    def watched(networks: Networks, batch: Batch, draws: Draws) -> Loss:
        loss = own_loss(networks, batch, draws)
        seen.append(loss.total.item())
        return loss

    _, result = run(tmp_path / "c", OPTIONS, loss=watched)
    assert result.losses == pytest.approx(seen, rel=1e-3)


def test_losses_of_a_training_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match="another training"):
        LossCurve(12, torch.device("cpu")).load(torch.zeros(5))
