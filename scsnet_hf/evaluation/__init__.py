"""Measures a model on colour photographs: shrink, take the colour away, bring both back, compare.

pixels.py     a picture in the units of the measures
samples.py    what is restored, with the references that go with it
methods.py    what is compared: floors, ceiling, cascades and the modes of a pipeline
stages.py     what cascades are made of: colorizers and upscalers of other projects
measures.py   numbers of results of the truth's size
behaviour.py  how results change with the reference, the magnification and the source's size
report.py     all of it over a stream of photographs, and the tables

Every number is of 8-bit sRGB pictures; CIE Lab is that of color.py. Low-resolution pictures are
made by Pillow's antialiased bicubic kernel.
"""

from .behaviour import HueFollowing, Stability, circular_correlation
from .measures import Closeness, Colors, Measure, Perceptual, psnr
from .methods import cascade, methods_of
from .pixels import Pixels
from .report import evaluate, markdown_tables
from .samples import Sample, make_samples
from .stages import Stage, load_stage

__all__ = [
    "Closeness",
    "Colors",
    "HueFollowing",
    "Measure",
    "Perceptual",
    "Pixels",
    "Sample",
    "Stability",
    "Stage",
    "cascade",
    "circular_correlation",
    "evaluate",
    "load_stage",
    "make_samples",
    "markdown_tables",
    "methods_of",
    "psnr",
]
