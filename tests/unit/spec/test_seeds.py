"""Seeds as a list, or as many as the claims need."""

from typing import Any

import pytest
from support.report_runs import make_spec

from sfddm.runtime.errors import SfddmError


def test_a_list_is_all_the_seeds_there_are() -> None:
    spec = make_spec(seeds=[3, 1])
    assert spec.first_seeds == spec.every_seed == (3, 1)


def test_a_range_begins_with_the_fewest() -> None:
    spec = make_spec(seeds={"at_least": 3, "at_most": 10})
    assert (spec.first_seeds, spec.every_seed) == ((0, 1, 2), tuple(range(10)))


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [
        ({"at_least": 3, "at_most": 3}, "seeds.*at_most must be more than at_least, 3; got 3"),
        ({"at_least": 1, "at_most": 3}, "at_least: input should be greater than or equal to 2"),
        ({"at_least": 3}, "at_most: this key is missing"),
        ({"at_least": 3, "at_most": 5, "start": 1}, "start: unknown key"),
        ([], "seeds.*at least 1 item"),
        ([-1], "greater than or equal to 0"),
        ("3", "seeds"),
    ],
)
def test_a_wrong_one_is_told_in_a_sentence(seeds: Any, sentence: str) -> None:
    with pytest.raises(SfddmError, match=sentence) as error:
        make_spec(seeds=seeds)
    assert "until decided" not in str(error.value)
