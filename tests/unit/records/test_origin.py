"""``sfddm provenance``: what an output depends on, what of it changed since, and origins that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sfddm.records.origin import content_digest, describe_origin, origin_file, write_origin
from sfddm.runtime.errors import SfddmError
from sfddm.runtime.outputs import LEDGER
from sfddm.spec.dependencies import of_student
from sfddm.spec.load import load_spec

SMOKE = (Path(__file__).parents[3] / "params" / "smoke.yaml").read_text()


@pytest.fixture
def output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up student of smoke, with the origin that the verb would keep."""
    monkeypatch.chdir(tmp_path)
    Path("params").mkdir()
    spec_file = Path("params/smoke.yaml")
    spec_file.write_text(SMOKE)
    Path("input.txt").write_text("one")
    needs = of_student(load_spec(spec_file), "sfddm", "8", 0)
    write_origin(Path("model"), needs, spec_file, [Path("input.txt"), Path("absent")])
    return Path("model")


def changes(output: Path) -> list[str]:
    return [line.strip() for line in describe_origin(output, why=True) if "CHANGED" in line or "(new)" in line]


def test_it_names_spec_code_and_inputs_and_nothing_changed(output: Path) -> None:
    lines = list(describe_origin(output, why=False))
    assert lines[0].startswith("model: student of params/smoke.yaml, fold 8, row sfddm, seed 0, commit ")
    assert "  spec  options.learning_rate = 0.0005" in lines
    assert any(line.startswith("  code  sfddm.methods.sfddm ") for line in lines)
    assert not any(".progressive" in line for line in lines), "another method does not count"
    assert "  input absent absent" in lines
    assert changes(output) == []


def test_it_says_what_changed(output: Path) -> None:
    Path("params/smoke.yaml").write_text(SMOKE.replace("learning_rate: 5.0e-4", "learning_rate: 6.0e-4"))
    Path("input.txt").write_text("two")
    rate, read = changes(output)
    assert rate == "spec  options.learning_rate = 0.0005  CHANGED: now 0.0006"
    assert read.startswith("input input.txt ")
    assert str(content_digest(Path("input.txt")))[:12] in read


def test_a_title_and_another_rows_option_change_nothing(output: Path) -> None:
    other = SMOKE.replace("title: Smoke test", "title: Another").replace("start: 16", "start: 32")
    assert other != SMOKE
    Path("params/smoke.yaml").write_text(other)
    assert changes(output) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "doc__"}, "kind: "),
        ({"given": {"seed": 0}}, "given: is not what the stage student is asked"),
        ({"code": 3}, "code: "),
        ({"more": 1}, "more: unknown key"),
    ],
)
def test_an_origin_that_is_none_is_refused_in_one_sentence(
    output: Path, change: dict[str, object], sentence: str
) -> None:
    file = origin_file(output)
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    (file.parent / LEDGER).unlink(missing_ok=True)  # which would tell of the change first
    with pytest.raises(SfddmError, match=sentence) as caught:
        list(describe_origin(output, why=True))
    assert "\n" not in str(caught.value)


def test_what_no_stage_wrote_is_told(tmp_path: Path) -> None:
    with pytest.raises(SfddmError, match="no stage of sfddm wrote it"):
        list(describe_origin(tmp_path / "thesis.txt", why=False))
