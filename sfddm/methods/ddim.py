"""DDIM (Song, Meng & Ermon 2021): the teacher itself, sampled on a sub-sequence of its steps. Nothing is trained."""

from __future__ import annotations

from sfddm.methods.base import Method


class DDIM(Method):
    """The teacher on ``index_set``: the control that every distilled student has to beat at the same steps."""

    name = "ddim"
    title = "DDIM"
    reference = "Song, Meng & Ermon 2021, arXiv 2010.02502"
