"""Ways to sample in few steps, one file each; ``base`` is their contract with everything else."""

from __future__ import annotations

from sfddm.diffusion.schedule import Schedule
from sfddm.methods.base import Method
from sfddm.methods.options import MethodOptions
from sfddm.runtime import registry


def all_methods() -> dict[str, type[Method]]:
    """Return every method by name, in alphabetical order."""
    return registry.entries(__name__, Method)  # type: ignore[type-abstract]


def find_method(name: str) -> type[Method]:
    """Return the method called ``name``.

    Raises:
        SfddmError: there is none.
    """
    return registry.find(__name__, Method, name, "method")  # type: ignore[type-abstract]


def make_method(options: MethodOptions, schedule: Schedule) -> Method:
    """Build the method that ``options`` describe, over a teacher with that noise schedule."""
    return find_method(options.method)(options, schedule)
