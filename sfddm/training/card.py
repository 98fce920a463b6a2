"""The card of a trained model: where it comes from and what it cost."""

from __future__ import annotations

from typing import Any

from sfddm.data.store import Store
from sfddm.runtime.provenance import git_commit, hardware, library_versions
from sfddm.spec.experiment import Spec, digest_of
from sfddm.training.loop import TrainingResult


def make_card(
    spec: Spec,
    store: Store,
    *,
    method: str,
    fold: str,
    seed: int,
    result: TrainingResult,
    depends_on: dict[str, Any],
) -> dict[str, Any]:
    """Return the facts every trained model records, as plain JSON.

    ``depends_on`` is everything the training is a function of; the card keeps its digest.
    """
    return {
        "experiment": spec.name,
        "spec_digest": spec.digest,
        "method": method,
        "fold": fold,
        "seed": seed,
        "depends_on": digest_of(depends_on),
        "data": {"label": store.manifest["label"], "sha256": store.digest},
        "steps": result.steps,
        "images_seen": result.images_seen,
        "train_seconds": result.seconds,
        "commit": git_commit(),
        "versions": library_versions(),
        "hardware": hardware(),
    }
