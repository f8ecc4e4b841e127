"""Measures a model on color photographs: shrink, take the color away, bring both back, compare.

pixels.py     an image in the units of the measures
samples.py    what is restored, with the references that go with it
methods.py    what is compared: floors, ceiling, cascades and the modes of a pipeline
stages.py     what cascades are made of: colorizers and upscalers of other projects
exchange.py   folders of images for programs that are run apart
protocol.py   which images are restored in which mode
measures.py   numbers of results of the truth's size
sets.py       distances of the set of results and the set of truths
behavior.py  how results change with the reference, the magnification and the source's size
flicker.py    how steady colors are in videos
hashes.py     what tells images and weights from others
journal.py    what was measured of each image, so that a run can go on
trials.py     all of it over a stream of photographs
report.py     the tables, and the record of a run

Every number is of 8-bit sRGB images; CIE Lab is that of color.py. Low-resolution images are
made by Pillow's antialiased bicubic kernel.
"""

from .behavior import HueFollowing, Stability, circular_correlation
from .exchange import made_elsewhere, pairs_of, write_inputs
from .hashes import image_sha256, weights_sha256
from .journal import Journal
from .measures import (
    Closeness,
    Colors,
    Measure,
    Perceptual,
    psnr,
)
from .methods import (
    FLOORS_AND_CEILING,
    MODES,
    Method,
    cascade,
    modes_of,
)
from .pixels import Pixels
from .protocol import (
    EVERY_MODE,
    PAPER,
    PAPER_IMAGES,
    PAPER_SIDE,
    PROTOCOLS,
    Protocol,
)
from .report import (
    markdown_tables,
    paper_tables,
    record_of,
    table_rows,
)
from .run import Evaluation, compare, evaluate
from .samples import Sample, make_samples
from .sets import Distribution
from .stages import Stage, load_stage

__all__ = [
    "EVERY_MODE",
    "FLOORS_AND_CEILING",
    "MODES",
    "PAPER",
    "PAPER_IMAGES",
    "PAPER_SIDE",
    "PROTOCOLS",
    "Closeness",
    "Colors",
    "Distribution",
    "Evaluation",
    "HueFollowing",
    "Journal",
    "Measure",
    "Method",
    "Perceptual",
    "Pixels",
    "Protocol",
    "Sample",
    "Stability",
    "Stage",
    "cascade",
    "circular_correlation",
    "compare",
    "evaluate",
    "image_sha256",
    "load_stage",
    "made_elsewhere",
    "make_samples",
    "markdown_tables",
    "modes_of",
    "pairs_of",
    "paper_tables",
    "psnr",
    "record_of",
    "table_rows",
    "weights_sha256",
    "write_inputs",
]
