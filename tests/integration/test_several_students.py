"""Several students from the spec to the score, on points: pairs, stages that go on from one another, routing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.exact_networks import assert_same_weights
from support.several_students import make_spec

from sfddm.data.fetch import fetch
from sfddm.diffusion.index_sets import make_index_set
from sfddm.evaluation.class_partition import write_partition
from sfddm.evaluation.measurements.base import open_labels
from sfddm.evaluation.measurements.by_class import figures_by_class
from sfddm.evaluation.reference import reference_statistics, write_reference
from sfddm.evaluation.score import score
from sfddm.networks.denoiser import FrozenDenoiser
from sfddm.networks.model_folder import load_auxiliary, load_model
from sfddm.runtime.errors import SfddmError
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM as DDIMSampler
from sfddm.sampling.images import flops, sample_row
from sfddm.sampling.pairs import write_pairs
from sfddm.spec import stages
from sfddm.spec.experiment import TEACHER, Model, Spec
from sfddm.spec.stages import class_partition, student_training, teacher_training
from sfddm.training.pairs import PairsFeed
from sfddm.training.sections import StudentInputs
from sfddm.training.student import make_objective, train_student
from sfddm.training.teacher import train_teacher

CPU = torch.device("cpu")


def folder(root: Path, model: Model) -> Path:
    return root / model.row / model.fold


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Spec, Path]:
    """Train everything that the spec asks for, as the DAG does."""
    spec, root = make_spec(), tmp_path_factory.mktemp("plane")
    fetch(spec.data, root / "data")
    train_teacher(teacher_training(spec, 0), root / "data", folder(root, TEACHER), state=root / "state", device=CPU)
    write_pairs(stages.pair_sampling(spec, 0), folder(root, TEACHER), root / "pairs", device=CPU)
    write_partition(class_partition(spec, "msd"), root / "data", root / "msd.json")
    for row in spec.methods:
        for name in spec.trainings(row):
            inputs = inputs_of(spec, root, row, name)
            stage = student_training(spec, row, name, 0)
            train_student(stage, inputs, root / row / name, state=root / "state", device=CPU)
    return spec, root


def inputs_of(spec: Spec, root: Path, row: str, name: str) -> StudentInputs:
    training = spec.training(row, name)
    return StudentInputs(
        data=root / "data",
        teacher=folder(root, spec.teacher_of(row, name)),
        start=root / row / training.start if training.start else None,
        pairs=root / "pairs" if training.pairs else None,
        partition=root / "msd.json" if training.share else None,
    )


def card_of(root: Path, row: str, fold: str) -> dict[str, Any]:
    card: dict[str, Any] = json.loads((root / row / fold / "card.json").read_text())
    return card


def test_pairs_are_the_teachers_images_from_noise_that_no_score_is_measured_on(trained: tuple[Spec, Path]) -> None:
    spec, root = trained
    feed = PairsFeed(root / "pairs", 16, 0, CPU)
    pairs = feed.batch(1)
    teacher, _ = load_model(folder(root, TEACHER))
    assert pairs.labels is not None
    with torch.no_grad():
        given = teacher.eval().given(pairs.labels)
        again = sample(
            given, make_index_set("linspace", 64, 4), DDIMSampler(0.0, True), pairs.noise, lambda k: pairs.noise
        )
    assert torch.allclose(again, pairs.images, atol=1e-3), "float16 on disk"
    from sfddm.diffusion.randomness import initial_noise

    judged = initial_noise(spec.evaluation.seed, 0, 48, (2, 1, 1))
    assert not any(np.allclose(one, other) for one in pairs.noise.numpy() for other in judged)


def test_pairs_can_be_kept_to_some_classes(trained: tuple[Spec, Path]) -> None:
    feed = PairsFeed(trained[1] / "pairs", 12, 0, CPU)
    feed.keep((1, 3))
    labels = feed.batch(0).labels
    assert labels is not None
    assert set(labels.tolist()) == {1, 3}
    with pytest.raises(SfddmError, match="none belongs to the classes"):
        feed.keep((99,))


def test_each_student_learns_its_classes_and_its_range_and_from_whom_it_should(trained: tuple[Spec, Path]) -> None:
    spec, root = trained
    assert [card_of(root, "msd", f"1.adm-{i}")["classes"] for i in (0, 1)] == [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert card_of(root, "one-to-many", "8.range-0")["index_set"] == [7, 15, 23, 31]
    assert spec.teacher_of("one-to-many", "8.range-0") == Model("trajectory", "8")
    assert spec.teacher_of("msd", "1.dm-0") == TEACHER
    assert spec.sampled_models("msd", 1) == [Model("msd", "1.adm-0"), Model("msd", "1.adm-1")]
    assert spec.sampled_models("ancestral", 8) == [Model("trajectory", "8")], "another sampler, the same student"


def test_a_stage_goes_on_with_the_fake_scores_of_the_one_before(trained: tuple[Spec, Path]) -> None:
    spec, root = trained
    teacher, _ = load_model(folder(root, TEACHER))
    stage, before = student_training(spec, "msd", "1.adm-0", 0), root / "msd" / "1.dm-0"
    fresh, loaded = (
        dict(make_objective(stage, teacher, FrozenDenoiser(teacher), start).auxiliary.state_dict())
        for start in (None, before)
    )
    assert not torch.equal(loaded["fake.network.enter.weight"], fresh["fake.network.enter.weight"])
    assert torch.equal(loaded["critic.out.weight"], fresh["critic.out.weight"]), "DM has no critic"
    kept = torch.nn.ModuleDict({"fake": load_model(folder(root, TEACHER))[0]})
    load_auxiliary(before, kept)
    assert torch.equal(loaded["fake.network.enter.weight"], kept.state_dict()["fake.network.enter.weight"])


def test_together_they_make_every_class_and_are_scored_class_by_class(
    trained: tuple[Spec, Path], tmp_path: Path
) -> None:
    spec, root = trained
    models = [folder(root, model) for model in spec.sampled_models("msd", 1)]
    sample_row(stages.row_sampling(spec, "msd", 1), models, tmp_path / "samples.npy", device=CPU)
    images, labels = np.load(tmp_path / "samples.npy"), np.load(tmp_path / "labels.npy")
    assert labels.dtype == np.int64
    assert labels.tolist() == [k % 8 for k in range(320)]
    for i, classes in enumerate([[0, 2, 4, 6], [1, 3, 5, 7]]):
        alone = tmp_path / f"alone-{i}" / "samples.npy"
        sample_row(stages.row_sampling(spec, "msd", 1), [models[i]], alone, device=CPU)
        mine = np.isin(labels, classes)
        assert np.abs(images[mine].astype(int) - np.load(alone)[mine]).max() <= 1, "a smaller batch may round otherwise"
    cost = json.loads((tmp_path / "samples.json").read_text())
    assert cost["parameters"] == 2 * cost["active_parameters"]
    write_reference(stages.scoring(spec), root / "data", tmp_path / "reference")
    score(stages.scoring(spec), tmp_path / "samples.npy", tmp_path / "reference", tmp_path / "score.json")
    by_class = json.loads((tmp_path / "score.json").read_text())["by_class"]
    assert [row["class"] for row in by_class] == list(range(8))
    assert all(row["images"] == 40 and row["low"] <= row["kid"] <= row["high"] for row in by_class)
    order = np.random.default_rng(0).permutation(320)
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "samples.npy", images[order])
    np.save(tmp_path / "other" / "labels.npy", labels[order])
    score(stages.scoring(spec), tmp_path / "other" / "samples.npy", tmp_path / "reference", tmp_path / "again.json")
    again = json.loads((tmp_path / "again.json").read_text())["by_class"]
    assert [row["hits"] for row in again] == pytest.approx([row["hits"] for row in by_class]), "labels are read"
    assert [row["kid"] for row in again] == pytest.approx([row["kid"] for row in by_class])


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (None, "no such file; `sfddm sample` writes it"),
        (np.zeros(319, np.int64), r"holds int64 \(319,\), labels must be int64 \(320,\) or more"),
        (np.zeros((320, 1), np.int64), r"holds int64 \(320, 1\)"),
        (np.zeros(320, np.uint8), "holds uint8"),
        (np.full(320, -1), "holds -1 to -1, labels must be 0 to 7"),
        (np.arange(320) % 9, "holds 0 to 8, labels must be 0 to 7"),
    ],
)
def test_labels_that_do_not_fit_the_samples_are_refused(tmp_path: Path, labels: Any, sentence: str) -> None:
    path = tmp_path / "labels.npy"
    if labels is not None:
        np.save(path, labels)
    with pytest.raises(SfddmError, match=rf"labels\.npy: {sentence}"):
        open_labels(path, 320, 8)


def test_guidance_changes_what_is_sampled(trained: tuple[Spec, Path], tmp_path: Path) -> None:
    spec, root = trained
    plain = make_spec(methods={"teacher": {"reference_steps": 8}, "ddim": {}})
    evaluations = []
    for one, name in ((spec, "guided.npy"), (plain, "plain.npy")):
        sample_row(stages.row_sampling(one, "ddim", 4), [folder(root, TEACHER)], tmp_path / name, device=CPU)
        evaluations.append(json.loads((tmp_path / "samples.json").read_text())["nfe"])
    assert evaluations == [8, 4], "guidance asks the network twice a step"
    assert not np.array_equal(np.load(tmp_path / "guided.npy"), np.load(tmp_path / "plain.npy"))


def test_a_stage_trained_again_has_the_same_weights(trained: tuple[Spec, Path], tmp_path: Path) -> None:
    spec, root = trained
    again = tmp_path / "again"
    stage, inputs = student_training(spec, "msd", "1.adm-0", 0), inputs_of(spec, root, "msd", "1.adm-0")
    train_student(stage, inputs, again, state=tmp_path / "state", device=CPU)
    assert_same_weights(*(dict(load_model(f)[0].network.state_dict()) for f in (again, root / "msd" / "1.adm-0")))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"start": None}, r"starts from fold 1\.dm-0; give --start"),
        ({"pairs": None}, r"compares with the teacher's images; give --pairs"),
        ({"partition": None}, r"msd 1\.adm-0: shares the classes; give --partition"),
        ({"partition": "pairs/pairs.json"}, r"pairs\.json: not a partition written by `sfddm partition`"),
        ({"start": "msd/1.dm-1"}, r"holds msd 1\.dm-1, but msd 1\.adm-0 needs msd 1\.dm-0"),
        ({"teacher": "trajectory/8"}, r"holds trajectory 8, but msd 1\.adm-0 needs teacher teacher"),
    ],
)
def test_a_missing_or_wrong_input_is_refused(
    trained: tuple[Spec, Path], tmp_path: Path, arguments: dict[str, Any], reason: str
) -> None:
    spec, root = trained
    changes: dict[str, Any] = {name: None if place is None else root / place for name, place in arguments.items()}
    inputs = replace(inputs_of(spec, root, "msd", "1.adm-0"), **changes)
    with pytest.raises(SfddmError, match=reason):
        train_student(student_training(spec, "msd", "1.adm-0", 0), inputs, tmp_path / "m", state=None, device=CPU)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "place", "reason"),
    [
        ("pairs", "pairs", "trajectory 8: does not compare with the teacher's images; leave out --pairs"),
        ("partition", "msd.json", "trajectory 8: shares no classes; leave out --partition"),
    ],
)
def test_an_input_that_is_not_asked_for_is_refused(
    trained: tuple[Spec, Path], tmp_path: Path, name: str, place: str, reason: str
) -> None:
    spec, root = trained
    inputs = replace(inputs_of(spec, root, "trajectory", "8"), **{name: root / place})  # type: ignore[arg-type]
    with pytest.raises(SfddmError, match=reason):
        train_student(student_training(spec, "trajectory", "8", 0), inputs, tmp_path / "m", state=None, device=CPU)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("methods", "reason"),
    [
        ({"ddim": {"student_of": "nobody"}}, "student_of: there is no other row 'nobody'"),
        ({"ddim": {"student_of": "trajectory"}, "trajectory": {"steps": [2]}}, "trajectory has no student of 8 steps"),
        ({"ddim": {"student_of": "one-to-many"}, "one-to-many": {}}, "one-to-many at 8 steps is several students"),
        (
            {"ddim": {"student_of": "trajectory"}, "trajectory": {"index_set": "quadratic"}},
            "the student of trajectory is no model at all of this row's 8 steps",
        ),
        ({"multi-student": {"students": 2, "steps": [2]}}, "a student makes an image in 1 step, not in 2"),
    ],
)
def test_a_spec_that_asks_for_a_student_that_there_is_not_is_refused(methods: dict[str, Any], reason: str) -> None:
    with pytest.raises(SfddmError, match=reason):
        make_spec(methods={"teacher": {"reference_steps": 8}, **methods})


def test_pairs_and_classes_that_are_missing_are_asked_for() -> None:
    with pytest.raises(SfddmError, match="it compares with the teacher's images; give pairs"):
        make_spec(pairs=None)
    network = {"kind": "mlp", "width": 16, "depth": 1, "prediction": "v"}
    with pytest.raises(SfddmError, match=r"guidance_scale: the network knows no classes; give network\.classes"):
        make_spec(network=network)


# --- class by class -----------------------------------------------------------------------------------------------


def test_the_kid_of_a_class_is_that_of_its_images_alone() -> None:
    spec = make_spec()
    labels = np.random.default_rng(1).permutation(np.arange(320) % 8)
    x, y = np.random.default_rng(0).standard_normal((2, 320, 5)).astype(np.float32)
    found = figures_by_class(
        x + labels[:, None], labels, reference_statistics(y, 3, labels=labels), stages.scoring(spec)
    )

    def kernel(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a.astype(np.float64) @ b.astype(np.float64).T / 5 + 1) ** 3

    for row in found:
        mine, real = (x + labels[:, None])[labels == row.class_], y[labels == row.class_]
        within = [(k.sum() - np.trace(k)) / (40 * 39) for k in (kernel(mine, mine), kernel(real, real))]
        assert row.kid == pytest.approx(sum(within) - 2 * kernel(mine, real).mean(), rel=1e-9)


def test_classes_that_were_swapped_are_found_out() -> None:
    spec = make_spec()
    labels = np.random.default_rng(1).permutation(np.arange(320) % 8)
    centres = 8.0 * np.eye(8)
    noise = np.random.default_rng(0).standard_normal((2, 320, 8))
    reference = reference_statistics((centres[labels] + noise[0]).astype(np.float32), 3, labels=labels)
    made = (centres[labels] + noise[1]).astype(np.float32)
    right = figures_by_class(made, labels, reference, stages.scoring(spec))
    wrong = figures_by_class(made, (labels + 1) % 8, reference, stages.scoring(spec))
    assert all(row.hits > 0.95 for row in right)
    assert all(row.hits < 0.05 for row in wrong)
    assert max(row.kid for row in right) < min(row.kid for row in wrong)


def test_operations_are_counted_by_hand_for_a_perceptron(trained: tuple[Spec, Path]) -> None:
    """Multiplications and additions of every linear map of the network, from the sizes of its weights."""
    teacher, _ = load_model(folder(trained[1], TEACHER))
    maps = [module.weight.numel() for module in teacher.network.modules() if isinstance(module, torch.nn.Linear)]
    assert flops(teacher, (2, 1, 1), CPU) == 2 * sum(maps)
