"""From an image file's bytes to an array."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sfddm.data.examples import Image
from sfddm.runtime.errors import SfddmError

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

#: What is decoded; Pillow knows further formats, one of which calls a program.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
#: Of one image: a square of 7,071. Decoding takes up to 16 bytes a pixel.
MOST_PIXELS = 50_000_000
GREY_MODES = ("1", "L")
DEEP_MODES = ("I", "F")


def decode_image(content: bytes | Path, place: str) -> Image:
    """Decode one image file of any format that Pillow reads.

    Black-and-white and grey files give (H, W), all others (H, W, 3), as uint8 in [0, 255]. An orientation in
    the Exif data is applied, so that images stand as a viewer shows them; transparency is laid on white; of
    an animation the first picture is taken. ``place`` names the file or row in errors.

    Raises:
        SfddmError: not an image, a truncated one, one of more than ``MOST_PIXELS``, or one with more than 8 bits a
            channel.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    if isinstance(content, Path) and content.exists() and not content.is_file():
        raise SfddmError(f"{place}: is not a file")
    try:
        with Pillow.open(BytesIO(content) if isinstance(content, bytes) else content, formats=FORMATS) as opened:
            if opened.width * opened.height > MOST_PIXELS:
                size = f"{opened.width}x{opened.height} pixels"
                raise SfddmError(f"{place}: has {size}; an image of a data set may have {MOST_PIXELS:,}")
            if opened.mode.startswith(DEEP_MODES):
                raise SfddmError(f"{place}: has more than 8 bits a channel (mode {opened.mode}); 8 are allowed")
            return np.asarray(_without_transparency(ImageOps.exif_transpose(opened)))
    except FileNotFoundError:
        raise SfddmError(f"{place}: no such file") from None
    except SfddmError:
        raise
    except Pillow.DecompressionBombError as error:
        raise SfddmError(f"{place}: too many pixels for an image of a data set ({error})") from None
    except Exception as error:  # a damaged file ends in whatever Pillow's readers stumble over
        raise SfddmError(f"{place}: not a whole image file ({_reason(error)})") from None


def _without_transparency(image: PillowImage) -> PillowImage:
    from PIL import Image as Pillow

    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return Pillow.alpha_composite(Pillow.new("RGBA", colours.size, "white"), colours).convert("RGB")
    return image.convert("L" if image.mode in GREY_MODES else "RGB")


def _reason(error: Exception) -> str:
    # Pillow puts the address of the buffer into this message: it would differ from run to run.
    return "unknown format" if "cannot identify" in str(error) else " ".join(str(error).split())
