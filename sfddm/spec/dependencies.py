"""What each stage depends on besides the files that it reads: its section of the spec, and its code.

Snakemake reruns a stage when either changes, and ``sfddm provenance --why`` says which. What stands here trains or
measures again; what does not, such as a title, another method's option or the words of a message, does not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sfddm.evaluation.measurements.base import find_measurement
from sfddm.evaluation.metrics.base import find_metric
from sfddm.extractors.base import find_extractor
from sfddm.networks.spec import NetworkOptions
from sfddm.runtime.files import digest_of
from sfddm.runtime.provenance import code_digests
from sfddm.spec import stages
from sfddm.spec.experiment import Spec


@dataclass(frozen=True)
class Dependencies:
    """What a stage computes with.

    Attributes:
        kind: the name of the function here that says so, without ``of_``.
        given: what it is asked besides the spec.
        section: its part of the spec, as plain JSON.
        modules: the modules that it runs, by full name, plug-ins included; what they import counts, too.
    """

    kind: str
    given: dict[str, Any]
    section: dict[str, Any]
    modules: tuple[str, ...]

    @property
    def spec(self) -> str:
        """sha256 of the section."""
        return digest_of(self.section)

    def code_by_module(self) -> dict[str, str]:
        """Return the sha256 of each module."""
        return code_digests(*self.modules)


def of_data(spec: Spec) -> Dependencies:
    """Return what the store depends on."""
    return _make("data", {}, {"data": _plain(spec.data)}, ["sfddm.data.fetch"], [type(spec.data)])


def of_teacher(spec: Spec, seed: int) -> Dependencies:
    """Return what a teacher depends on."""
    key = stages.teacher_training(spec, seed).key
    return _make("teacher", {"seed": seed}, key, ["sfddm.training.teacher"], [type(spec.network)])


def of_student(spec: Spec, row: str, fold: str, seed: int) -> Dependencies:
    """Return what one student depends on.

    Raises:
        SfddmError: there is no such row, or no such training.
    """
    stage = stages.student_training(spec, row, fold, seed)
    used = [type(spec.method(row)), *_networks(spec, row)]
    return _make("student", {"row": row, "fold": fold, "seed": seed}, stage.key, ["sfddm.training.student"], used)


def of_partition(spec: Spec, row: str) -> Dependencies:
    """Return what a partition of the classes depends on.

    Raises:
        SfddmError: the row's students do not share the classes.
    """
    stage = stages.class_partition(spec, row)
    used = [find_extractor(stage.extraction.extractor)]
    return _make("partition", {"row": row}, stage.key, ["sfddm.evaluation.class_partition"], used)


def of_pairs(spec: Spec, seed: int) -> Dependencies:
    """Return what the teacher's images with their noise depend on."""
    key = stages.pair_sampling(spec, seed).key
    return _make("pairs", {"seed": seed}, key, ["sfddm.sampling.pairs"], [type(spec.network)])


def of_samples(spec: Spec, row: str, steps: int) -> Dependencies:
    """Return what a row's images depend on, besides the models."""
    stage = stages.row_sampling(spec, row, steps)
    return _make(
        "samples",
        {"row": row, "steps": steps},
        stage.key,
        ["sfddm.sampling.images"],
        [type(stage.sampler), *_networks(spec, row)],
    )


def of_index_set(spec: Spec, row: str, steps: int) -> Dependencies:
    """Return what an index set found on the teacher's path depends on."""
    stage = stages.row_sampling(spec, row, steps)
    return _make(
        "index_set", {"row": row, "steps": steps}, stage.key, ["sfddm.sampling.index_sets"], [type(spec.network)]
    )


def of_classifier(spec: Spec) -> Dependencies:
    """Return what the extractor that the run trains depends on, besides the store."""
    return _make("classifier", {}, stages.classifier_training(spec).key, ["sfddm.evaluation.classifier"], [])


def of_reference(spec: Spec, extractor: str | None = None) -> Dependencies:
    """Return what the reference depends on, besides the store; ``extractor`` None is the main one.

    Raises:
        SfddmError: the spec has no such extractor.
    """
    return _scored("reference", spec, extractor)


def of_score(spec: Spec, extractor: str | None = None) -> Dependencies:
    """Return what a score depends on, besides the images and the reference; ``extractor`` None is the main one.

    Raises:
        SfddmError: the spec has no such extractor.
    """
    return _scored("score", spec, extractor)


def _scored(kind: str, spec: Spec, extractor: str | None) -> Dependencies:
    section, given = stages.scoring(spec, extractor), {} if extractor is None else {"extractor": extractor}
    used = [find_extractor(section.extractor), *(type(find_metric(name)) for name in section.metrics)]
    return _make(kind, given, section.key, [f"sfddm.evaluation.{kind}"], used)


def of_measurement(spec: Spec, name: str, row: str, steps: int) -> Dependencies:
    """Return what a further measurement of a row depends on, besides what it reads.

    Raises:
        SfddmError: there is no such measurement, or the row cannot be measured so.
    """
    kind, section = find_measurement(name), stages.measurement(spec, name, row, steps)
    used = [kind, find_extractor(spec.evaluation.extractor)]
    if "models" in kind.needs:
        used += [type(stages.row_sampling(spec, row, steps).sampler), *_networks(spec, row)]
    return _make("measurement", {"name": name, "row": row, "steps": steps}, section.key, [], used)


def _make(
    kind: str, given: dict[str, Any], section: dict[str, Any], modules: list[str], used: Iterable[type]
) -> Dependencies:
    """Count the entries of registries that a stage uses, plug-ins included, by their modules."""
    names = modules + [entry.__module__ for entry in used]
    return Dependencies(kind, given, section, tuple(dict.fromkeys(names)))


def _networks(spec: Spec, row: str) -> list[type[NetworkOptions]]:
    own = spec.methods[row].network
    return [type(spec.network), *([] if own is None else [type(own)])]


def _plain(section: Any) -> Any:
    return None if section is None else section.model_dump(mode="json")
