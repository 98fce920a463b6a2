"""torchvision's import beside any torch. A process for each case: operators cannot be undeclared."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PLAIN_IMPORT = """
try:
    import torchvision
    works = True
except RuntimeError as error:
    assert "does not exist" in str(error), error
    works = False
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_torch_fidelity_can_be_imported_in_a_fresh_process():
    out = run(
        "from sfddm.runtime.torchvision_operators import declare_missing_operators\n"
        "declared = declare_missing_operators()\n"
        "import torch, torch_fidelity\n"
        "assert declare_missing_operators() == ()\n"
        "assert hasattr(torch.ops.torchvision, 'nms')\n"
        "print('imported')"
    )
    assert out.strip() == "imported"


def test_a_failed_import_before_does_no_harm_and_a_working_one_is_left_alone():
    out = run(
        PLAIN_IMPORT + "from sfddm.runtime.torchvision_operators import declare_missing_operators\n"
        "declared = declare_missing_operators()\n"
        "import torch_fidelity\n"
        "assert bool(declared) != works, (declared, works)\n"
        "print('imported')"
    )
    assert out.strip() == "imported"


def test_a_working_extension_is_left_alone_and_else_only_the_missing_operators_are_declared(tmp_path):
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    libraries = sorted(Path(sysconfig.get_path("platlib")).glob(f"numpy/linalg/*{suffix}"))
    if not libraries:
        pytest.skip("no compiled extension at hand to stand for torchvision's")
    for name in ("working", "broken"):
        (tmp_path / name / "torchvision").mkdir(parents=True)
        (tmp_path / name / "torchvision" / "__init__.py").touch()
    (tmp_path / "working" / "torchvision" / f"_C{suffix}").write_bytes(libraries[0].read_bytes())
    (tmp_path / "broken" / "torchvision" / f"_C{suffix}").write_bytes(b"not a library")
    out = run(
        "import sys, numpy.linalg, torch\n"
        "from sfddm.runtime.torchvision_operators import declare_missing_operators\n"
        f"sys.path.insert(0, {str(tmp_path / 'working')!r})\n"
        "assert declare_missing_operators() == ()\n"
        "assert not hasattr(torch.ops.torchvision, 'nms')\n"
        f"sys.path.insert(0, {str(tmp_path / 'broken')!r})\n"
        "torch.library.define('torchvision::nms', '(Tensor a, Tensor b, float c) -> Tensor')\n"
        "print(declare_missing_operators())"
    )
    assert out.strip() == "('torchvision::qnms',)"
