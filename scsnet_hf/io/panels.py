"""Images side by side with captions, and figures of matplotlib as images."""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARGIN, _CAPTION = 6, 16  # pixels


def draw_panels(rows: list[dict[str, Image.Image]], width: int) -> Image.Image:
    """Captioned images on white, a row each, every panel `width` pixels wide.

    Images of mode L are inputs and are enlarged without interpolation.
    """
    heights = [max(_height(panel, width) for panel in panels.values()) for panels in rows]
    columns = max(len(panels) for panels in rows)
    size = (
        columns * (width + _MARGIN) + _MARGIN,
        sum(height + _CAPTION + _MARGIN for height in heights) + _MARGIN,
    )
    figure = Image.new("RGB", size, "white")
    pen, top = ImageDraw.Draw(figure), _MARGIN
    for panels, height in zip(rows, heights, strict=True):
        for column, (caption, panel) in enumerate(panels.items()):
            left = _MARGIN + column * (width + _MARGIN)
            how = Image.Resampling.NEAREST if panel.mode == "L" else Image.Resampling.LANCZOS
            figure.paste(panel.resize((width, _height(panel, width)), how), (left, top + _CAPTION))
            pen.text((left, top), caption, fill="black")
        top += height + _CAPTION + _MARGIN
    return figure


def rendered(figure: "Figure") -> Image.Image:
    """A figure of matplotlib as an image, RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def _height(panel: Image.Image, width: int) -> int:
    return max(1, round(panel.height * width / panel.width))
