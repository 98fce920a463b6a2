"""A training that a launcher splits over two processes gives what one process gives."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from support.several_students import make_spec

from sfddm.data.fetch import fetch
from sfddm.evaluation.class_partition import write_partition
from sfddm.networks.model_folder import load_auxiliary, load_model
from sfddm.sampling.pairs import write_pairs
from sfddm.spec import stages
from sfddm.spec.stages import class_partition, student_training, teacher_training
from sfddm.training.sections import StudentInputs
from sfddm.training.student import train_student
from sfddm.training.teacher import train_teacher

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


def test_two_processes_train_what_one_does(tmp_path: Path) -> None:
    """Two students' fake scores and pairs included: MSD's first stage has all that a step can have."""
    spec = make_spec()
    (tmp_path / "plane.yaml").write_text(yaml.safe_dump(spec.model_dump(mode="json", exclude_unset=True)))
    fetch(spec.data, tmp_path / "data")
    teacher, pairs = tmp_path / "teacher", tmp_path / "pairs"
    train_teacher(teacher_training(spec, 0), tmp_path / "data", teacher, state=tmp_path / "state", device=CPU)
    write_pairs(stages.pair_sampling(spec, 0), teacher, pairs, device=CPU)
    one, two = tmp_path / "one", tmp_path / "two"
    partition = tmp_path / "partition.json"
    write_partition(class_partition(spec, "msd"), tmp_path / "data", partition)
    inputs = StudentInputs(tmp_path / "data", teacher, pairs=pairs, partition=partition)
    train_student(student_training(spec, "msd", "1.dm-0", 0), inputs, one, state=tmp_path / "state", device=CPU)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    launcher += ["-m", "sfddm.cli"]
    options = {"--method": "msd", "--fold": "1.dm-0", "--seed": "0", "--teacher": teacher, "--pairs": pairs}
    options |= {"--partition": partition, "--data": tmp_path / "data", "--out": two, "--state": tmp_path / "state-two"}
    words = [str(word) for pair in options.items() for word in pair]
    environment = dict(os.environ) | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, "distill", str(tmp_path / "plane.yaml"), *words],
        env=environment, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    networks = []
    for folder in (one, two):
        student, card = load_model(folder)
        assert card["images_seen"] == 64
        companions = torch.nn.ModuleDict({"fake": load_model(teacher)[0]})
        load_auxiliary(folder, companions)
        networks.append(torch.nn.ModuleDict({"student": student.network, "companions": companions}).state_dict())
    start = load_model(teacher)[0].network.state_dict()
    for name, weights in networks[0].items():
        assert torch.allclose(weights, networks[1][name], atol=2e-6), name
    assert any(not torch.equal(value, networks[0][f"student.{name}"]) for name, value in start.items())
