"""Which images are restored in which mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .measures import Numbers
from .methods import (
    AUTOMATIC,
    MODES,
    SELF_REFERENCE,
    UNRELATED_REFERENCE,
    Method,
)

REFERENCES = (SELF_REFERENCE, UNRELATED_REFERENCE)
REFERENTIAL = "referential"  # both together, as in the paper's Table 1


@dataclass(frozen=True)
class Protocol:
    """Modes by image; a method sees the images of its mode.

    Args:
        cycle: the modes of the first image, of the second, and so on, and then over again.
    """

    cycle: tuple[tuple[str, ...], ...]

    def due(self, index: int, methods: Mapping[str, Method]) -> dict[str, Method]:
        """The methods that see image `index`."""
        modes = self.cycle[index % len(self.cycle)]
        return {name: method for name, method in methods.items() if method.mode in modes}

    def with_referential(self, told: Sequence[dict[str, Numbers]]) -> list[dict[str, Numbers]]:
        """What was told of images, with `REFERENTIAL` where no image has both references."""
        if any(set(REFERENCES) <= set(modes) for modes in self.cycle):
            return list(told)
        return [_with_referential(numbers) for numbers in told]


def _with_referential(numbers: dict[str, Numbers]) -> dict[str, Numbers]:
    name = next((mode for mode in REFERENCES if mode in numbers), None)
    return {**numbers, REFERENTIAL: numbers[name]} if name else numbers


EVERY_MODE = Protocol((MODES,))

# Sec. 4.2: of 5,000 images 2,500 are automatic, 500 have themselves as reference, 2,000 another.
# Every tenth of a run has them in this ratio, so that a smaller one does as well.
PAPER = Protocol(4 * ((AUTOMATIC,), (UNRELATED_REFERENCE,)) + ((AUTOMATIC,), (SELF_REFERENCE,)))
PAPER_IMAGES = 5000
PAPER_SIDE = 512  # pixels of the truth, 128 of the source

PROTOCOLS = {"every-mode": EVERY_MODE, "paper": PAPER}
