"""PNG and TIFF of colors, of 8 or 16 bits a channel, while the image is computed.

Pillow writes neither 16 bits a channel, nor EXIF in compressed TIFF, nor strips.
"""

import io
from typing import Any, BinaryIO

from PIL import Image

from ..tiling import Strips
from .png import write_png
from .tiff import write_tiff

_WRITERS = {"PNG": write_png, "TIFF": write_tiff}
STRIP_FORMATS = tuple(_WRITERS)
STRIP_MODES = {3: "RGB", 4: "RGBA"}  # by channels


def write_strips(
    strips: Strips, file: BinaryIO, image_format: str, arguments: dict[str, Any]
) -> None:
    """Write an sRGB image, strip by strip.

    Args:
        strips: of 8 or 16 bits a channel.
        file: open for writing. A TIFF that might pass 4 GiB is a BigTIFF.
        image_format: one of `STRIP_FORMATS`, as Pillow names them.
        arguments: what `PIL.Image.Image.save` would take beside it: profile, EXIF, dpi, text.
    """
    # Pillow writes an image of one pixel with all of that; its pixels are exchanged.
    model = io.BytesIO()
    Image.new(STRIP_MODES[strips.channels], (1, 1)).save(model, image_format, **arguments)
    _WRITERS[image_format](strips, model.getvalue(), file)
