"""Training pairs from color photographs, streamed with `datasets`.

sources.py      which photographs there are, and the data sets of the paper
pairs.py        what one photograph becomes: source, labels, reference
degradation.py  damage of old photographs, for the source
distortion.py   elastic distortion of references
recoloring.py   other colors for truth and reference alike
stream.py       endless shuffled samples, and the loader whose state can be saved
"""

from .degradation import Degradation
from .distortion import elastic_distortion
from .pairs import PairMaker
from .recoloring import recolor
from .sources import (
    EVALUATION_SPLITS,
    SOURCES,
    DataSource,
    Selection,
    damaged_shards,
    iterate_photographs,
    open_photograph,
    resolve_source,
    stream_photographs,
)
from .stream import (
    LeftOut,
    collate,
    flip_vertically,
    load_position,
    normalized_lab_of,
    save_position,
    training_loader,
    training_stream,
)

__all__ = [
    "EVALUATION_SPLITS",
    "SOURCES",
    "DataSource",
    "Degradation",
    "LeftOut",
    "PairMaker",
    "Selection",
    "collate",
    "damaged_shards",
    "elastic_distortion",
    "flip_vertically",
    "iterate_photographs",
    "load_position",
    "normalized_lab_of",
    "open_photograph",
    "recolor",
    "resolve_source",
    "save_position",
    "stream_photographs",
    "training_loader",
    "training_stream",
]
