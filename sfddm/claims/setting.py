"""The setting of a claim, as its paper states it, and the scale at which a run tested it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, field_validator

from sfddm.claims.figures import FigureOverSeeds, Figures
from sfddm.results.rows import Provenance, Row
from sfddm.results.styles import style_of
from sfddm.results.verdicts import GRADES, Cell, GradeWord
from sfddm.runtime.strict import Strict

Positive = Annotated[int, Field(ge=1)]
#: A label is a name, a resolution ("64x64"), and what was done to the data: "X (JPEG copy)" or "X, first 1/20".
_LABEL = re.compile(r"(?P<name>[^(,]*?)(?: \d+x\d+)?(?:,\s*(?P<part>.+)| \((?P<copy>.+)\))?")


class TrainingImages(Strict):
    """Images that the teacher saw in training, and the student in each one of its trainings."""

    teacher: Positive | None = None
    student: Positive | None = None


class Scale(Strict):
    """What our sources say of the size of an experiment; None where they do not say it.

    Attributes:
        resolution: height and width of an image, in pixels.
        timesteps: the teacher's T.
        parameters: weights of the network that answers at a step.
        generated_images, extractor: of the score.
    """

    resolution: Positive | None = None
    timesteps: Positive | None = None
    training_images: TrainingImages = TrainingImages()
    parameters: Positive | None = None
    generated_images: Positive | None = None
    extractor: str | None = None

    @property
    def has_amounts(self) -> bool:
        """Whether it says how much was trained, or how many images were generated."""
        return self.training_images != TrainingImages() or self.generated_images is not None


class Setting(Scale):
    """The setting of a claim. ``data`` names the data, each with what holds for it alone; the other keys for all."""

    data: dict[str, Scale] = Field(default_factory=dict)

    @field_validator("data", mode="before")
    @classmethod
    def _nothing_further(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {name: {} if scale is None else scale for name, scale in value.items()}

    def on(self, label: str) -> tuple[str, Scale] | None:
        """Return the claim's own name of the data that a label means, with the scale there; None for other data."""
        for name, scale in self.data.items():
            if _split(name)[0] == _split(label)[0]:
                return name, self.model_copy(update={key: getattr(scale, key) for key in scale.model_fields_set})
        return None


@dataclass(frozen=True)
class Grade:
    """The scale of a test. ``reasons`` say in plain words why it is not "full"."""

    word: GradeWord
    reasons: tuple[str, ...] = ()


def grade_of(
    setting: Setting, row: Row, provenance: Provenance, teacher: Row | None = None, *, scored: bool = True
) -> Grade:
    """Compare what stands behind a row with the setting of a claim.

    "toy": other data than the claim's, or our sources do not name the claim's data. "reduced": the claim's data, and at
    least one number that they state is missed, or not known of the run. "full": all that they state is met.

    Args:
        setting: of the claim.
        row: of the table.
        provenance: of the row's experiment.
        teacher: the teacher's row of the same experiment, which knows how many images its training saw.
        scored: whether the test reads the row's score; a counted cost needs no images and no extractor.
    """
    label = provenance.data.label
    found = setting.on(label)
    if found is None:
        wanted = f", not {' or '.join(setting.data)}" if setting.data else "; our sources do not name the claim's"
        return Grade("toy", (f"data {label}{wanted}",))
    name, scale = found
    reasons = [] if scale.has_amounts else ["our sources state neither the paper's training nor its number of images"]
    reasons += [*_of_the_data(name, scale, provenance), *_of_training(scale, row, provenance, teacher)]
    if scored and not style_of(row.metric).section:
        reasons += _of_the_score(scale, row)
    return Grade("reduced" if reasons else "full", tuple(reasons))


def graded(cell: Cell, setting: Setting, figures: Figures) -> Cell:
    """Return a cell with the lowest grade among the rows behind it; one that rests on no row, or none tested, as it is.

    Real images held against real images were not trained, and are left out.
    """
    behind = [figure for figure in _behind(cell, figures) if figure.first.role != "real"]
    if cell.verdict == "not tested" or not behind:
        return cell
    teachers = {
        figure.first.experiment: figure.first for figure in reversed(figures.all) if figure.first.role == "teacher"
    }
    scored = cell.difference is not None
    grades = [
        grade_of(setting, one.first, one.source, teachers.get(one.first.experiment), scored=scored) for one in behind
    ]
    lowest = min((grade.word for grade in grades), key=GRADES.index)
    told = [reason for grade in grades if grade.word == lowest for reason in grade.reasons]
    return replace(cell, grade=lowest, reduced=tuple(dict.fromkeys(told)))


def _behind(cell: Cell, figures: Figures) -> Iterator[FigureOverSeeds]:
    wanted = {(link.experiment, link.method, link.steps, link.metric) for link in cell.rows}
    for figure in figures.all:
        row = figure.first
        if (row.experiment, row.method, row.steps, row.metric) in wanted:
            yield figure


def _split(label: str) -> tuple[str, str]:
    """Return the name of the data without a resolution, and what was done to them."""
    match = _LABEL.fullmatch(label)
    return (label, "") if match is None else (match["name"], match["part"] or match["copy"] or "")


def _of_the_data(name: str, scale: Scale, provenance: Provenance) -> Iterator[str]:
    data = provenance.spec.get("data", {})
    done = _split(provenance.data.label)[1]
    if done and done != _split(name)[1]:
        yield f"data {provenance.data.label}, not {name}"
    if data.get("limit") is not None:
        yield f"{data['limit']:,} images of each split, not all"
    yield from _fewer("resolution {}, not {}", data.get("image_size"), scale.resolution)
    if scale.timesteps not in (None, provenance.timesteps):
        yield f"T {provenance.timesteps}, not {scale.timesteps}"


def _of_training(scale: Scale, row: Row, provenance: Provenance, teacher: Row | None) -> Iterator[str]:
    wanted = scale.training_images
    seen = _teacher_images(provenance, teacher)
    yield from _fewer("the teacher's training saw {} images, not {}", seen, wanted.teacher)
    if row.folds:
        each = None if row.images_seen is None else row.images_seen // row.folds
        yield from _fewer(f"each training of {row.method} saw {{}} images, not {{}}", each, wanted.student)
    weights = row.parameters if row.active_parameters is None else row.active_parameters
    yield from _fewer(f"the network of {row.method} has {{}} weights, not {{}}", weights, scale.parameters)


def _of_the_score(scale: Scale, row: Row) -> Iterator[str]:
    yield from _fewer("{} generated images, not {}", row.protocol.get("generated_images"), scale.generated_images)
    extractor = row.protocol.get("extractor")
    if scale.extractor not in (None, extractor):
        yield f"extractor {extractor or 'not known'}, not {scale.extractor}"


def _teacher_images(provenance: Provenance, teacher: Row | None) -> int | None:
    """Return what the teacher's row tells, or else its spec; nobody here knows what a pretrained teacher saw."""
    section = provenance.spec.get("teacher") or {}
    if section.get("pretrained"):
        return None
    if teacher is not None and teacher.images_seen is not None:
        return teacher.images_seen
    images = (section.get("training") or {}).get("images")
    return images if isinstance(images, int) else None


def _fewer(words: str, ours: int | None, stated: int | None) -> Iterator[str]:
    """Say that ours is below what is stated, or not known; nothing where nothing is stated."""
    if stated is not None and (ours is None or ours < stated):
        yield words.format("an unknown number of" if ours is None else f"{ours:,}", f"{stated:,}")
