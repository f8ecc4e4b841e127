"""PNG and TIFF in color, 8 or 16 bits a channel, written while the image is computed.

Pillow writes neither 16 bits a channel, nor EXIF in compressed TIFF, nor images in strips.
"""

import io
from typing import Any, BinaryIO

from PIL import Image

from ..tiling import Strips
from .png import write_png
from .tiff import write_tiff

_WRITERS = {"PNG": write_png, "TIFF": write_tiff}
STRIP_FORMATS = tuple(_WRITERS)
STRIP_MODES = {3: "RGB", 4: "RGBA"}  # by number of channels


def write_strips(
    strips: Strips, file: BinaryIO, image_format: str, arguments: dict[str, Any]
) -> None:
    """Write an sRGB image strip by strip.

    Args:
        strips: the image, 8 or 16 bits a channel.
        file: open for writing. A TIFF that could exceed 4 GiB is written as BigTIFF.
        image_format: one of `STRIP_FORMATS`, Pillow's names.
        arguments: keyword arguments of `PIL.Image.Image.save`: profile, EXIF, dpi, text.
    """
    # Pillow writes a template of one pixel with all of that; only its pixels are replaced.
    template = io.BytesIO()
    Image.new(STRIP_MODES[strips.channels], (1, 1)).save(template, image_format, **arguments)
    _WRITERS[image_format](strips, template.getvalue(), file)
