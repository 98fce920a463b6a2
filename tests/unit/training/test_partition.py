"""The stage ``partition``: the file it writes, what reads it, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.several_students import make_spec

from sfddm.evaluation.class_partition import write_partition
from sfddm.evaluation.sections import ClassPartition
from sfddm.methods.base import Share
from sfddm.runtime.errors import SfddmError
from sfddm.spec.stages import class_partition, shared_classes, student_training
from sfddm.training.partition import read_partition


def stage(share: Share) -> ClassPartition:
    return ClassPartition(share, 8, make_spec().evaluation)


@pytest.mark.parametrize("partition", ["consecutive", "random", ((0, 2, 4, 6), (1, 3, 5, 7))])
def test_each_student_reads_its_own_classes_of_the_one_file(tmp_path: Path, partition: str) -> None:
    file = tmp_path / "partition.json"
    shares = [Share(i, 2, partition) for i in range(2)]
    write_partition(stage(shares[1]), tmp_path / "not looked at", file)
    parts = [read_partition(file, share) for share in shares]
    assert json.loads(file.read_text())["partition"] == [list(part) for part in parts]
    assert sorted(c for part in parts for c in part) == list(range(8))
    if not isinstance(partition, str):
        assert parts == list(partition)


def test_it_is_the_same_file_whichever_share_it_is_made_for(tmp_path: Path) -> None:
    for i in range(3):
        write_partition(stage(Share(i, 3, "random")), tmp_path, tmp_path / f"{i}.json")
    assert len({(tmp_path / f"{i}.json").read_bytes() for i in range(3)}) == 1


@pytest.mark.parametrize(
    "content",
    ['{"partition": [[0], [1], [2]]}', '{"partition": 3}', "{}", '{"partition": [["a"], ["b"]]}', "[1, 2]", "{"],
)
def test_a_file_that_is_no_partition_for_so_many_students_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "partition.json"
    file.write_text(content)
    with pytest.raises(
        SfddmError, match=r"partition\.json: not a (partition written by `sfddm partition`|JSON file)"
    ) as caught:
        read_partition(file, Share(0, 2))
    assert "\n" not in str(caught.value)


def test_a_row_whose_students_share_no_classes_has_no_partition() -> None:
    spec = make_spec()
    assert shared_classes(spec, "msd") == Share(0, 2, ((0, 2, 4, 6), (1, 3, 5, 7)))
    assert shared_classes(spec, "one-to-many") is None
    with pytest.raises(SfddmError, match="the students of one-to-many do not share the classes"):
        class_partition(spec, "one-to-many")


def test_a_students_training_depends_on_its_share() -> None:
    spec = make_spec()
    keys = [student_training(spec, "msd", f"1.dm-{i}", 0).key for i in range(2)]
    assert [key["training"]["share"]["part"] for key in keys] == [0, 1]
    json.dumps(keys)
