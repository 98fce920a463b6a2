"""Finds what one file can add: methods, samplers, networks, data sources, measurements, metrics, extractors.

A registry is a folder of this package together with a base class: every class in the folder that is derived from the
base and has a ``name`` of its own is an entry. Plug-ins add entries to every registry. They are the modules that an
installed distribution names under the entry point group ``sfddm.plugins``, and the files that the environment variable
``SFDDM_PLUGINS`` lists, separated as in PATH. A spec cannot name a plug-in: a stranger's file must not execute.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from functools import cache
from importlib.metadata import entry_points
from itertools import combinations
from pathlib import Path
from types import ModuleType
from typing import TypeVar

from sfddm.runtime.errors import SfddmError

Entry = TypeVar("Entry")

PLUGINS = "SFDDM_PLUGINS"


def entries(package: str, base: type[Entry]) -> dict[str, type[Entry]]:
    """Return the classes derived from ``base`` in ``package`` and in the plug-ins, by name, in alphabetical order.

    Args:
        package: the folder's full name, for example ``sfddm.methods``.
        base: what entries are derived from; each entry sets ``name``.

    Raises:
        SfddmError: a plug-in cannot be imported, or two entries share a name.
    """
    return dict(_entries(package, base, os.environ.get(PLUGINS, "")))  # type: ignore[arg-type]


def find(package: str, base: type[Entry], name: str, key: str) -> type[Entry]:
    """Return the entry called ``name``; ``key`` names the place in the spec in the error.

    Raises:
        SfddmError: there is none.
    """
    known = entries(package, base)
    if name not in known:
        raise SfddmError(f"{key}: there is no {name!r}; known: {', '.join(known)}")
    return known[name]


def check_name(package: str, base: type[Entry], name: str) -> str:
    """Return ``name`` if there is an entry of that name.

    Raises:
        ValueError: there is none, which pydantic tells with the name of the key.
    """
    known = entries(package, base)
    if name not in known:
        raise ValueError(f"must be one of {', '.join(known)}; got {name!r}")
    return name


def source_file(entry: type) -> Path:
    """Return the file that defines an entry: what a stage that uses it depends on."""
    return Path(str(sys.modules[entry.__module__].__file__))


def import_folder(package: str) -> list[ModuleType]:
    """Import a package and all modules in its folder, and return them."""
    folder = importlib.import_module(package)
    return [
        folder,
        *(importlib.import_module(f"{package}.{info.name}") for info in pkgutil.iter_modules(folder.__path__)),
    ]


@cache
def _entries(package: str, base: type[Entry], plugins: str) -> dict[str, type[Entry]]:
    found: dict[str, type[Entry]] = {}
    for module in [*import_folder(package), *_plugin_modules(plugins)]:
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__:
                if "name" not in vars(value):
                    continue
                name = str(vars(value)["name"])
                if found.setdefault(name, value) is not value:
                    raise SfddmError(f"{module.__file__}: defines {name!r}, which {found[name].__module__} defines too")
    return dict(sorted(found.items()))


@cache
def _plugin_modules(files: str) -> tuple[ModuleType, ...]:
    loaded = []
    for point in entry_points(group="sfddm.plugins"):
        try:
            loaded.append(importlib.import_module(point.module))
        except Exception as error:
            raise SfddmError(f"plug-in {point.value}: cannot be imported ({type(error).__name__}: {error})") from None
    paths = [Path(file) for file in files.split(os.pathsep) if file]
    for one, other in combinations(paths, 2):
        if one.stem == other.stem:  # both would be the same module, and edits of the first one would go unseen
            raise SfddmError(f"{PLUGINS}: {one} and {other} have one name; rename one of them")
    return (*loaded, *map(_load, paths))


def _load(file: Path) -> ModuleType:
    name = f"sfddm_plugin_{file.stem}"
    specification = importlib.util.spec_from_file_location(name, file)
    if specification is None or specification.loader is None:
        raise SfddmError(f"{PLUGINS}: {file}: must be a Python file")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise SfddmError(f"{PLUGINS}: {file}: cannot be imported ({type(error).__name__}: {error})") from None
    return module
