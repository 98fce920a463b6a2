"""From an image file's bytes to an array."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import error as ZlibError

import numpy as np

from sfddm.data.examples import Image
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

GREY_MODES = ("1", "L")
DEEP_MODES = ("I", "F")


def decode_image(content: bytes | Path, place: str) -> Image:
    """Decode one image file of any format that Pillow reads.

    Black-and-white and grey files give (H, W), all others (H, W, 3), as uint8 in [0, 255]. An orientation in
    the Exif data is applied, so that images stand as a viewer shows them; transparency is laid on white; of
    an animation the first picture is taken. ``place`` names the file or row in errors.

    Raises:
        SfddmError: not an image, a truncated one, an implausibly large one, or one with more than 8 bits a
            channel.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with Pillow.open(BytesIO(content) if isinstance(content, bytes) else content) as opened:
            if opened.mode.startswith(DEEP_MODES):
                raise SfddmError(f"{place}: has more than 8 bits a channel (mode {opened.mode}); 8 are allowed")
            return np.asarray(_without_transparency(ImageOps.exif_transpose(opened)))
    except FileNotFoundError:
        raise SfddmError(f"{place}: no such file") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, ZlibError) as error:
        raise SfddmError(f"{place}: not a whole image file ({_reason(error)})") from None
    except Pillow.DecompressionBombError as error:
        raise SfddmError(f"{place}: too many pixels for an image of a data set ({error})") from None


def _without_transparency(image: PillowImage) -> PillowImage:
    from PIL import Image as Pillow

    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return Pillow.alpha_composite(Pillow.new("RGBA", colours.size, "white"), colours).convert("RGB")
    return image.convert("L" if image.mode in GREY_MODES else "RGB")


def _reason(error: Exception) -> str:
    # Pillow puts the address of the buffer into this message: it would differ from run to run.
    return "unknown format" if "cannot identify" in str(error) else " ".join(str(error).split())
