"""A params.yaml that nobody would write ends Snakemake in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.checkout import ProjectCopy


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("experiments: 2024-13-45\n", "params.yaml: not a YAML file (month must be in 1..12)"),
        ("experiments: [smoke]\nexperiments: [digits]\n", "line 2: the key experiments is given twice"),
        ("- smoke\n", "params.yaml: must be a mapping of keys, such as experiments"),
    ],
)
def test_a_params_file_that_is_none(tmp_path: Path, text: str, sentence: str) -> None:
    project = ProjectCopy(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    done = project.run("snakemake", "--cores", "1", "--dry-run")
    assert done.returncode != 0
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
