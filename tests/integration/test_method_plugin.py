"""One file adds a method: found by the variable, checked by the spec, trained and sampled like those of the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.exact_networks import assert_same_weights
from support.several_students import make_spec

from sfddm.data.fetch import fetch
from sfddm.methods import all_methods
from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import load_auxiliary, load_model
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.registry import PLUGINS
from sfddm.sampling.images import sample_row
from sfddm.spec import stages
from sfddm.spec.experiment import TEACHER, Spec
from sfddm.spec.stages import student_training, teacher_training
from sfddm.training.student import StudentInputs, train_student
from sfddm.training.teacher import train_teacher

CPU = torch.device("cpu")
PLUG_IN = '''
"""Students that say one grey level whatever they see: known in closed form, and nobody's in the package."""

from sfddm.diffusion.process import mean_squared_error
from sfddm.methods.base import Method
from sfddm.objectives.terms import Evaluations, Loss
from sfddm.methods.options import MethodOptions


class LevelOptions(MethodOptions):
    level: float = 0.25


class Level(Method):
    name = "level"
    title = "One level"
    reference = "a test"
    Options = LevelOptions

    def plan(self, steps):
        return self.plan_of(steps, self.training(str(steps), self.index_set(steps)))

    def loss(self, networks, batch, draws):
        student = networks.student
        said = student.predict(batch.noise, student.index_set[batch.k]).x0
        return Loss(mean_squared_error(said, said.detach() * 0 + self.options.level).mean())


class LearnedLevel(Level):
    """The level is that of an auxiliary network, which sees what the loss draws itself."""

    name = "learned-level"

    def objective(self, training, student, teacher):
        from torch.nn import Linear, ModuleDict

        from sfddm.objectives.objective import Objective

        return Objective(
            student, teacher, self.loss, evaluations=Evaluations(student=1, teacher=0),
            auxiliary=ModuleDict({"level": Linear(1, 1)}), average_decay=0.5, draws=("seen",),
        )

    def loss(self, networks, batch, draws):
        assert networks.average is not None
        level = networks.auxiliary["level"](draws.uniform("seen")[:, None])
        student = networks.student
        said = student.predict(batch.noise + draws.normal("seen"), student.index_set[batch.k]).x0
        total = (said - level.detach().mean()).square().mean() + (level - self.options.level).square().mean()
        return Loss(total, {"level": level.detach().mean()})
'''
TRAINING = {"images": 3200, "batch_size": 32, "learning_rate": 1e-2, "learning_rate_schedule": "linear"}
METHODS = {
    "teacher": {"reference_steps": 8},
    "grey": {"method": "level", "level": -0.5, "training": TRAINING},
    "learned-level": {"training": TRAINING},
}


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spec:
    file = tmp_path / "level.py"
    file.write_text(PLUG_IN)
    monkeypatch.setenv(PLUGINS, str(file))
    return make_spec(methods=METHODS, steps=[1], pairs=None)


def train_all(spec: Spec, root: Path) -> dict[str, Path]:
    fetch(spec.data, root / "data")
    inputs = StudentInputs(root / "data", root / TEACHER.row)
    train_teacher(teacher_training(spec, 0), root / "data", inputs.teacher, state=root / "state", device=CPU)
    students = {}
    for row in ("grey", "learned-level"):
        students[row] = root / row
        train_student(student_training(spec, row, "1", 0), inputs, students[row], state=root / "state", device=CPU)
    return students


def test_a_method_in_a_file_of_its_own_is_trained_by_its_own_loss_and_sampled(spec: Spec, tmp_path: Path) -> None:
    assert {"level", "learned-level"} <= set(all_methods())
    students = train_all(spec, tmp_path)
    for row, level in (("grey", -0.5), ("learned-level", 0.25)):
        model, card = load_model(students[row])
        assert (card["method"], card["fold"], card["images_seen"]) == (row, "1", 3200)
        assert card["student_evaluations"] == 1
        assert card["teacher_evaluations"] == {"grey": 1, "learned-level": 0}[row]
        assert isinstance(model, Denoiser)
        sample_row(stages.row_sampling(spec, row, 1), [students[row]], tmp_path / "samples.npy", device=CPU)
        made = np.load(tmp_path / "samples.npy") / 127.5 - 1
        assert np.abs(made.mean() - level) < 0.03
        assert made.std() < 0.1
    kept = torch.nn.ModuleDict({"level": torch.nn.Linear(1, 1)})
    load_auxiliary(students["learned-level"], kept)
    said = kept["level"](torch.linspace(0, 1, 5)[:, None])
    torch.testing.assert_close(said, torch.full_like(said, 0.25), atol=0.02, rtol=0)


def test_trained_again_it_has_the_same_weights(spec: Spec, tmp_path: Path) -> None:
    one, other = (train_all(spec, tmp_path / name) for name in ("one", "other"))
    for row in one:
        assert_same_weights(*(dict(load_model(place[row])[0].network.state_dict()) for place in (one, other)))


def test_its_options_are_checked_like_all_others(spec: Spec) -> None:
    with pytest.raises(SfddmError, match=r"methods: grey: level: .*number"):
        make_spec(methods=METHODS | {"grey": {"method": "level", "level": "bright"}}, steps=[1], pairs=None)
    with pytest.raises(SfddmError, match=r"methods: grey: levle: unknown key"):
        make_spec(methods=METHODS | {"grey": {"method": "level", "levle": 1}}, steps=[1], pairs=None)


def test_without_the_variable_it_is_unknown(spec: Spec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PLUGINS)
    with pytest.raises(SfddmError, match=r"grey: method: there is no 'level'; known: .*consistency, "):
        make_spec(methods=METHODS, steps=[1], pairs=None)
