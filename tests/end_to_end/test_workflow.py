"""The DAG, tried with a stand-in for the command line that writes what each verb declares."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator
from support.checkout import ROOT, ProjectCopy

from sfddm.runtime.machine import available_cores

pytestmark = pytest.mark.slow

STAND_IN = """#!/usr/bin/env bash
set -eu
echo "$*" >> calls.log
echo "${SFDDM_FORK_SERVER:-none}" > server.log
verb=$1; given=("$@")
while [ $# -gt 0 ]; do if [ "$1" = --out ]; then out=$2; elif [ "$1" = --state ]; then state=$2; fi; shift; done
case $verb in
  fetch) mkdir -p "$out/train"; echo images > "$out/train/images.npy" ;;
  train)
    # The first training is interrupted after its checkpoint; the retry must find it.
    if [ ! -e "$state" ]; then mkdir -p "$state"; echo "interrupted" >&2; exit 1; fi
    mkdir -p "$out"; echo weights > "$out/card.json" ;;
  distill) mkdir -p "$out"; echo weights > "$out/card.json" ;;
  pairs) mkdir -p "$out"; echo pairs > "$out/pairs.json" ;;
  partition) echo parts > "$out" ;;
  reference) mkdir -p "$out"; echo features > "$out/features.npz"; echo floor > "$out/score.json" ;;
  sample)
    echo images > "$out"; echo labels > "${out%samples.npy}labels.npy"
    echo "OMP_NUM_THREADS=$OMP_NUM_THREADS spin $GOMP_SPINCOUNT" > "${out%.npy}.json" ;;
  evaluate) echo score > "$out" ;;
  further-seed) . ./open.sh; echo '{"experiment": "smoke", '"$decided}" > "$out" ;;
  measure) echo figures > "$out"; echo arrays > "${out%.json}.npz" ;;
  collect) mkdir -p "$out"; cat "${given[1]}" > "$out/metrics.json"; echo images > "$out/samples.npz" ;;
  properties) echo outcomes > "$out" ;;
  report) for name in blind.html metrics.json table.html table.md table.tex; do
    echo "${given[*]}" > "$out/$name"; done ;;
esac
"""
SPEC = """
name: smoke
title: Smoke test
data: {source: sklearn-digits, label: Digits 8x8, image_size: 8, channels: 1}
schedule: {kind: cosine, timesteps: 64}
network: {channels: 16, channel_multipliers: [1, 2]}
teacher: {training: {images: 6400}}
students: {images: 1280}
methods: {teacher: {reference_steps: 16}, ddim: {}, progressive: {start: 8}, sfddm: {}}
steps: [4, 2]
evaluation: {samples: 128}
"""


class Checkout(ProjectCopy):
    """A copy of the project with one small experiment and the stand-in first on PATH."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        (folder / "params.yaml").write_text("experiments:\n  - smoke\n")
        self.spec = folder / "params" / "smoke.yaml"
        self.spec.write_text(SPEC)
        command = folder / "bin" / "sfddm"
        command.parent.mkdir()
        command.write_text(STAND_IN)
        command.chmod(0o755)

    def calls(self) -> list[list[str]]:
        """Return the stand-in's calls since the last time this was asked."""
        log = self.folder / "calls.log"
        calls = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return calls


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Checkout, list[list[str]]]:
    checkout = Checkout(tmp_path_factory.mktemp("checkout"))
    done = checkout.run("snakemake", "--cores", "8", "reports/table.html")
    assert done.returncode == 0, done.stderr
    return checkout, checkout.calls()


@pytest.fixture
def finished(first_run: tuple[Checkout, list[list[str]]], tmp_path: Path) -> Iterator[Checkout]:
    """The finished checkout; what a test edits is put back."""
    checkout = first_run[0]
    kept = [checkout.folder / name for name in ("params", "sfddm", "params.yaml")]
    for path in kept:
        (shutil.copytree if path.is_dir() else shutil.copy2)(path, tmp_path / path.name)
    yield checkout
    for path in kept:
        saved = tmp_path / path.name
        if saved.is_dir():
            shutil.rmtree(path)
            shutil.copytree(saved, path)
        else:
            shutil.copy2(saved, path)


def option(call: list[str], name: str) -> str:
    return call[call.index(f"--{name}") + 1]


def test_every_fold_and_every_row_is_a_job_and_an_interrupted_training_is_resumed(
    first_run: tuple[Checkout, list[list[str]]],
) -> None:
    checkout, calls = first_run
    # progressive: folds 4 and 2 from a teacher at 8; sfddm: one fold for each step count; the teacher's own row.
    expected = {"fetch": 1, "train": 2, "reference": 1, "distill": 4, "sample": 7, "evaluate": 7}
    assert Counter(call[0] for call in calls) == expected | {"collect": 1, "properties": 1, "report": 1}
    (report,) = (call for call in calls if call[0] == "report")
    assert option(report, "properties") == "reports/properties.json"
    training = [call for call in calls if call[0] == "train"]
    assert option(training[0], "state") == option(training[1], "state")
    teachers = {option(call, "out"): option(call, "teacher") for call in calls if call[0] == "distill"}
    place = "reports/runs/smoke/seed-0"
    assert teachers[f"{place}/progressive/fold-2"] == f"{place}/progressive/fold-4"
    assert teachers[f"{place}/sfddm/fold-2"] == f"{place}/teacher/model"
    models = {option(call, "out"): option(call, "model") for call in calls if call[0] == "sample"}
    assert models[f"{place}/ddim/steps-2/samples.npy"] == f"{place}/teacher/model"
    assert models[f"{place}/progressive/steps-2/samples.npy"] == f"{place}/progressive/fold-2"
    threads = (checkout.folder / place / "ddim/steps-2/samples.json").read_text()
    assert threads == "OMP_NUM_THREADS=1 spin 1000\n"


def test_a_comment_another_source_and_a_style_concern_no_figure(finished: Checkout) -> None:
    finished.edit("sfddm/training/loop.py", "from __future__", "# A comment.\nfrom __future__")
    (finished.folder / "sfddm/report/templates/new.css").write_text("body { margin: 0 }")
    # The tests behind the claims on the code may read any line of it: they run again.
    assert finished.planned() == {"properties": 1, "report": 1}
    with (finished.folder / "sfddm/data/sources/idx.py").open("a") as file:
        file.write("OTHER_SOURCE = 1\n")
    assert finished.planned() == {"properties": 1, "report": 1}


def test_the_tests_of_claims_run_again_where_they_or_the_code_changed(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    assert checkout.run("snakemake", "--cores", "8", "reports/table.html").returncode == 0
    assert checkout.planned() == {}
    again, kept = {"properties": 1, "report": 1}, {}
    for name, text in (("unit/report/test_page.py", kept), ("unit/methods/test_sfddm.py", again),
                       ("support/trainings.py", again), ("conftest.py", again)):  # fmt: skip
        file = tmp_path / "tests" / name
        before = file.read_text()
        file.write_text(f"{before}\nNEW = 1\n")
        assert checkout.planned() == text, name
        file.write_text(before)
        assert checkout.planned() == {}, name
    claims = "params/claims/sfddm.yaml"
    checkout.edit(claims, "statement: ", "statement: Indeed, ")
    assert checkout.planned() == {"report": 1}, "the words of a claim are no test"
    checkout.edit(claims, "::test_any_number_of_steps_takes_one_fold", "::test_another")
    assert checkout.planned() == again


def test_an_edited_method_retrains_its_own_row_only(finished: Checkout) -> None:
    with (finished.folder / "sfddm/methods/sfddm.py").open("a") as file:
        file.write("NEW = 1\n")
    assert finished.planned() == {"distill": 2, "sample": 2, "evaluate": 2, "collect": 1, "properties": 1, "report": 1}


def test_an_edited_budget_retrains_the_students_but_not_the_teacher(finished: Checkout) -> None:
    finished.edit("params/smoke.yaml", "images: 1280", "images: 1408")
    assert finished.planned() == {"distill": 4, "sample": 4, "evaluate": 4, "collect": 1, "report": 1}


def test_a_further_budget_trains_the_former_largest_beside_the_new_one_and_no_smaller_one(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)

    def distilled() -> list[str]:
        done = checkout.run("snakemake", "--cores", "8", "reports/table.html")
        assert done.returncode == 0, done.stderr
        return sorted(option(call, "method") for call in checkout.calls() if call[0] == "distill")

    checkout.edit("params/smoke.yaml", "progressive: {start: 8}, sfddm: {}", "sfddm: {budgets: [1, 3]}")
    assert distilled() == ["sfddm", "sfddm", "sfddm.x1", "sfddm.x1"], "at two numbers of steps each"
    checkout.edit("params/smoke.yaml", "[1, 3]", "[1, 3, 9]")
    assert distilled() == ["sfddm", "sfddm", "sfddm.x3", "sfddm.x3"]


def test_a_row_that_is_measured_further_changes_no_figure_that_is_there(finished: Checkout) -> None:
    finished.edit("params/smoke.yaml", "{samples: 128}", "{samples: 128, agreement: [sfddm]}")
    assert finished.planned() == {"measure": 2, "collect": 1, "report": 1}


def test_the_words_of_a_spec_train_nothing_again(finished: Checkout) -> None:
    finished.edit("params/smoke.yaml", "title: Smoke test", "title: Another title\nnotes: [New words.]")
    assert finished.planned() == {"collect": 1, "report": 1}


def test_students_that_share_the_work_are_jobs_of_their_own_and_one_job_samples_them(tmp_path: Path) -> None:
    """Two share the classes, after pairs of the teacher; three the steps of another student, after a first phase."""
    checkout = Checkout(tmp_path)
    checkout.edit("params/smoke.yaml", "[1, 2]}", "[1, 2], classes: 10}")
    several = "{msd: {method: multi-student, students: 2}, "
    several += "one-to-many: {students: 3, shared_training: {images: 64}, student_of: sfddm, steps: [4]}, "
    checkout.edit("params/smoke.yaml", "methods: {", "pairs: {count: 8, steps: 2}\nmethods: " + several)
    done = checkout.run("snakemake", "--cores", "8", "reports/table.html")
    assert done.returncode == 0, done.stderr
    calls = checkout.calls()
    seed = "reports/runs/smoke/seed-0"
    assert [option(call, "out") for call in calls if call[0] == "pairs"] == [f"{seed}/teacher/pairs"]
    partition = "reports/runs/smoke/partitions/msd.json"
    assert [(option(call, "method"), option(call, "out")) for call in calls if call[0] == "partition"] == [
        ("msd", partition)
    ]
    distilled = {(option(call, "method"), option(call, "fold")): call for call in calls if call[0] == "distill"}
    sharing = {which for which, call in distilled.items() if "--partition" in call}
    assert sharing == {("msd", "1.dm-0"), ("msd", "1.dm-1")}
    assert {option(distilled[which], "partition") for which in sharing} == {partition}
    assert option(distilled["msd", "1.dm-1"], "pairs") == f"{seed}/teacher/pairs"
    assert option(distilled["one-to-many", "4.range-2"], "start") == f"{seed}/one-to-many/fold-4.shared"
    assert option(distilled["one-to-many", "4.range-2"], "teacher") == f"{seed}/sfddm/fold-4"
    sampled = {option(call, "method"): call for call in calls if call[0] == "sample"}
    together = [sampled["one-to-many"][i + 1] for i, word in enumerate(sampled["one-to-many"]) if word == "--model"]
    assert together == [f"{seed}/one-to-many/fold-4.range-{i}" for i in range(3)]


def test_rows_with_an_open_claim_are_trained_with_one_more_seed_at_a_time(tmp_path: Path) -> None:
    """Of two to four seeds: after two, sfddm and ddim are open; after three, sfddm alone; then the run ends."""
    checkout = Checkout(tmp_path)
    checkout.edit("params/smoke.yaml", "steps: [4, 2]", "steps: [4]\nseeds: {at_least: 2, at_most: 4}")
    (tmp_path / "open.sh").write_text(
        """case $out in
          *after-2.json) decided='"seeds": 2, "rows": {"sfddm": ["a"], "ddim": ["a"]}' ;;
          *) decided='"seeds": 3, "rows": {"sfddm": ["a"]}' ;;
        esac"""
    )
    done = checkout.run("snakemake", "--cores", "2", "reports/table.html")
    assert done.returncode == 0, done.stderr
    calls = checkout.calls()
    seeds = Counter(Path(option(call, "out")).parents[1].name for call in calls if call[0] == "sample")
    assert seeds == {"teacher": 2, "progressive": 2, "ddim": 3, "sfddm": 4}
    trained = Counter(option(call, "seed") for call in calls if call[0] == "distill")
    assert trained == {"0": 2, "1": 2, "2": 1, "3": 1}
    verbs = [call[0] for call in calls]
    assert verbs.count("further-seed") == 2
    assert verbs.index("collect") > max(place for place, verb in enumerate(verbs) if verb == "evaluate")
    assert checkout.planned() == {}


def test_experiments_may_be_named_on_the_command_line(finished: Checkout) -> None:
    (finished.folder / "params/other.yaml").write_text(SPEC.replace("name: smoke", "name: other"))
    planned = finished.planned("--config", "experiments=smoke,other")
    assert planned == {
        "fetch": 1,
        "train": 1,
        "reference": 1,
        "distill": 4,
        "sample": 7,
        "evaluate": 7,
        "collect": 1,
        "report": 1,
    }


def test_a_teacher_beside_other_experiments_does_not_wait_for_two_cores(finished: Checkout) -> None:
    (finished.folder / "params/other.yaml").write_text(SPEC.replace("name: smoke", "name: other"))
    for given, threads in (("smoke", {"2"}), ("smoke,other", {"1"})):
        plan = ["--cores", "2", "--dry-run", "--printshellcmds", "--forceall", "--config", f"experiments={given}"]
        done = finished.run("snakemake", *plan)
        assert set(re.findall(r"sfddm train .*--threads (\d)", done.stdout + done.stderr)) == threads


def test_jobs_find_the_fork_server_unless_the_command_line_leaves_it_out(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path)
    found = []
    for given in ([], ["--config", "fork_server=false"]):
        done = checkout.run("snakemake", "--cores", "8", "--forcerun", "fetch", "--until", "fetch", *given)
        assert done.returncode == 0, done.stderr
        found.append((tmp_path / "server.log").read_text().strip())
    assert found[0].endswith("/socket")
    assert found[1] == "none"


def test_a_broken_spec_ends_the_run_with_one_sentence(finished: Checkout) -> None:
    finished.edit("params/smoke.yaml", "students: {images: 1280}", "students: {images: 1280, imges: 3}")
    done = finished.run("snakemake", "--cores", "8")
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("Using workflow specific profile")]
    assert said == ["snakemake: params/smoke.yaml: students.imges: unknown key"]


def test_dvc_and_snakemake_do_nothing_twice(finished: Checkout) -> None:
    subprocess.run(["git", "init", "--quiet", str(finished.folder)], check=True)

    def jobs_of_dvc() -> list[str]:
        done = finished.run("dvc", "repro")
        assert done.returncode == 0, done.stderr
        return [call[0] for call in finished.calls()]

    assert jobs_of_dvc() == [], "Snakemake had finished all of it"
    finished.edit("params/smoke.yaml", "title: Smoke test", "title: Another title")
    assert jobs_of_dvc() == ["collect", "report"]
    # A checkout of DVC gives files new times; their bytes decide.
    (finished.folder / "reports/runs/smoke/collected/metrics.json").touch()
    assert finished.planned() == {}, "DVC had finished all of it"


@pytest.mark.skipif(not shutil.which("taskset"), reason="needs a command that binds a process to cores")
def test_cores_beyond_the_machine_run_no_more_jobs_than_it_can_hold(tmp_path: Path) -> None:
    (tmp_path / "Snakefile").write_text(
        f'include: "{ROOT}/workflow/rules/common.smk"\n'
        "prepare_jobs()\n"
        'rule all:\n    input: expand("{number}.txt", number=range(8))\n'
        'rule job:\n    output: "{number}.txt"\n'
        "    threads: lambda wildcards: 1 + int(wildcards.number) % 2\n"
        '    shell: "date +%s%N > {output}; echo {threads} >> {output}; sleep 0.2; date +%s%N >> {output}"\n'
    )
    command = ["snakemake", "--cores", "16", "--quiet", "all"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    allowed = sorted(os.sched_getaffinity(0))[:2]
    subprocess.run(
        ["taskset", "--cpu-list", ",".join(map(str, allowed)), *command],
        cwd=tmp_path,
        env=environment,
        check=True,
        timeout=60,
        capture_output=True,
    )
    jobs = [[int(word) for word in file.read_text().split()] for file in tmp_path.glob("*.txt")]
    assert len(jobs) == 8
    busy = [sum(threads for start, threads, end in jobs if start <= moment < end) for moment, _, _ in jobs]
    assert max(busy) <= min(len(allowed), available_cores())


def test_the_schema_that_is_printed_takes_every_spec_and_no_unknown_key() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "sfddm.cli", "spec", "schema"], capture_output=True, text=True, check=True
    )
    judge = Draft202012Validator(json.loads(printed.stdout))
    specs = {file.name: yaml.safe_load(file.read_text()) for file in ROOT.glob("params/*.yaml")}
    assert len(specs) > 10
    for name, spec in specs.items():
        assert not list(judge.iter_errors(spec)), name
    digits = specs["digits.yaml"]
    for key in ("students", "methods"):
        assert list(judge.iter_errors(digits | {key: digits[key] | {"imges": 3}})), key
