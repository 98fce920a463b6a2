"""``sfddm check``: which files of runs and records are as they were written."""

from __future__ import annotations

from contextlib import chdir
from pathlib import Path

from support.every_verb import invoke

from sfddm.runtime.files import write_json

ROOT = Path(__file__).parents[3]


def test_a_run_that_is_whole_and_one_that_is_not(tmp_path: Path) -> None:
    run = tmp_path / "reports" / "runs" / "one"
    write_json(run / "seed-0" / "score.json", 1)
    write_json(run / "seed-0" / "samples.json", 1)
    with chdir(tmp_path):
        done = invoke("check reports/runs/one")
        assert (done.exit_code, done.output) == (0, "reports/runs/one: 2 whole\n")
        (run / "seed-0" / "score.json").write_text("2\n")
        (run / "seed-0" / "samples.json").unlink()
        (run / "old.json").write_text("1")
        done = invoke("check")
    again = "make it again with `snakemake --cores 1 --force reports/runs/one/seed-0"
    assert done.exit_code == 1
    assert done.output.splitlines() == [
        f"reports/runs/one/seed-0/samples.json: is gone; {again}/samples.json`",
        f"reports/runs/one/seed-0/score.json: was changed since it was written; {again}/score.json`",
        "reports: 1 changed, 1 gone, 1 no digest",
    ]


def test_a_file_that_is_gone_is_enough(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", 1)
    (tmp_path / "x.json").unlink()
    assert invoke("check", str(tmp_path)).exit_code == 1


def test_every_place_is_looked_at_and_must_be_there(tmp_path: Path) -> None:
    write_json(tmp_path / "a" / "x.json", 1)
    write_json(tmp_path / "b" / "x.json", 1)
    (tmp_path / "a" / "x.json").write_text("2\n")
    done = invoke("check", str(tmp_path / "a"), str(tmp_path / "b"))
    assert done.exit_code == 1
    assert f"{tmp_path / 'b'}: 1 whole" in done.output
    assert "no such file or folder" in str(invoke("check", str(tmp_path / "c")).exception)


def test_every_published_record_is_whole_and_has_digests() -> None:
    done = invoke("check", str(ROOT / "reports" / "records"))
    assert done.exit_code == 0, done.output
    assert "no digest" not in done.output
