"""The card of a trained model: where it comes from and what it cost."""

from __future__ import annotations

from typing import Any

from sfddm.data.store import Store
from sfddm.runtime.files import digest_of
from sfddm.runtime.provenance import git_commit, hardware, library_versions
from sfddm.training.loop import TrainingResult
from sfddm.training.sections import Origin


def make_card(
    origin: Origin, store: Store, *, method: str, fold: str, seed: int, result: TrainingResult, key: dict[str, Any]
) -> dict[str, Any]:
    """Return the facts every trained model records, as plain JSON.

    ``key`` is everything the training is a function of; the card keeps its digest.
    """
    return {
        "experiment": origin.experiment,
        "spec_digest": origin.spec_digest,
        "method": method,
        "fold": fold,
        "seed": seed,
        "depends_on": digest_of(key),
        "data": {"label": store.manifest["label"], "sha256": store.digest},
        "steps": result.steps,
        "images_seen": result.images_seen,
        "train_seconds": result.seconds,
        "losses": list(result.losses),
        "commit": git_commit(),
        "versions": library_versions(),
        "hardware": hardware(),
    }
