"""The sources, one file each: a class derived from ``Source``; ``sfddm/runtime/registry.py`` finds it."""
