"""The typed spec: one YAML file that says what is to be reproduced."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.functional_serializers import SerializeAsAny

from sfddm.data.spec import DataSpec
from sfddm.diffusion.spec import ScheduleSpec
from sfddm.evaluation.spec import EvaluationSpec
from sfddm.extractors.base import find_extractor
from sfddm.methods import find_method, make_method
from sfddm.methods.base import Method, Plan, Training
from sfddm.methods.options import Budgets, MethodOptions, StepCount, TrainingOptions
from sfddm.networks.spec import NetworkSpec, kinds
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.files import digest_of
from sfddm.runtime.strict import Strict, describe
from sfddm.sampling.spec import PairsSpec
from sfddm.spec.budgets import at_each_budget
from sfddm.spec.seeds import Seeds, SeedsUntilDecided
from sfddm.training.spec import TeacherSpec


class Model(NamedTuple):
    """A trained model of an experiment: the row and the fold it belongs to."""

    row: str
    fold: str


TEACHER = Model("teacher", "teacher")


class Spec(Strict):
    """One experiment.

    ``pairs`` is needed where a method compares with the teacher's images from the same noise. ``methods`` holds a row
    for each budget of a row: ``budgets``, its own or the spec's, are replaced as the spec is read.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    title: str
    notes: tuple[str, ...] = ()
    data: DataSpec
    schedule: ScheduleSpec
    network: NetworkSpec
    teacher: TeacherSpec
    students: TrainingOptions
    pairs: PairsSpec | None = None
    budgets: Budgets | None = None
    steps: Annotated[tuple[StepCount, ...], Field(min_length=1)]
    methods: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")], SerializeAsAny[MethodOptions]]
    seeds: Seeds = (0,)
    evaluation: EvaluationSpec

    @field_validator("methods", mode="wrap")
    @classmethod
    def _options_of_each_method(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> dict[str, MethodOptions]:
        if not isinstance(value, dict) or not value:
            raise ValueError("must map at least one row's name to its options")
        rows = {}
        for row, options in value.items():
            try:
                if isinstance(options, MethodOptions):
                    rows[row] = options
                    continue
                given = {"method": row, **(options or {})}
                rows[row] = find_method(str(given["method"])).Options.model_validate(given)
            except ValidationError as error:
                raise ValueError(f"{row}: {describe(error)}") from None
            except (SfddmError, TypeError) as error:
                raise ValueError(f"{row}: {error}") from None
        if {"schedule", "students", "budgets", "steps"} <= set(info.data):  # else the error is there
            rows = _at_each_budget(rows, info.data)
        checked: dict[str, MethodOptions] = handler(rows)
        return checked

    @model_validator(mode="after")
    def _everything_is_reachable(self) -> Spec:
        for field, training in self._trainings():
            if (training.images is None) == (training.epochs is None):
                raise ValueError(f"{field}: give either images or epochs")
        self._check_points()
        self._check_measurements()
        for row in self.methods:
            try:
                for steps in self.steps_of(row):
                    self.plan(row, steps)
                    self.sampled_models(row, steps)
                    self._teacher_at(row, steps)
                    self._check_inputs(row, steps)
                if self.methods[row].guidance_scale != 1.0 and self.network.classes is None:
                    raise SfddmError("guidance_scale: the network knows no classes; give network.classes")
            except SfddmError as error:
                raise ValueError(f"methods.{row}: {error}") from None
        return self

    def _check_measurements(self) -> None:
        from sfddm.evaluation.measurements.base import find_measurement

        for name, rows in self.evaluation.measured.items():
            unknown, measurement = set(rows) - set(self.methods), find_measurement(name)
            if unknown:
                raise ValueError(f"evaluation.{name}: no such row under methods: {', '.join(sorted(unknown))}")
            if "teacher_samples" in measurement.needs and self.teacher_row() is None:
                raise ValueError(f"evaluation.{name}: needs a row of the method teacher under methods")
            if self.data.points and not measurement.for_points:
                raise ValueError(f"evaluation.{name}: is for images, not for points")

    def _check_inputs(self, row: str, steps: int) -> None:
        trainings = self.plan(row, steps).trainings
        if self.pairs is None and any(training.pairs for training in trainings):
            raise SfddmError("it compares with the teacher's images; give pairs")
        for training in trainings:
            predicted = training.prediction or self.network.prediction
            if training.from_noise and predicted == "epsilon":
                raise SfddmError(
                    "prediction: must be x0 or v, for its network sees pure noise and epsilon would only repeat it; "
                    "got epsilon"
                )
        network = self.methods[row].network or self.network
        if any(training.second_time for training in trainings) and not network.takes_second_time:
            takers = [name for name, kind in kinds().items() if kind.takes_second_time]
            raise SfddmError(
                f"network.kind: {network.kind} takes no second time, which this method's student needs; choose "
                f"{' or '.join(takers)}"
            )
        if self.network.classes is None and any(training.share for training in trainings):
            raise SfddmError("students: several students need classes; give network.classes")
        if not self.data.labelled and any(training.classifier for training in trainings):
            label = "label_column" if "label_column" in type(self.data).model_fields else "source"
            raise SfddmError(f"it asks a classifier, which needs labelled images; data.{label} gives no labels")

    def _check_points(self) -> None:
        points, source = self.data.points, self.data.source
        for name in self.evaluation.extractors:
            if points != find_extractor(name).for_points:
                given = "points" if points else "images"
                must = "must be points for a source of points, and for no other"
                raise ValueError(f"evaluation.extractors: {name}: {must}; {source} gives {given}")
        if points and not self.network.takes_points:
            raise ValueError(f"network.kind: must be mlp for the source {source}: {self.network.kind} needs images")

    def _trainings(self) -> list[tuple[str, TrainingOptions]]:
        found = [("students", self.students)]
        if self.teacher.training:
            found.append(("teacher.training", self.teacher.training))
        for row, options in self.methods.items():
            values = ((key, getattr(options, key)) for key in type(options).model_fields)
            found += [(f"methods.{row}.{key}", value) for key, value in values if isinstance(value, TrainingOptions)]
        return found

    @property
    def first_seeds(self) -> tuple[int, ...]:
        """The training seeds of every row."""
        return tuple(range(self.seeds.at_least)) if isinstance(self.seeds, SeedsUntilDecided) else self.seeds

    @property
    def every_seed(self) -> tuple[int, ...]:
        """The training seeds that a row may have: more than the first where the run decides on them."""
        return tuple(range(self.seeds.at_most)) if isinstance(self.seeds, SeedsUntilDecided) else self.seeds

    def method(self, row: str) -> Method:
        """Return the method behind a row of the table.

        Raises:
            SfddmError: the spec has no such row.
        """
        if row not in self.methods:
            raise SfddmError(f"{self.name}: there is no method {row!r} in the spec; it has {', '.join(self.methods)}")
        return make_method(self.methods[row], self.schedule.build())

    def plan(self, row: str, steps: int) -> Plan:
        """Return what a row needs at a number of sampling steps.

        Raises:
            SfddmError: the row cannot have so many.
        """
        return self.method(row).plan(steps)

    def steps_of(self, row: str) -> tuple[int, ...]:
        """Return the step counts at which a row is measured."""
        return self.method(row).sampled_steps(self.steps)

    def rows(self) -> list[tuple[str, int]]:
        """Return (row name, steps) of every row of the table, for one seed."""
        return [(row, steps) for row in self.methods for steps in self.steps_of(row)]

    def measured_rows(self, name: str) -> list[tuple[str, int]]:
        """Return (row name, steps) that a further measurement covers: the listed rows, at the spec's own ``steps``."""
        from sfddm.evaluation.measurements.base import find_measurement

        listed = self.evaluation.measured.get(name, ())
        wanted = self.steps if not listed or find_measurement(name).every_steps else (max(self.steps),)
        return [(row, steps) for row, steps in self.rows() if row in listed and steps in wanted]

    def teacher_row(self) -> tuple[str, int] | None:
        """Return (row name, steps) of the first reference row: students are held against it."""
        for row in self.methods:
            if self.method(row).is_reference:
                return row, self.steps_of(row)[0]
        return None

    def trainings(self, row: str) -> dict[str, Training]:
        """Return the trainings of a row by name, over all its step counts."""
        return {training.name: training for training, _ in self._trainings_of(row).values()}

    def _trainings_of(self, row: str) -> dict[str, tuple[Training, int]]:
        return {t.name: (t, steps) for steps in self.steps_of(row) for t in self.plan(row, steps).trainings}

    def training(self, row: str, name: str) -> Training:
        """Return the training called ``name`` of a row.

        Raises:
            SfddmError: no step count of the row needs a training of that name.
        """
        return self._training_and_steps(row, name)[0]

    def _training_and_steps(self, row: str, name: str) -> tuple[Training, int]:
        trainings = self._trainings_of(row)
        if name not in trainings:
            known = ", ".join(trainings) or "none: nothing is trained"
            raise SfddmError(f"{self.name}: {row} has no fold {name!r}; it has {known}")
        return trainings[name]

    def teacher_of(self, row: str, name: str) -> Model:
        """Return the model that a row's training learns from.

        Raises:
            SfddmError: there is no such training.
        """
        training, steps = self._training_and_steps(row, name)
        return Model(row, training.teacher) if training.teacher else self._teacher_at(row, steps)

    def _teacher_at(self, row: str, steps: int) -> Model:
        """Return what takes the teacher's place in a row: the teacher, or the student that ``student_of`` names."""
        other = self.methods[row].student_of
        if other is None:
            return TEACHER
        if other not in self.methods or other == row:
            raise SfddmError(f"student_of: there is no other row {other!r} under methods")
        if steps not in self.steps_of(other):
            raise SfddmError(f"student_of: {other} has no student of {steps} steps")
        models = self.sampled_models(other, steps)
        if len(models) != 1:
            raise SfddmError(f"student_of: {other} at {steps} steps is several students, not one")
        students, plan = self.plan(other, steps).students, self.plan(row, steps)
        if any(student.from_noise for student in students):
            raise SfddmError(f"student_of: the student of {other} sees pure noise alone and can teach nobody")
        if any(student.second_time for student in students) and (plan.trainings or plan.sampler.name != "ddim"):
            raise SfddmError(
                f"student_of: the student of {other} is told where each step goes; it can be sampled with sampler: "
                "ddim, but teaches no other"
            )
        if plan.index_set is None:
            raise SfddmError("index_set gits: needs a teacher of all steps; leave out student_of")
        asked = set(plan.index_set).union(*(own.index_set for own in plan.trainings if own.teacher is None))
        if students and not asked <= set(students[0].index_set):
            raise SfddmError(f"student_of: the student of {other} is no model at all of this row's {steps} steps")
        return models[0]

    def sampled_models(self, row: str, steps: int) -> list[Model]:
        """Return the models that a row samples: its own students, or what takes the teacher's place.

        Raises:
            SfddmError: the row names a student that there is not.
        """
        students = self.plan(row, steps).students
        return [Model(row, training.name) for training in students] or [self._teacher_at(row, steps)]

    @property
    def digest(self) -> str:
        """sha256 of the whole spec in canonical JSON."""
        return digest_of(self.model_dump(mode="json"))


def _at_each_budget(rows: dict[str, MethodOptions], spec: dict[str, Any]) -> dict[str, MethodOptions]:
    """Return the rows with one for each budget; ``spec`` holds the checked fields before ``methods``."""

    def trains(options: MethodOptions) -> bool:
        method = make_method(options, spec["schedule"].build())
        return any(method.plan(steps).trainings for steps in method.sampled_steps(spec["steps"]))

    try:
        return at_each_budget(rows, spec["budgets"], spec["students"], trains)
    except SfddmError as error:
        raise ValueError(str(error)) from None
