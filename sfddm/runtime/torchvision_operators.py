"""Lets torchvision be imported beside a torch build that its compiled extension cannot be loaded into.

torch-fidelity imports torchvision. The wheel on PyPI is a CUDA build: beside a CPU-only torch its extension
fails to load, its operators are never registered, and the import stops where torchvision describes the
outputs of ``nms`` and ``qnms``. A schema is all that those two places need; nothing here ever calls the
operators.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import sys

_NMS = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_SCHEMAS = {"torchvision::nms": _NMS, "torchvision::qnms": _NMS}


def declare_missing_operators() -> tuple[str, ...]:
    """Declare the operators torchvision's import asks for, if its own extension cannot register them.

    Call it before anything imports torchvision. An installed extension that loads is loaded here, exactly
    as torchvision
    itself would do it a moment later, and nothing is declared. An earlier import of torchvision that failed
    does no harm: Python has dropped the package by then, and the next import starts it again.

    Returns:
        The names that were declared; empty where torchvision works, is imported already, or is not
        installed.
    """
    if "torchvision" in sys.modules or _extension_loads():
        return ()
    import torch

    missing = tuple(name for name in _SCHEMAS if not _is_declared(name))
    for name in missing:
        torch.library.define(name, _SCHEMAS[name])
    return missing


def _extension_loads() -> bool:
    """Whether torchvision's compiled operators are at hand (or there is no torchvision to care for)."""
    package = importlib.util.find_spec("torchvision")
    if package is None:
        return True
    extension = importlib.machinery.PathFinder.find_spec("_C", package.submodule_search_locations)
    if extension is None or extension.origin is None:
        return False
    import torch

    try:
        torch.ops.load_library(extension.origin)  # type: ignore[no-untyped-call]
    except (ImportError, OSError):
        return False
    return True


def _is_declared(name: str) -> bool:
    import torch

    namespace, operator = name.split("::")
    return hasattr(getattr(torch.ops, namespace), operator)
