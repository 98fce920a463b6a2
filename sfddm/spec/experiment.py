"""The typed spec: one YAML file that says what is to be reproduced."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import Field, ValidationError, ValidatorFunctionWrapHandler, field_validator, model_validator
from pydantic.functional_serializers import SerializeAsAny
from pydantic.json_schema import GenerateJsonSchema

from sfddm.data.spec import DataSpec
from sfddm.diffusion.spec import ScheduleSpec
from sfddm.evaluation.spec import EvaluationSpec
from sfddm.methods import all_methods, find_method, make_method
from sfddm.methods.base import Fold, Method, MethodOptions, StepCount, TrainingOptions
from sfddm.networks.spec import NetworkSpec
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.strict import Strict, describe
from sfddm.sampling.spec import PairsSpec
from sfddm.training.spec import TeacherSpec


class Model(NamedTuple):
    """A trained model of an experiment: the row and the fold it belongs to."""

    row: str
    fold: str


TEACHER = Model("teacher", "teacher")


class Spec(Strict):
    """One experiment. ``pairs`` is needed where a method compares with the teacher's images from the same noise."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
    title: str
    notes: tuple[str, ...] = ()
    data: DataSpec
    schedule: ScheduleSpec
    network: NetworkSpec
    teacher: TeacherSpec
    students: TrainingOptions
    pairs: PairsSpec | None = None
    methods: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")], SerializeAsAny[MethodOptions]]
    steps: Annotated[tuple[StepCount, ...], Field(min_length=1)]
    seeds: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = (0,)
    evaluation: EvaluationSpec

    @field_validator("methods", mode="wrap")
    @classmethod
    def _options_of_each_method(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> dict[str, MethodOptions]:
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
        checked: dict[str, MethodOptions] = handler(rows)
        return checked

    @model_validator(mode="after")
    def _everything_is_reachable(self) -> Spec:
        for field, training in self._trainings():
            if (training.images is None) == (training.epochs is None):
                raise ValueError(f"{field}: give either images or epochs")
        self._check_points()
        for key in ("agreement", "audit", "interpolation"):
            unknown = set(getattr(self.evaluation, key)) - set(self.methods)
            if unknown:
                raise ValueError(f"evaluation.{key}: no such row under methods: {', '.join(sorted(unknown))}")
        if self.evaluation.agreement and self.teacher_row() is None:
            raise ValueError("evaluation.agreement: needs a row of the method teacher under methods")
        for row in self.methods:
            try:
                method = self.method(row)
                for steps in method.sampled_steps(self.steps):
                    folds = method.folds(steps)  # first: it knows best why a step count is out of reach
                    method.index_set(steps)
                    self.sampled_models(row, steps)
                    self._teacher_at(row, steps)
                    if self.pairs is None and any(method.needs_pairs(fold) for fold in folds):
                        raise SfddmError("it compares with the teacher's images; give pairs")
                if self.methods[row].guidance_scale != 1.0 and self.network.classes is None:
                    raise SfddmError("guidance_scale: the network knows no classes; give network.classes")
            except SfddmError as error:
                raise ValueError(f"methods.{row}: {error}") from None
        return self

    def _check_points(self) -> None:
        points = self.data.source == "gaussians-2d"
        if points != (self.evaluation.extractor == "points"):
            raise ValueError("evaluation.extractor: must be points for the source gaussians-2d, and for no other")
        if points and self.network.kind != "mlp":
            raise ValueError(
                "network.kind: must be mlp for the source gaussians-2d: a U-Net cannot halve a single pixel"
            )
        if points and (self.evaluation.audit or self.evaluation.interpolation):
            raise ValueError("evaluation.audit, evaluation.interpolation: are for images, not for points")

    def _trainings(self) -> list[tuple[str, TrainingOptions]]:
        found = [("students", self.students)]
        if self.teacher.training:
            found.append(("teacher.training", self.teacher.training))
        for row, options in self.methods.items():
            values = ((key, getattr(options, key)) for key in type(options).model_fields)
            found += [(f"methods.{row}.{key}", value) for key, value in values if isinstance(value, TrainingOptions)]
        return found

    def method(self, row: str) -> Method:
        """Return the method behind a row of the table.

        Raises:
            SfddmError: the spec has no such row.
        """
        if row not in self.methods:
            raise SfddmError(f"{self.name}: there is no method {row!r} in the spec; it has {', '.join(self.methods)}")
        return make_method(self.methods[row], self.schedule.build())

    def rows(self) -> list[tuple[str, int]]:
        """Return (row name, steps) of every row of the table, for one seed."""
        return [(row, steps) for row in self.methods for steps in self.method(row).sampled_steps(self.steps)]

    def measured_rows(self, key: Literal["agreement", "audit", "interpolation"]) -> list[tuple[str, int]]:
        """Return (row name, steps) that a further measurement covers: the listed rows, at the spec's own ``steps``."""
        listed = getattr(self.evaluation, key)
        return [(row, steps) for row, steps in self.rows() if row in listed and steps in self.steps]

    def teacher_row(self) -> tuple[str, int] | None:
        """Return (row name, steps) of the first row of the method ``teacher``: students are held against it."""
        for row, options in self.methods.items():
            if options.method == "teacher":
                return row, self.method(row).sampled_steps(self.steps)[0]
        return None

    def fold(self, row: str, name: str) -> Fold:
        """Return the training called ``name`` of a row.

        Raises:
            SfddmError: no step count of the row needs a fold of that name.
        """
        return self._fold_and_steps(row, name)[0]

    def _fold_and_steps(self, row: str, name: str) -> tuple[Fold, int]:
        method = self.method(row)
        folds = {fold.name: (fold, n) for n in method.sampled_steps(self.steps) for fold in method.folds(n)}
        if name not in folds:
            known = ", ".join(folds) or "none: nothing is trained"
            raise SfddmError(f"{self.name}: {row} has no fold {name!r}; it has {known}")
        return folds[name]

    def teacher_of(self, row: str, name: str) -> Model:
        """Return the model that a row's fold learns from.

        Raises:
            SfddmError: there is no such fold.
        """
        fold, steps = self._fold_and_steps(row, name)
        return Model(row, fold.teacher) if fold.teacher else self._teacher_at(row, steps)

    def _teacher_at(self, row: str, steps: int) -> Model:
        """Return what takes the teacher's place in a row: the teacher, or the student that ``student_of`` names."""
        other = self.methods[row].student_of
        if other is None:
            return TEACHER
        if other not in self.methods or other == row:
            raise SfddmError(f"student_of: there is no other row {other!r} under methods")
        if steps not in (method := self.method(other)).sampled_steps(self.steps):
            raise SfddmError(f"student_of: {other} has no student of {steps} steps")
        models = self.sampled_models(other, steps)
        if len(models) != 1:
            raise SfddmError(f"student_of: {other} at {steps} steps is several students, not one")
        trained = [fold.index_set for fold in method.sampled_folds(steps)]
        if trained and not set(self.method(row).index_set(steps)) <= set(trained[0]):
            raise SfddmError(f"student_of: the student of {other} does not stand for all of this row's {steps} steps")
        return models[0]

    def sampled_models(self, row: str, steps: int) -> list[Model]:
        """Return the models that a row samples: its own students, or what takes the teacher's place.

        Raises:
            SfddmError: the row names a student that there is not.
        """
        folds = self.method(row).sampled_folds(steps)
        return [Model(row, fold.name) for fold in folds] or [self._teacher_at(row, steps)]

    def teacher_part(self) -> dict[str, Any]:
        """Return what the teacher depends on, as plain JSON."""
        return self.model_dump(mode="json", include={"data", "schedule", "network", "teacher"})

    def student_part(self, row: str) -> dict[str, Any]:
        """Return what one row's students depend on, as plain JSON: the teacher's part, the method and its training."""
        method = self.methods[row].model_dump(mode="json", exclude={"title", "steps", "eta", "sampler", "clip"})
        training = self.methods[row].training or self.students
        part = self.teacher_part() | {"method": method, "students": training.model_dump(mode="json")}
        return part | ({"pairs": self.pairs.model_dump(mode="json")} if self.pairs else {})

    @property
    def digest(self) -> str:
        """sha256 of the whole spec in canonical JSON."""
        return digest_of(self.model_dump(mode="json"))


def digest_of(value: Any) -> str:
    """Return the sha256 of a JSON value in canonical form (sorted keys, no spaces)."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def find_spec(name_or_path: str) -> Path:
    """Return the file of an experiment given by name ("digits") or by path."""
    path = Path(name_or_path)
    return path if path.suffix in (".yaml", ".yml") else Path("params") / f"{name_or_path}.yaml"


def load_spec(name_or_path: str | Path) -> Spec:
    """Read and check a spec.

    Raises:
        SfddmError: the file is missing, is not YAML, or breaks the schema; the sentence names file and key.
    """
    path = find_spec(str(name_or_path))
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SfddmError(f"{path}: no such spec; specs are files like params/digits.yaml") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SfddmError(f"{path}: not a YAML file ({' '.join(str(error).split())})") from None
    if not isinstance(content, dict):
        raise SfddmError(f"{path}: a spec must be a mapping of keys")
    return parse_spec(content, str(path))


def parse_spec(content: dict[str, Any], source: str) -> Spec:
    """Check a spec that is already read; ``source`` names it in errors.

    Raises:
        SfddmError: it breaks the schema.
    """
    try:
        return Spec.model_validate(content)
    except ValidationError as error:
        raise SfddmError(f"{source}: {describe(error)}") from None


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a spec, with the options of every registered method."""
    schema = Spec.model_json_schema(schema_generator=GenerateJsonSchema)
    rows = []
    for name, method in all_methods().items():
        options = method.Options.model_json_schema(ref_template="#/$defs/{model}")
        schema["$defs"].update(options.pop("$defs", {}))
        options["properties"]["method"] = {"const": name}
        options["title"] = name
        options["required"] = [key for key in options.get("required", []) if key != "method"]
        rows.append(options)
    by_name = {method["title"]: method for method in rows}
    schema["$defs"].update({f"method-{name}": options for name, options in by_name.items()})
    schema["properties"]["methods"] = {
        "type": "object",
        "minProperties": 1,
        "additionalProperties": {"anyOf": [{"$ref": f"#/$defs/method-{name}"} for name in by_name]},
    }
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
