"""No verb of the command line removes or changes what it did not write, and no output touches an input."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from support.every_verb import MODEL, PICTURES, SECOND, STUDENT, VERBS, invoke, make_run, snapshot

from sfddm.evaluation.measurements.audit import ProtocolAudit
from sfddm.evaluation.measurements.interpolation import NoiseInterpolation
from sfddm.results.measurements import Audit, Interpolation
from sfddm.runtime.errors import SfddmError


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
        patch.setattr("sfddm.report.render._render_text", lambda content, template, escape: "a table")
        patch.setattr(ProtocolAudit, "measure", lambda self, inputs: (Audit((), ""), {}))
        patch.setattr(NoiseInterpolation, "measure", lambda self, inputs: (Interpolation((), {}), {}))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "work"
    make_run(folder)
    return folder


@pytest.fixture
def work(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(finished, tmp_path / "work", symlinks=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


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
# For each verb; without shrinking, for every example runs real stages.
@settings(phases=(Phase.explicit, Phase.generate), max_examples=settings.default.max_examples // 12)
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
                own = Path(path).name == ".sfddm-outputs" or path.endswith(".origin.json")
                assert own or not Path(path).name.startswith("."), (path, told)
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
    for verb in ("sample", "evaluate", "agreement", "audit"):
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
    refused("record run/collected --command x --out run/collected", "lies in run/collected")
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


def test_a_link_is_no_output_and_an_input_behind_one_is_an_input(work: Path) -> None:
    (work / "link").symlink_to(work / MODEL)
    refused("record run/collected --command x --out link", "link: not a folder that sfddm wrote")
    refused(f"{VERBS['train'][0]} --out link", "link: not a folder that sfddm wrote")
    refused(f"pairs points.yaml --model link --out {MODEL}", f"{MODEL}: lies in link")
    refused(f"pairs points.yaml --model {MODEL} --out link/new", f"link/new: lies in {MODEL}")
    refused(f"{VERBS['evaluate'][0]} --out .sfddm-outputs", ".sfddm-outputs: not a file that sfddm wrote")
    refused(f"{VERBS['train'][0]} --out new/.sfddm-outputs", ".sfddm-outputs: not a folder that sfddm wrote")


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


def test_the_list_is_read_by_sha256sum(work: Path) -> None:
    lists = list((work / "run").rglob(".sfddm-outputs"))
    assert len(lists) > 5
    for found in lists:
        done = subprocess.run(["sha256sum", "--check", "--quiet", found.name], cwd=found.parent, check=False)
        assert done.returncode == 0, found
        assert found.stat().st_size < 1000
