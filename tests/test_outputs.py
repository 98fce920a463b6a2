"""No verb of the command line removes or changes what it did not write, and no output touches an input."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_data import pictures, png
from typer.testing import CliRunner

from sfddm.atomic import atomic_file, atomic_folder, write_json
from sfddm.cli import app
from sfddm.errors import SfddmError

POINTS = """
name: points
title: Points
data: {source: gaussians-2d, label: Points, images: 16}
schedule: {kind: cosine, timesteps: 8}
network: {kind: mlp, width: 4, depth: 1, prediction: v}
teacher: {training: {images: 8, batch_size: 4, checkpoint_seconds: 1.0e-9}}
students: {images: 8, batch_size: 4, checkpoint_seconds: 1.0e-9}
pairs: {count: 4, steps: 2}
methods: {teacher: {reference_steps: 4}, sfddm: {}}
steps: [2]
evaluation: {extractor: points, samples: 8, batch_size: 8, blocks: 2, agreement: [sfddm]}
"""
PICTURES = """
name: pictures
title: Pictures of my own
data: {source: imagefolder, label: mine, image_size: 2, channels: 1, folders: {train: pictures/train}}
schedule: {kind: cosine, timesteps: 8}
network: {channels: 8, channel_multipliers: [1], blocks_per_level: 1}
teacher: {training: {images: 8}}
students: {images: 8}
methods: {ddim: {}}
steps: [2]
evaluation: {samples: 8}
"""
MODEL, STUDENT = "run/seed-0/teacher/model", "run/seed-0/sfddm/fold-2"
FIRST, SECOND = "run/seed-0/teacher/steps-4", "run/seed-0/sfddm/steps-2"
#: For each verb its arguments and what it reads, every path below the working folder.
VERBS: dict[str, tuple[str, list[str]]] = {
    "fetch": ("fetch pictures.yaml", ["pictures.yaml", "pictures/train"]),
    "train": ("train points.yaml --data run/data", ["points.yaml", "run/data/train"]),
    "pairs": (f"pairs points.yaml --model {MODEL}", ["points.yaml", MODEL]),
    "distill": (
        f"distill points.yaml --method sfddm --fold 2 --teacher {MODEL} --data run/data",
        ["points.yaml", MODEL, "run/data/train"],
    ),
    "sample": (f"sample points.yaml --method sfddm --steps 2 --model {STUDENT}", ["points.yaml", STUDENT]),
    "reference": ("reference points.yaml --data run/data", ["points.yaml", "run/data/train"]),
    "evaluate": (
        f"evaluate points.yaml --samples {SECOND}/samples.npy --reference run/reference",
        ["points.yaml", f"{SECOND}/samples.npy", "run/reference"],
    ),
    "agree": (
        f"agree points.yaml --samples {SECOND}/samples.npy --teacher-samples {FIRST}/samples.npy",
        ["points.yaml", f"{SECOND}/samples.npy", f"{FIRST}/samples.npy"],
    ),
    "audit": (
        f"audit points.yaml --samples {SECOND}/samples.npy --reference run/reference --data run/data",
        ["points.yaml", f"{SECOND}/samples.npy", "run/reference", "run/data/train"],
    ),
    "interpolate": (
        f"interpolate points.yaml --method sfddm --steps 2 --model {STUDENT} --teacher {MODEL}"
        " --reference run/reference",
        ["points.yaml", MODEL, STUDENT, "run/reference"],
    ),
    "collect": ("collect points.yaml --runs run", ["points.yaml", "run/data", "run/seed-0", "run/reference"]),
    "report": ("report run/collected", ["run/collected"]),
    "record": ("record run/collected --command x", ["run/collected"]),
}
Snapshot = dict[str, tuple[str, Any]]


def invoke(arguments: str, *further: str) -> Result:
    return CliRunner().invoke(app, [*arguments.split(), *further])


def refused(arguments: str, *words: str) -> str:
    """The verb fails with one sentence that has all ``words``."""
    result = invoke(arguments)
    assert isinstance(result.exception, SfddmError), result.exception or result.output
    sentence = str(result.exception)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence
    return sentence


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    """What takes long, or is for images only, is replaced; the file is written as ever."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sfddm.report.render.render_html", lambda content: "<html>")
        patch.setattr("sfddm.evaluation.audit.audit", lambda *given, **options: write_json(given[4], {"rows": []}))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with specs, pictures and everything that the verbs make of them, each in its usual place."""
    folder = tmp_path_factory.mktemp("finished") / "work"
    (folder / "pictures" / "train" / "cats").mkdir(parents=True)
    for number in range(4):
        picture = png(pictures(2, 2, seed=number))
        (folder / "pictures" / "train" / "cats" / f"{number}.png").write_bytes(picture)
    (folder / "points.yaml").write_text(POINTS)
    (folder / "pictures.yaml").write_text(PICTURES)
    (folder / "notes.txt").write_text("notes")
    teacher = f"sample points.yaml --method teacher --steps 4 --model {MODEL} --out {FIRST}/samples.npy"
    first_score = f"evaluate points.yaml --samples {FIRST}/samples.npy --reference run/reference"
    usual = {
        "fetch points.yaml": "run/data", VERBS["train"][0]: MODEL, VERBS["distill"][0]: STUDENT, teacher: FIRST,
        VERBS["sample"][0]: f"{SECOND}/samples.npy", VERBS["reference"][0]: "run/reference",
        first_score: f"{FIRST}/score.json", VERBS["evaluate"][0]: f"{SECOND}/score.json",
        VERBS["agree"][0]: f"{SECOND}/agreement.json", VERBS["collect"][0]: "run/collected",
    }  # fmt: skip
    usual[teacher] = f"{FIRST}/samples.npy"
    with chdir(folder):
        for arguments, out in usual.items():
            result = invoke(arguments, "--out", out)
            assert result.exit_code == 0, (arguments, result.exception)
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(finished, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def snapshot(root: Path) -> Snapshot:
    """Every path below ``root``: what it is, and its content or where the link points."""
    found: Snapshot = {}
    for place, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink():
                entry = ("link", os.readlink(path))
            else:
                entry = ("folder", None) if path.is_dir() else ("file", path.read_bytes())
            found[str(path.relative_to(root))] = entry
    return found


# The property

#: Where somebody keeps things of their own, and what they call them: often by the names that verbs use.
PLACES = [".", "mine", "mine/x", "run/collected", MODEL, SECOND, "pictures/train", "reports", "../beside"]
NAMES = ["x", "mine", "train", "new", "link", "table.html", "samples.json", "card.json", ".sfddm-outputs"]
TARGETS = ["../beside", "mine", "run/collected", "run/data", "pictures/train", "notes.txt", "nowhere"]
OUTS = [
    ".", "..", "x", "mine", "mine/x", "mine/new", "mine/x/table.html", "mine/x/../link", "link", "link/x", "new/new",
    "notes.txt", "notes.txt/x", "run", "run/data", "run/data/train", "run/data/train/new", MODEL, STUDENT,
    "run/collected", "run/reference", "run/seed-0", f"{SECOND}/samples.npy", f"{SECOND}/score.json", "pictures",
    "pictures/train", "pictures/train/cats", "pictures/new", "reports", "../beside", "../beside/x", "../work",
    "../work/run/..", "table.html", "points.yaml", ".sfddm-outputs",
]  # fmt: skip
edits = st.tuples(
    st.sampled_from(PLACES),
    st.sampled_from(NAMES),
    st.sampled_from(["file", "folder", "link"]),
    st.sampled_from(TARGETS),
)
outs = st.sampled_from(OUTS)
rounds = st.lists(st.tuples(st.lists(edits, max_size=5), st.sampled_from(sorted(VERBS)), outs, outs), max_size=2)


def edit(work: Path, place: str, name: str, kind: str, target: str) -> None:
    """Somebody makes a file, folder or link, or writes into a file that is there."""
    path = work / place / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError:  # a file or a dangling link is in the way
        return
    if kind == "file" and (path.is_file() or not os.path.lexists(path)):
        path.write_text("a thesis")
    elif kind == "folder" and not os.path.lexists(path):
        path.mkdir()
    # Links among the pictures could lead around in circles.
    elif kind == "link" and not os.path.lexists(path) and "pictures" not in path.resolve().parts:
        path.symlink_to(work / target)


@pytest.mark.parametrize("verb", VERBS)
@settings(max_examples=settings.default.max_examples // 8)  # for each verb
@given(st.lists(edits, max_size=5), outs, outs, rounds)
def test_no_verb_removes_or_changes_what_no_verb_wrote(
    verb: str, finished: Path, edited: Any, out: str, state: str, further: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder).resolve()
        work = root / "work"
        shutil.copytree(finished, work, symlinks=True)
        (root / "beside").mkdir()
        users = {"notes.txt", "points.yaml", "pictures.yaml"}
        written = {
            path: entry
            for path, entry in snapshot(root).items()
            if Path(path).name not in users and path.split("/")[0] == "work" and path.split("/")[1:2] != ["pictures"]
        }
        for changes, name, target, checkpoints in [(edited, verb, out, state), *further]:
            for change in changes:
                edit(work, *change)
            before = snapshot(root)
            # What somebody changed is no verb's any more.
            written = {path: entry for path, entry in written.items() if before.get(path) == entry}
            arguments, inputs = VERBS[name]
            read = [os.path.realpath(work / source) for source in inputs]
            with chdir(work):
                places = ["--out", target, *(["--state", checkpoints] if name in ("train", "distill") else [])]
                result = invoke(arguments, *places)
            after = snapshot(root)
            told = (name, places, result.exception)
            assert result.exception is None or isinstance(result.exception, SfddmError), told
            if result.exception is not None:
                assert after == before, told
            for path, entry in before.items():
                kept = path not in written or any(Path(os.path.realpath(root / path)).is_relative_to(r) for r in read)
                assert not kept or after.get(path) == entry, (path, told)
            for path in set(after) - set(before):
                assert not any(Path(os.path.realpath(root / path)).is_relative_to(source) for source in read), (
                    path,
                    told,
                )
                assert Path(path).name == ".sfddm-outputs" or not Path(path).name.startswith("."), (path, told)
            written |= {path: entry for path, entry in after.items() if before.get(path) != entry}


# What it is about


def test_training_into_a_folder_with_a_thesis_leaves_the_thesis(work: Path) -> None:
    (work / "mine").mkdir()
    (work / "mine" / "thesis.txt").write_text("x")
    before = snapshot(work)
    refused("train points.yaml --data run/data --out mine", "mine/thesis.txt", "choose another --out", "remove it")
    for itself in (".", "..", "run/.."):
        refused(f"train points.yaml --data run/data --out {itself}", f"{itself}: ")
    refused("record run/collected --command x --out pictures", "pictures/train/cats/0.png")
    for verb in ("sample", "evaluate", "agree", "audit"):
        refused(f"{VERBS[verb][0]} --out notes.txt", "notes.txt", "choose another --out")
    assert snapshot(work) == before


def test_a_report_beside_another_table_writes_none_of_its_files(work: Path) -> None:
    (work / "mine").mkdir()
    (work / "mine" / "table.tex").write_text("my table")
    before = snapshot(work)
    refused("report run/collected --out mine", "mine/table.tex")
    assert snapshot(work) == before


def test_pictures_are_not_replaced_by_the_store_made_of_them(work: Path) -> None:
    before = snapshot(work)
    for out in ("pictures", "pictures/train", "pictures/train/cats", "link"):
        if out == "link":
            (work / "link").symlink_to("pictures")
            before = snapshot(work)
        refused(f"fetch pictures.yaml --out {out}", "pictures/train", "must stay as it is")
    assert snapshot(work) == before


@pytest.mark.parametrize(
    "source",
    [
        "source: idx, folders: [~/nowhere, sources/train]",
        "source: parquet, files: {train: [sources/train/some.parquet]}",
        "source: cifar10, archive: sources/train/cifar-10-binary.tar.gz",
        "source: lsun-lmdb, folders: {train: sources/train/lmdb}",
    ],
)
def test_every_local_source_is_an_input(work: Path, source: str) -> None:
    shape = "label: mine, image_size: 8, channels: 1"
    lines = [f"data: {{{source}, {shape}}}" if line.startswith("data:") else line for line in PICTURES.splitlines()]
    (work / "mine.yaml").write_text("\n".join(lines))
    refused("fetch mine.yaml --out sources", "sources/train: ", "must stay as it is")


def test_a_run_is_collected_and_reported_where_it_lies_but_not_over_what_is_read(work: Path) -> None:
    assert invoke("collect points.yaml --runs run --out run/collected").exit_code == 0
    assert invoke("report run/collected --out run").exit_code == 0
    refused("report run/collected --out run/collected", "run/collected/table.html: lies in run/collected")
    refused("collect points.yaml --runs run --out run/seed-0", "lies in run/seed-0")
    refused(f"pairs points.yaml --model {MODEL} --out {MODEL}", f"lies in {MODEL}")
    refused(f"pairs points.yaml --model {MODEL} --out run/seed-0", f"contains {MODEL}")
    refused("train points.yaml --data run/data --out new --state new", "new: lies in new")
    refused("train points.yaml --data run/data --out new --state run/data/train", "run/data/train: lies in")


def test_an_own_output_is_replaced_until_somebody_changes_it(work: Path) -> None:
    command = f"{VERBS['train'][0]} --seed 1 --out {MODEL}"
    assert invoke(command).exit_code == 0
    assert invoke(command).exit_code == 0
    card = work / MODEL / "card.json"
    own = card.read_text()
    card.write_text(own + " ")
    refused(command, f"{MODEL}/card.json: not a file that sfddm wrote, or changed since")
    card.write_text(own)
    (work / MODEL / "network" / "empty").mkdir()
    refused(command, f"{MODEL}/network/empty")
    (work / MODEL / "network" / "empty").rmdir()
    card.rename(work / "elsewhere.json")
    card.symlink_to(work / "elsewhere.json")
    refused(command, f"{MODEL}/card.json")
    card.unlink()
    assert invoke(command).exit_code == 0, "a part of it is its own as well"


def test_an_own_file_is_replaced_until_somebody_changes_it(work: Path) -> None:
    command, out = f"{VERBS['evaluate'][0]} --out mine/score.json", work / "mine" / "score.json"
    for _ in range(2):
        assert invoke(command).exit_code == 0
    own = out.read_bytes()
    out.write_bytes(own + b" ")
    refused(command, "mine/score.json: not a file that sfddm wrote, or changed since")
    out.unlink()
    for elsewhere in ("copy.json", "nowhere"):
        (work / "copy.json").write_bytes(own)
        out.symlink_to(work / elsewhere)
        refused(command, "mine/score.json")
        out.unlink()
    assert invoke(command).exit_code == 0


def test_a_checkpoint_that_is_a_link_stays_one(work: Path) -> None:
    (work / "new").mkdir()
    command = f"{VERBS['train'][0]} --out new/model --state new/state"
    assert invoke(command).exit_code == 0
    (folder,) = (work / "new" / "state").iterdir()
    (folder / "checkpoint.safetensors").symlink_to(work / "nowhere")
    refused(command, "checkpoint.safetensors: is a link")
    (work / "dangling").symlink_to(work / "nowhere")
    refused(command.replace("new/state", "dangling"), "dangling is not a folder")
    assert (folder / "checkpoint.safetensors").is_symlink()


# The list of outputs


def test_the_list_is_read_by_sha256sum(work: Path) -> None:
    lists = list((work / "run").rglob(".sfddm-outputs"))
    assert len(lists) > 5
    for found in lists:
        done = subprocess.run(["sha256sum", "--check", "--quiet", found.name], cwd=found.parent, check=False)
        assert done.returncode == 0, found
        assert found.stat().st_size < 1000


def test_the_list_grows_by_new_contents_only(tmp_path: Path) -> None:
    for content in ("a", "b", "a", "b", "a"):
        write_json(tmp_path / "file.json", content)
    assert len((tmp_path / ".sfddm-outputs").read_text().splitlines()) == 2


def test_something_else_of_the_lists_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("a thesis")
    for make in (
        lambda path: path.write_text("a thesis"),
        lambda path: path.symlink_to(tmp_path / "other"),
        lambda path: path.symlink_to(tmp_path / "nowhere"),
        lambda path: path.mkdir(),
    ):
        folder = Path(tempfile.mkdtemp(dir=tmp_path))
        make(folder / ".sfddm-outputs")
        before = snapshot(tmp_path)
        with pytest.raises(SfddmError, match=r"\.sfddm-outputs: not a file that sfddm wrote"):
            write_json(folder / "file.json", 1)
        assert snapshot(tmp_path) == before


def _write_some(folder: Path, number: int) -> None:
    for part in range(20):
        write_json(folder / f"{number}-{part}.json", part)


def test_jobs_side_by_side_lose_no_line(tmp_path: Path) -> None:
    workers = [get_context("fork").Process(target=_write_some, args=(tmp_path, number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len((tmp_path / ".sfddm-outputs").read_text().splitlines()) == 80
    _write_some(tmp_path, 3)


def test_a_kill_between_list_and_file_leaves_what_can_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_json(tmp_path / "file.json", "old")

    def killed(*given: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write_json(tmp_path / "file.json", "new")
    assert (tmp_path / "file.json").read_text() == '"old"\n'
    write_json(tmp_path / "file.json", "newer")


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(content: str) -> None:
        with atomic_folder(tmp_path / "folder") as temporary:
            (temporary / "file").write_text(content)

    write("old")
    before, replace, calls = snapshot(tmp_path), Path.replace, []

    def fails_the_second_time(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise OSError("no")
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", fails_the_second_time)
        with pytest.raises(OSError, match="no"):
            write("new")
    assert {path: entry for path, entry in snapshot(tmp_path).items() if entry[0] == "file"} == {
        path: entry for path, entry in before.items() if entry[0] == "file"
    }
    write("new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder"]


def test_the_root_of_the_file_system_is_no_output() -> None:
    from sfddm.outputs import check_folder

    with pytest.raises(SfddmError, match="/: is or contains the working folder"):
        check_folder(Path("/"))


def test_names_that_no_list_can_hold_are_written_once(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "a\nb") as temporary:
        np.save(temporary.open("wb"), np.zeros(1))
    with pytest.raises(SfddmError, match="not a file that sfddm wrote"), atomic_file(tmp_path / "a\nb"):
        pass
