"""`HintPreview`: an image whose colors under changing hints are shown at once."""

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import nn

from ..color import denormalize_lab, lab_to_fitted_srgb
from ..image_io import ImageSource, load_image
from ..image_processing_scsnet import drop_alpha
from ..modeling_scsnet import SCSNetFeatures
from ..pipeline_scsnet import ScsColorizeSrPipeline
from ..source_lightness import enlarge_colors, resampled, small_size
from .attention_maps import lit
from .hint_editor import Hint

# Common things and their CIE a and b, as mean colors of photographs go.
_THINGS = {
    "gray": (0, 0),
    "skin": (14, 17),
    "wood": (12, 24),
    "sand": (4, 20),
    "brick": (34, 28),
    "straw": (2, 40),
    "foliage": (-18, 27),
    "sky": (-5, -24),
    "denim": (3, -28),
    "teal": (-24, -8),
    "rose": (30, 3),
    "violet": (22, -28),
}


class HintPreview:
    """An image that is encoded once; what a change of its hints costs is colors alone.

    Args:
        pipe: the pipeline whose network draws the image.
        image: as `image_io.load_image` takes it. Transparency is left out.
        long_side: pixels to which the preview of a larger image is reduced.

    Attributes:
        size: (width, height) of the image, in whose pixels hints are given.

    Raises:
        image_io.ImageError: if the image cannot be read.

    Example:
        >>> preview = HintPreview(pipe, "old.jpg")
        >>> hints = [(120, 80, preview.likely_colors(120, 80)["wood"])]
        >>> preview.draw(hints).save("new.png")
        >>> preview.draw_reach(hints, 0).save("reach.png")
    """

    def __init__(self, pipe: ScsColorizeSrPipeline, image: ImageSource, long_side: int = 1000):
        self._pipe, self._model = pipe, pipe.model
        self._image = drop_alpha(load_image(image)).copy()
        self.size = self._image.size
        self._image.thumbnail((long_side, long_side), Image.Resampling.BICUBIC)
        self._lightness = pipe.image_processor.source_tensor(self._image)
        size = small_size(self._lightness.shape[-2:], self._model.config.color_size)
        self._small = resampled(self._lightness, size).to(pipe.device)
        with torch.no_grad():
            self._texture = self._model.encode_texture(self._small)
        self._automatic = self._colors(())

    def draw(self, hints: Sequence[Hint] = ()) -> Image.Image:
        """Draw the image in the colors that hints give it; its lightness is its own.

        Raises:
            ValueError: if a hint is wrong, see `call_arguments.read_hint`.
        """
        size = self._lightness.shape[-2:]
        strips = enlarge_colors([self._colors(hints)], self._lightness, size)
        arrays = self._pipe.image_processor.post_process_strips(strips, size)
        return Image.fromarray(np.concatenate(list(arrays)))

    def draw_reach(self, hints: Sequence[Hint], index: int) -> Image.Image:
        """Draw the image, bright where a hint counts most: its attention times the valve.

        The mean of all levels of the pyramid, relative to the brightest place.
        """
        # The last one of a cell counts, so that the hint is there whatever the others are.
        ordered = [*hints[:index], *hints[index + 1 :], hints[index]]
        encoded = self._encoded(ordered, return_attention=True)
        levels = []
        for attention, valves in zip(encoded.attentions, encoded.valves, strict=True):
            weights = attention[:, :, :, -1].unflatten(2, valves.shape[-2:]) * valves[:, 1:]
            levels.append(nn.functional.interpolate(weights.float(), encoded.valves[0].shape[-2:]))
        reach = torch.cat(levels).mean(dim=0)[0]
        return lit(self.draw(hints), reach / reach.max())

    def automatic_color(self, x: float, y: float) -> str:
        """Return the color "#rrggbb" that a place has without hints."""
        return _to_hex(self._lab_at(x, y))

    def likely_colors(self, x: float, y: float) -> dict[str, str]:
        """Return colors of common things as light as a place, those most like its own first."""
        lightness, *chroma = self._lab_at(x, y)
        nearest = sorted(_THINGS, key=lambda name: np.hypot(*np.subtract(_THINGS[name], chroma)))
        colors = {name: _to_hex((lightness, *_THINGS[name])) for name in nearest}
        return {"automatic": self.automatic_color(x, y), **colors}

    def _encoded(self, hints: Sequence[Hint], **arguments):
        factors = np.divide(self._image.size, self.size)
        scaled = [(x * factors[0], y * factors[1], color) for x, y, color in hints]
        return self._pipe.encode_color(self._image, hints=scaled, **arguments)

    @torch.no_grad()
    def _colors(self, hints: Sequence[Hint]) -> torch.Tensor:
        """Normalized Lab (1, 3, h, w) of the small image, on the CPU."""
        features = SCSNetFeatures(self._small, self._texture, self._encoded(hints).features)
        return self._model.decode(features, self._small.shape[-2:]).cpu()

    def _lab_at(self, x: float, y: float) -> tuple[float, float, float]:
        height, width = self._automatic.shape[-2:]
        row, column = int(y * height / self.size[1]), int(x * width / self.size[0])
        place = torch.cat((self._small.cpu(), self._automatic[:, 1:]), dim=1)[0]
        return tuple(
            denormalize_lab(place[:, row : row + 1, column : column + 1]).flatten().tolist()
        )


def draw_hints(
    image: Image.Image, size: tuple[int, int], hints: Sequence[Hint], selected: int | None = None
) -> Image.Image:
    """Draw disks of the hints' colors on a copy of an image, a larger one for the selected hint.

    Args:
        image: RGB, of any size.
        size: (width, height) of the image that the hints are given for.
        hints: the hints.
        selected: index of one of them.
    """
    drawn = image.copy()
    pen, unit = ImageDraw.Draw(drawn), max(image.size) / 100
    for index, (x, y, color) in enumerate(hints):
        x, y = x * image.width / size[0], y * image.height / size[1]
        radius = unit * (1.6 if index == selected else 1)
        for width, fill in ((unit, "black"), (0.6 * unit, "white"), (0, color)):
            reach = radius + width
            pen.ellipse((x - reach, y - reach, x + reach, y + reach), fill=fill)
    return drawn


def _to_hex(lab: tuple[float, float, float]) -> str:
    rgb = lab_to_fitted_srgb(torch.tensor(lab)[:, None, None]).flatten().clamp(0, 1)
    return "#{:02x}{:02x}{:02x}".format(*(rgb * 255).round().int().tolist())
