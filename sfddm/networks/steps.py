"""Which of the teacher's steps a model is a model of."""

from __future__ import annotations

from dataclasses import dataclass

from sfddm.diffusion.index_sets import check_index_set
from sfddm.diffusion.schedule import Float64, Schedule

#: Of a teacher, as of a spec's schedule.
MOST_STEPS = 100_000


@dataclass(frozen=True)
class Steps:
    """At which of the teacher's steps a network is a model, and what its time embedding sees there.

    Attributes:
        timesteps: T of the teacher at the root.
        index_set: (T',) the teacher's indices, increasing, in [0, T).
        conditioning: (T',) the number fed to the time embedding at each.
        alphas_bar: (T',) float64 cumulative alphas at each.
    """

    timesteps: int
    index_set: tuple[int, ...]
    conditioning: tuple[int, ...]
    alphas_bar: Float64

    def __post_init__(self) -> None:
        if not isinstance(self.timesteps, int) or self.timesteps > MOST_STEPS:
            raise ValueError(f"timesteps must be at most {MOST_STEPS:,}; got {self.timesteps!r}")
        check_index_set(self.index_set, self.timesteps)
        if not len(self.index_set) == len(self.conditioning) == len(self.alphas_bar):
            raise ValueError("index_set, conditioning and alphas_bar must have one entry for each step")

    @classmethod
    def of_teacher(cls, schedule: Schedule) -> Steps:
        """Return all T steps of a teacher, each conditioned on its own index."""
        every = tuple(range(schedule.timesteps))
        return cls(schedule.timesteps, every, every, schedule.alphas_bar)

    def subsequence(self, index_set: tuple[int, ...], conditioning: tuple[int, ...]) -> Steps:
        """Return the steps of a student of this model.

        Raises:
            ValueError: one of the indices is none of this model's.
        """
        positions = [self.index_set.index(t) for t in index_set]
        return Steps(self.timesteps, index_set, conditioning, self.alphas_bar[positions])

    @property
    def are_all(self) -> bool:
        """Whether these are all of a teacher's steps, each conditioned on its own index."""
        return self.conditioning == tuple(range(self.timesteps))
