"""Several students that share the work: each image, at each step, is answered by the one that is responsible for it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from sfddm.diffusion.process import Prediction
from sfddm.networks.denoiser import Denoiser
from sfddm.runtime.errors import SfddmError


class Ensemble(nn.Module):
    """Routes by timestep (O2MKD) and by class (MSD); samplers treat it as one denoiser.

    A member is responsible for the indices at which it is a model; where ``classes`` lists some, for these alone.

    Args:
        members: the students; of one teacher, so that they agree on its schedule.
        classes: for each member its classes, or None for all.

    Raises:
        SfddmError: two members are responsible for the same step and class.
    """

    def __init__(self, members: list[Denoiser], classes: list[tuple[int, ...] | None]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.part_of_classes = classes
        self.labels: Tensor | None = None
        self.classes = members[0].classes
        self.takes_arrival = any(member.takes_arrival for member in members)
        _check_disjoint(members, classes)
        self.index_sets = [set(member.steps.index_set) for member in members]

    def given(self, labels: Tensor | None, guidance_scale: float = 1.0) -> Ensemble:
        """Return the ensemble for a batch of these classes, (B,) int64; students need no guidance."""
        view = copy.copy(self)
        view.labels = labels
        return view

    @property
    def evaluations(self) -> int:
        """Evaluations of the members' networks so far, one for each image."""
        return sum(member.counter.images for member in self.members)  # type: ignore[union-attr, misc]

    def alpha_bar(self, t: int) -> float:
        """Return the cumulative alpha at index ``t`` in float64."""
        return self._standing_for(t)[0].alpha_bar(t)

    def batch_of(self, t: int, count: int) -> Tensor:
        """Return (count,) copies of the index ``t`` on the members' device."""
        member: Denoiser = self.members[0]  # type: ignore[assignment]
        return member.batch_of(t, count)

    def predict(self, x: Tensor, t: Tensor, arrival: Tensor | None = None) -> Prediction:
        """Return the responsible members' answers, put together in the order of the batch.

        Args:
            x: (B, C, H, W) noised images.
            t: (B,) one teacher index for the whole batch, as samplers ask.
            arrival: (B,) where the step goes, for members with a second time.

        Raises:
            SfddmError: nobody is responsible for an image.
        """
        members = self._standing_for(int(t[0]))
        if len(members) == 1:
            return members[0].given(self.labels).predict(x, t, arrival)
        assert self.labels is not None
        x0, eps = torch.empty_like(x), torch.empty_like(x)
        answered = torch.zeros(len(x), dtype=torch.bool, device=x.device)
        for member, classes in zip(self.members, self.part_of_classes, strict=True):
            if member not in members or classes is None:
                continue
            mine = torch.isin(self.labels, torch.tensor(classes, device=x.device))
            if mine.any():
                found = member.given(self.labels[mine]).predict(
                    x[mine], t[mine], None if arrival is None else arrival[mine]
                )
                x0[mine], eps[mine] = found.x0, found.eps
                answered |= mine
        if not answered.all():
            raise SfddmError("students: no one is responsible for some of the classes")
        return Prediction(x0, eps)

    def _standing_for(self, t: int) -> list[Denoiser]:
        found = [member for member, own in zip(self.members, self.index_sets, strict=True) if t in own]
        if not found:
            raise SfddmError(f"students: no one is responsible for step {t}")
        return found  # type: ignore[return-value]


def _check_disjoint(members: list[Denoiser], classes: list[tuple[int, ...] | None]) -> None:
    for i, one in enumerate(members):
        for j in range(i):
            both = set(one.steps.index_set) & set(members[j].steps.index_set)
            mine, theirs = classes[i], classes[j]
            if both and (mine is None or theirs is None or set(mine) & set(theirs)):
                raise SfddmError(f"students: {i} and {j} are both responsible for step {min(both)}")
