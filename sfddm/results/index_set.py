"""The file of the stage ``index-set``."""

from __future__ import annotations

from dataclasses import dataclass

from sfddm.results.score import STRICT


@dataclass(frozen=True, kw_only=True)
class FoundIndexSet:
    """An index set that was found on the teacher's path.

    Attributes:
        index_set: (T',) the teacher's indices to visit, increasing.
        cost: of the path along them, as the search weighs it.
        chosen_from: the indices of the dense path.
        samples: paths whose mean the costs are.
        coefficient: weight of the rest of a path.
        model: digest of what the teacher depends on.
    """

    __pydantic_config__ = STRICT

    schema: int = 1
    index_set: tuple[int, ...]
    cost: float
    chosen_from: tuple[int, ...]
    samples: int
    coefficient: float
    model: str
