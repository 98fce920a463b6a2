"""The registry: every module in this folder that defines a ``Method`` is a method, found by its name."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from sfddm.diffusion.schedule import Schedule
from sfddm.methods.base import Method, MethodOptions
from sfddm.runtime.errors import SfddmError


@cache
def all_methods() -> dict[str, type[Method]]:
    """Return every method by name, in alphabetical order."""
    found: dict[str, type[Method]] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "base":
            continue
        for value in vars(importlib.import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, type) and issubclass(value, Method) and "name" in vars(value):
                found[value.name] = value
    return dict(sorted(found.items()))


def find_method(name: str) -> type[Method]:
    """Return the method called ``name``.

    Raises:
        SfddmError: there is none.
    """
    methods = all_methods()
    if name not in methods:
        raise SfddmError(f"method: there is no method {name!r}; known: {', '.join(methods)}")
    return methods[name]


def make_method(options: MethodOptions, schedule: Schedule) -> Method:
    """Build the method that ``options`` describe, over a teacher with that noise schedule."""
    return find_method(options.method)(options, schedule)
