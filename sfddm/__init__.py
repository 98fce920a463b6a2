"""Spec-driven reproducibility harness for diffusion-model distillation.

What it offers to programs is in :mod:`sfddm.commands.python` and is imported when it is asked for: ``import sfddm`` is
instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sfddm.commands.python import distill, load_model, load_spec, sample, score, verdicts

__version__ = "0.1.0"
__all__ = ["__version__", "distill", "load_model", "load_spec", "sample", "score", "verdicts"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("sfddm.commands.python"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
