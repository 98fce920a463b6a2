"""diffusers' UNet2DModel, imported without the optional packages that its neighbours would pull in.

Importing one network imports every transformer of the library, and with them torchvision and scipy.stats: well over a
second of start-up. They are declared absent for the duration of the import.
"""

from __future__ import annotations

from diffusers.utils import import_utils

# Not accelerate: diffusers binds its name at import, and loading a pipeline later fails where that was skipped.
_OPTIONAL = ("_torchvision_available", "_scipy_available", "_matplotlib_available")

_known = {name: getattr(import_utils, name) for name in _OPTIONAL if hasattr(import_utils, name)}
try:
    for _name in _known:
        setattr(import_utils, _name, False)
    from diffusers.models.unets.unet_2d import UNet2DModel
finally:
    for _name, _value in _known.items():
        setattr(import_utils, _name, _value)

__all__ = ["UNet2DModel"]
