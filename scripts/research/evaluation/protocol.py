"""Which images are reconstructed in which mode."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .methods import (
    AUTOMATIC,
    MODES,
    NETWORK_ALONE,
    REFERENTIAL,
    SELF_REFERENCE,
    UNRELATED_REFERENCE,
    Method,
)
from .metrics import Numbers

REFERENCES = (SELF_REFERENCE, UNRELATED_REFERENCE)


@dataclass(frozen=True)
class Protocol:
    """The modes of each image; a method is applied to the images of its mode.

    Args:
        cycle: the modes of the first image, of the second, and so on, then from the start again.
    """

    cycle: tuple[tuple[str, ...], ...]

    def modes(self, index: int) -> tuple[str, ...]:
        """Return the modes of image `index`."""
        return self.cycle[index % len(self.cycle)]

    def methods_for(self, index: int, methods: Mapping[str, Method]) -> dict[str, Method]:
        """Select the methods that are applied to image `index`."""
        modes = self.modes(index)
        if set(REFERENCES) & set(modes):
            modes = (*modes, REFERENTIAL)
        return {name: method for name, method in methods.items() if method.mode in modes}

    def add_referential(self, images: Sequence[dict[str, Numbers]]) -> list[dict[str, Numbers]]:
        """Add `REFERENTIAL` to the numbers of images where no image has both references."""
        if any(set(REFERENCES) <= set(modes) for modes in self.cycle):
            return list(images)
        return [_add_referential(numbers) for numbers in images]


def _add_referential(numbers: dict[str, Numbers]) -> dict[str, Numbers]:
    together = {
        REFERENTIAL + kind: numbers[mode + kind]
        for kind in ("", NETWORK_ALONE)
        for mode in REFERENCES
        if mode + kind in numbers
    }
    return numbers | together


EVERY_MODE = Protocol((MODES,))

# Sec. 4.2: of 5,000 images 2,500 are automatic, 500 have themselves as reference, 2,000 another.
# Every ten images of a run have this ratio, so that a shorter run has it as well.
PAPER = Protocol(4 * ((AUTOMATIC,), (UNRELATED_REFERENCE,)) + ((AUTOMATIC,), (SELF_REFERENCE,)))
PAPER_IMAGES = 5000
PAPER_SIDE = 512  # pixels of the truth, 128 of the source

PROTOCOLS = {"every-mode": EVERY_MODE, "paper": PAPER}
