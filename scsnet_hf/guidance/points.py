"""Points in images, independent of their size."""

from PIL import Image, ImageDraw

Point = tuple[float, float]  # x, y as fractions of width and height, 0 to 1

_LONG_SIDE = 640  # pixels of an image with a point


def check_point(name: str, point: Point) -> None:
    """Raise ValueError unless a point is inside the image."""
    if not all(0 <= fraction <= 1 for fraction in point):
        raise ValueError(f"{name}={point!r}: x and y must be from 0 to 1")


def draw_point(image: Image.Image, point: Point) -> Image.Image:
    """Draw an image in gray, 640 pixels on its long side, with a cross at a point.

    Args:
        image: as `image_io.load_image` returns it.
        point: where to draw the cross.
    """
    factor = _LONG_SIDE / max(image.size)
    size = tuple(max(1, round(side * factor)) for side in image.size)
    drawn = image.convert("L").resize(size, Image.Resampling.LANCZOS).convert("RGB")
    x, y = (fraction * (side - 1) for fraction, side in zip(point, size, strict=True))
    arm = _LONG_SIDE // 24
    pen = ImageDraw.Draw(drawn)
    for width, color in ((6, "white"), (3, "red")):
        pen.line((x - arm, y, x + arm, y), fill=color, width=width)
        pen.line((x, y - arm, x, y + arm), fill=color, width=width)
    return drawn
