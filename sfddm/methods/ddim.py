"""DDIM (Song, Meng & Ermon 2021): the teacher itself, sampled on a sub-sequence of its steps. Nothing is trained."""

from __future__ import annotations

from sfddm.methods.base import Method, Plan


class DDIM(Method):
    """The teacher on ``index_set``: the control that every distilled student has to beat at the same steps."""

    name = "ddim"
    title = "DDIM"
    reference = "Song, Meng & Ermon 2021, arXiv 2010.02502"

    def plan(self, steps: int) -> Plan:
        """Nothing is trained."""
        return self.plan_of(steps)
