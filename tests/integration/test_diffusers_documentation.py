"""The promise of docs/diffusers.md: its lines, run as they stand in a fresh interpreter, give our own images."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from support.exact_networks import tiny_denoiser

from sfddm.networks.denoiser import Denoiser
from sfddm.networks.model_folder import save_model
from sfddm.samplers.base import sample
from sfddm.samplers.ddim import DDIM

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "docs" / "diffusers.md"
INDEX_SET = (7, 15, 23, 31, 39, 47, 55, 63)


def documented_lines(folder: Path) -> str:
    """Return the page's Python, with the page's folder replaced by ``folder`` and nothing else."""
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    changed, times = re.subn(r'folder = ".*"', lambda _: f"folder = {str(folder)!r}", code)
    assert times == 1
    return changed


def test_the_documented_lines_sample_a_model_folder_as_we_do(tmp_path: Path) -> None:
    teacher = tiny_denoiser(prediction="v")
    student = Denoiser(teacher.network, "v", teacher.steps.subsequence(INDEX_SET, INDEX_SET)).eval()
    save_model(tmp_path / "model", student, {})
    script = documented_lines(tmp_path / "model") + "\nimport sys, numpy\nnumpy.save(sys.argv[1], images)\n"
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "theirs.npy")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    theirs = np.load(tmp_path / "theirs.npy")
    assert theirs.shape == (4, 8, 8, 1)
    noise = torch.randn((4, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = sample(student, INDEX_SET, DDIM(), noise, lambda k: noise)
    assert ours.std() > 0.1
    np.testing.assert_allclose(theirs * 2 - 1, ours.permute(0, 2, 3, 1).numpy(), rtol=0, atol=1e-4)
