"""`HintEditor`: the color hints of one image while a person works on them, and their file."""

import json
from dataclasses import dataclass, replace
from typing import NamedTuple

from ..call_arguments import read_hint

_SAME_ASPECT = 0.01  # relative difference of aspect ratios that rounding explains


class Hint(NamedTuple):
    """A color hint, as the pipeline takes it."""

    x: float  # pixels of the upright image
    y: float
    color: str  # "#rrggbb"

    @classmethod
    def read(cls, hint: object, size: tuple[int, int]) -> "Hint":
        """Check anything that `call_arguments.read_hint` takes; ValueError as there."""
        x, y, levels = read_hint(hint, size)
        return cls(x, y, "#{:02x}{:02x}{:02x}".format(*map(round, levels)))


@dataclass(frozen=True)
class HintEditor:
    """Hints of an image, with all their earlier versions. Every change returns a new editor.

    Hints are addressed by their index; a wrong one raises IndexError, a wrong place or color
    ValueError.

    Attributes:
        size: (width, height) of the image.
        hints: the hints, the oldest first.

    Example:
        >>> editor = HintEditor((400, 293)).add(120, 80, "#b03020").add(300, 60, "teal")
        >>> editor = editor.recolor(1, "navy").undo()
        >>> pipe("old.jpg", hints=list(editor.hints))
    """

    size: tuple[int, int]
    hints: tuple[Hint, ...] = ()
    _earlier: tuple[tuple[Hint, ...], ...] = ()

    def add(self, x: float, y: float, color: str) -> "HintEditor":
        """Add a hint."""
        return self._changed((*self.hints, self._read(x, y, color)))

    def move(self, index: int, x: float, y: float) -> "HintEditor":
        """Give a hint another place."""
        return self._replaced(index, self._read(x, y, self.hints[index].color))

    def recolor(self, index: int, color: str) -> "HintEditor":
        """Give a hint another color."""
        return self._replaced(index, self._read(*self.hints[index][:2], color))

    def delete(self, index: int) -> "HintEditor":
        """Remove a hint."""
        return self._replaced(index)

    def clear(self) -> "HintEditor":
        """Remove all hints."""
        return self._changed(())

    def undo(self) -> "HintEditor":
        """Return to how it was before the last change; nothing happens before the first."""
        if not self._earlier:
            return self
        return replace(self, hints=self._earlier[-1], _earlier=self._earlier[:-1])

    def load(self, text: str) -> "HintEditor":
        """Replace the hints by those of a file, see `hints_from_json`."""
        return self._changed(tuple(hints_from_json(text, self.size)))

    def to_json(self) -> str:
        """Return what `hints_from_json` reads."""
        hints = [hint._asdict() for hint in self.hints]
        return json.dumps({"size": list(self.size), "hints": hints}, indent=1) + "\n"

    def _read(self, *hint: object) -> Hint:
        return Hint.read(hint, self.size)

    def _replaced(self, index: int, *others: Hint) -> "HintEditor":
        hints = list(self.hints)
        hints[index : index + 1] = others if hints[index] else ()
        return self._changed(tuple(hints))

    def _changed(self, hints: tuple[Hint, ...]) -> "HintEditor":
        return replace(self, hints=hints, _earlier=(*self._earlier, self.hints))


def hints_from_json(text: str, size: tuple[int, int]) -> list[Hint]:
    """Read hints that were saved for an image, perhaps at another size of it.

    Args:
        text: `{"size": [W, H], "hints": [{"x": .., "y": .., "color": "#rrggbb"}, ...]}`.
        size: (width, height) of the image; positions are scaled to it.

    Raises:
        ValueError: if it is not such a text, or was saved for an image of another aspect ratio.
    """
    try:
        content = json.loads(text)
        (width, height), hints = content["size"], list(content["hints"])
        factors = size[0] / width, size[1] / height
    except (ValueError, TypeError, KeyError, ZeroDivisionError):
        raise ValueError(
            'these are no hints: expected is {"size": [W, H], "hints": '
            '[{"x": .., "y": .., "color": "#rrggbb"}, ...]}'
        ) from None
    if abs(factors[0] / factors[1] - 1) > _SAME_ASPECT:
        raise ValueError(
            f"these hints are for an image of {width}x{height}, which {size[0]}x{size[1]} is no "
            "enlargement or reduction of"
        )
    read = (Hint.read(hint, (width, height)) for hint in hints)
    return [hint._replace(x=hint.x * factors[0], y=hint.y * factors[1]) for hint in read]
