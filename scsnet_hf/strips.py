"""`Strips`: a picture that is made from top to bottom, and need not be there as a whole."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True)
class Strips:
    """A picture in strips, which are computed as they are taken, once.

    Attributes:
        size: (width, height).
        channels: 3 for RGB, 4 with alpha, which is not multiplied in.
        dtype: uint8 or uint16.
        arrays: (h, width, channels) each, one below the other.
    """

    size: tuple[int, int]
    channels: int
    dtype: np.dtype
    arrays: Iterator[np.ndarray]

    @classmethod
    def of(cls, picture: Image.Image | np.ndarray) -> "Strips":
        """A picture that is there, RGB or RGBA, or (H, W, 3 or 4) uint16, as one strip."""
        levels = np.asarray(picture)
        height, width, channels = levels.shape
        return cls((width, height), channels, levels.dtype, iter([levels]))

    @property
    def pixels(self) -> int:
        """How many the picture has."""
        return self.size[0] * self.size[1]

    def picture(self) -> Image.Image | np.ndarray:
        """All strips as one picture of Pillow; of 16 bits, which it cannot hold, as an array."""
        width, height = self.size
        whole, top = np.empty((height, width, self.channels), self.dtype), 0
        for strip in self.arrays:
            whole[top : top + len(strip)] = strip
            top += len(strip)
        return Image.fromarray(whole) if whole.dtype == np.uint8 else whole

    def of_height(self, rows: int) -> Iterator[np.ndarray]:
        """The same picture in strips of `rows` rows each, fewer only in the last."""
        held = np.empty((0, self.size[0], self.channels), self.dtype)
        for strip in self.arrays:
            held = np.concatenate((held, strip)) if len(held) else strip
            for top in range(0, len(held) - rows + 1, rows):
                yield held[top : top + rows]
            held = held[len(held) // rows * rows :]
        if len(held):
            yield held
