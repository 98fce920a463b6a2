"""What a loss draws besides its batch: a function of (seed, step) and of the names, whoever asks and in what order."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from sfddm.diffusion.draws import Draws

NAMES = ("match", "fake", "third")


def draws(names: tuple[str, ...] = NAMES, *, seed: int = 3, step: int = 5, size: int = 6, **more: Any) -> Draws:
    return Draws(names, seed, step, (size, 1, 4, 4), torch.device("cpu"), **more)


def test_numbers_are_a_function_of_seed_step_and_names_in_whatever_order_they_are_asked_for() -> None:
    one, other = draws(), draws()
    random_state = torch.get_rng_state()
    first = {name: (one.normal(name), one.uniform(name)) for name in NAMES}
    second = {name: (other.uniform(name), other.normal(name)) for name in reversed(NAMES)}
    assert torch.equal(random_state, torch.get_rng_state()), "torch's own generator is left alone"
    for name, (normal, uniform) in first.items():
        assert (normal.shape, normal.dtype) == ((6, 1, 4, 4), torch.float32)
        assert (uniform.shape, uniform.dtype) == ((6,), torch.float32)
        assert torch.equal(normal, second[name][1])
        assert torch.equal(uniform, second[name][0])
        assert torch.equal(normal, one.normal(name)), "asked twice, the same numbers"


@pytest.mark.parametrize("change", [{"seed": 4}, {"step": 6}, {"names": ("fake", "match", "third")}])
def test_another_seed_step_or_name_gives_other_numbers(change: dict[str, Any]) -> None:
    one, other = draws(), draws(**change)
    assert not torch.equal(one.normal("match"), other.normal("match"))
    assert not torch.equal(one.uniform("match"), other.uniform("match"))


def test_two_names_share_no_number() -> None:
    one = draws()
    assert len(torch.cat([one.normal(name).flatten() for name in NAMES]).unique()) == 3 * 6 * 16
    assert len(torch.cat([one.uniform(name) for name in NAMES]).unique()) == 3 * 6


def test_the_shares_of_two_processes_are_the_numbers_of_one() -> None:
    whole = draws()
    for name in NAMES:
        for rank in range(2):
            mine = draws(share=slice(rank, None, 2))
            assert torch.equal(mine.normal(name), whole.normal(name)[rank::2])
            assert torch.equal(mine.uniform(name), whole.uniform(name)[rank::2])


def test_they_are_distributed_as_they_say() -> None:
    many = draws(size=4000)
    for name in NAMES:
        normal, uniform = many.normal(name), many.uniform(name)
        assert abs(float(normal.mean())) < 4 / (64_000**0.5)
        assert float(normal.var()) == pytest.approx(1, abs=4 * (2 / 64_000) ** 0.5)
        assert 0 <= float(uniform.min()) < 0.01
        assert 0.99 < float(uniform.max()) < 1
        assert float(uniform.mean()) == pytest.approx(0.5, abs=4 / (12 * 4000) ** 0.5)


def test_a_name_that_was_not_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="tuple"):
        draws().normal("nobody")
