"""Captioned images side by side."""

from PIL import Image, ImageDraw

_MARGIN, _CAPTION = 6, 16  # pixels


def draw_panels(rows: list[dict[str, Image.Image]], width: int) -> Image.Image:
    """Draw rows of captioned images on white.

    Args:
        rows: images by their captions. Images of mode L are inputs and are enlarged without
            interpolation.
        width: of each image in pixels; the aspect ratio is kept.

    Returns:
        An RGB image.
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
            resampling = Image.Resampling.NEAREST if panel.mode == "L" else Image.Resampling.LANCZOS
            figure.paste(
                panel.resize((width, _height(panel, width)), resampling), (left, top + _CAPTION)
            )
            pen.text((left, top), caption, fill="black")
        top += height + _CAPTION + _MARGIN
    return figure


def _height(panel: Image.Image, width: int) -> int:
    return max(1, round(panel.height * width / panel.width))
