"""Training samples from color photographs, streamed with `datasets`.

files.py         files of a source: a folder, parquet or .tar files; or the id of a data set
sources.py       sources with their options, and the data sets of the paper
selection.py     limits for file size and colorfulness
colorfulness.py  the measure of colorfulness
photographs.py   streams of encoded photographs, and their decoding
pairs.py         one training sample from one photograph: source, labels, reference
degradation.py   degradations of old photographs, for the source
distortion.py    elastic distortion, for the reference
recoloring.py    other colors, for labels and reference
stream.py        endless shuffled samples, and the loader whose position can be saved
preparation.py   a local copy of selected photographs
"""

from .degradation import Degradation
from .distortion import elastic_distortion
from .pairs import PairMaker
from .photographs import (
    choose_photographs,
    damaged_shards,
    iterate_photographs,
    open_photograph,
    stream_photographs,
)
from .recoloring import recolor
from .selection import Selection
from .sources import EVALUATION_SPLITS, SOURCES, DataSource, resolve_source
from .stream import (
    SkippedImages,
    collate,
    load_position,
    save_position,
    training_loader,
    training_stream,
)

__all__ = [
    "EVALUATION_SPLITS",
    "SOURCES",
    "DataSource",
    "Degradation",
    "PairMaker",
    "Selection",
    "SkippedImages",
    "choose_photographs",
    "collate",
    "damaged_shards",
    "elastic_distortion",
    "iterate_photographs",
    "load_position",
    "open_photograph",
    "recolor",
    "resolve_source",
    "save_position",
    "stream_photographs",
    "training_loader",
    "training_stream",
]
