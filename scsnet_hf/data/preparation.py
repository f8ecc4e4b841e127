"""A local copy of selected photographs, as parquet files: `prepare`."""

import errno
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from ..io.atomic_files import TEMPORARY_PREFIX, replacing
from ..io.run_settings import check_same_settings, write_json
from .photographs import encoded_bytes, encoded_size, open_photograph, stream_photographs
from .selection import Selection, thumbnail_colorfulness
from .sources import resolve_source

if TYPE_CHECKING:
    import datasets

_ROW_GROUP = 10  # images; row groups are shuffled, and shared by loader workers
_JPEG_QUALITY = 92  # of reduced images
_SETTINGS_FILE, _STATE_FILE = "settings.json", "state.json"
_LIMIT_FILE = "colorfulness.json"


@dataclass(frozen=True)
class Preparation:
    """The source of a local copy, and what is done to its images.

    Args:
        source: a name, path or Hub id, see `stream_photographs`.
        split: of the data set, "train+test" for several; None for that of the source.
        min_bytes: smallest size of the encoded file, in bytes; None for that of the source.
        min_colorfulness: smallest colorfulness; None for that of the source.
        keep: number of images to keep, the most colorful of those that are large enough, instead
            of `min_colorfulness`. A first pass over all images finds the limit.
        short_side: reduce images with a larger short side to it, in pixels; None keeps all sizes.
        shard_size: images per parquet file.
        limit: number of images to write; None for all.
        image_column: column of the images, see `DataSource`.

    Raises:
        ValueError: if a number is not positive.

    Example:
        >>> prepare(Preparation("album/", min_colorfulness=15, short_side=512), Path("prepared"))
    """

    source: str
    split: str | None = None
    min_bytes: int | None = None
    min_colorfulness: float | None = None
    keep: int | None = None
    short_side: int | None = None
    shard_size: int = 1000
    limit: int | None = None
    image_column: str | None = None

    def __post_init__(self):
        for name in ("keep", "short_side", "shard_size", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        if self.keep is not None and (self.min_colorfulness, self.limit) != (None, None):
            raise ValueError("keep excludes min_colorfulness and limit")
        _ = self.selection

    @property
    def selection(self) -> Selection:
        """The selection of the source, with the limits that are given here."""
        given = {"min_bytes": self.min_bytes, "min_colorfulness": self.min_colorfulness}
        own = resolve_source(self.source).selection
        return replace(own, **{name: value for name, value in given.items() if value is not None})

    def stream(self) -> "datasets.IterableDataset":
        """All encoded images of the source."""
        source = resolve_source(self.source, self.image_column, Selection())
        return stream_photographs(replace(source, split=self.split or source.split))


@dataclass
class Progress:
    """The progress of a preparation.

    Args:
        shards: number of parquet files written.
        seen: number of images read from the source.
        kept: number of images taken.
        unreadable: number in the source (from 0), name and error of each unreadable image,
            separated by tabs.
        finished: whether the source has been read to its end, or to the limit.
        files_sha256: of the finished list of files, which is the same for the same images.
    """

    shards: int = 0
    seen: int = 0
    kept: int = 0
    unreadable: list[str] = field(default_factory=list)
    finished: bool = False
    files_sha256: str = ""


def prepare(
    preparation: Preparation,
    output: str | Path,
    on_image: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Write selected photographs to `output`/photographs-00000.parquet and so on.

    The columns are `image` (the encoded image as it was; reduced ones are JPEG of quality 92
    without chroma subsampling), `width` and `height` in pixels, upright, `colorfulness`, the
    `thumbnail_colorfulness` before reduction, and `sha256` of the source's file.
    `stream_photographs(output)` reads them. files.txt has hash and name of each, in the order of
    hashes, so that its own hash tells whether two copies are of the same images.

    An interrupted run resumes after its last complete file, and ends with the same files; a
    finished one is not touched. state.json has the progress, skipped.txt the unreadable images.

    Args:
        preparation: what to write.
        output: folder, new or of an earlier run.
        on_image: called after each image of the source.

    Returns:
        The final progress.

    Raises:
        ValueError: if `output` has other files or belongs to another run, the source cannot be
            read, or no image is left.
        OSError: if a file cannot be written, for instance on a full disk. Complete files are kept.
    """
    output = Path(output)
    progress, stream_state = _start_or_resume(preparation, output)
    if progress.finished:
        return progress
    if preparation.keep:
        preparation = _with_limit_of_colorfulness(preparation, output)
    stream = preparation.stream()
    if stream_state:
        stream.load_state_dict(stream_state)
    rows = []
    for row in stream:
        if progress.kept == preparation.limit:
            break
        made = _make_row(row["image"], preparation, progress)
        progress.seen += 1
        if made:
            progress.kept += 1
            rows.append(made)
        if len(rows) == preparation.shard_size:
            _write_shard(rows, output, progress)
            _write_state(output, progress, stream.state_dict())
            rows = []
        on_image(progress)
    if rows:
        _write_shard(rows, output, progress)
    if progress.kept == 0:
        raise ValueError(f"none of the {progress.seen} images of {preparation.source} is left")
    with replacing(output / "skipped.txt") as temporary:
        temporary.write_text("".join(f"{line}\n" for line in progress.unreadable))
    progress.files_sha256 = _write_list(output)
    progress.finished = True
    _write_state(output, progress, None)
    return progress


def prepared_images(folder: str | Path) -> int | None:
    """Return the number of images that a finished `prepare` left in a folder, None for others."""
    file = Path(folder) / _STATE_FILE
    progress = json.loads(file.read_text())["progress"] if file.is_file() else {}
    return progress["kept"] if progress.get("finished") else None


def _start_or_resume(preparation: Preparation, output: Path) -> tuple[Progress, dict | None]:
    """Return the progress of an earlier run, and the state of its stream."""
    for remains in output.glob(f"{TEMPORARY_PREFIX}*"):  # of a killed run
        remains.unlink()
    if not (output / _SETTINGS_FILE).exists() and output.exists() and any(output.iterdir()):
        raise ValueError(f"{output}: has other files; choose a new folder")
    check_same_settings(output / _SETTINGS_FILE, asdict(preparation))
    if not (output / _STATE_FILE).exists():
        return Progress(), None
    state = json.loads((output / _STATE_FILE).read_text())
    return Progress(**state["progress"]), state["stream"]


def _with_limit_of_colorfulness(preparation: Preparation, output: Path) -> Preparation:
    """Replace `keep` by the colorfulness that the last image to keep has, and the limit.

    It is measured once and kept; a measurement that is interrupted starts again.
    """
    file = output / _LIMIT_FILE
    if not file.exists():
        values = sorted(_measure_colorfulness(preparation), reverse=True)
        if len(values) < preparation.keep:
            raise ValueError(f"{preparation.source} has {len(values)} images, keep fewer of them")
        write_json(file, {"min_colorfulness": values[preparation.keep - 1], "of": len(values)})
    limit = json.loads(file.read_text())["min_colorfulness"]
    return replace(preparation, keep=None, min_colorfulness=limit, limit=preparation.keep)


def _measure_colorfulness(preparation: Preparation) -> Iterator[float]:
    for row in preparation.stream():
        with suppress(OSError, ValueError):  # unreadable ones are listed by the second pass
            if encoded_size(row["image"]) >= preparation.selection.min_bytes:
                yield thumbnail_colorfulness(open_photograph(row["image"]))


def _write_list(output: Path) -> str:
    """Write files.txt, and return its SHA-256."""
    from pyarrow import parquet

    files = []
    for path in output.glob("*.parquet"):
        table = parquet.ParquetFile(path).read(columns=["sha256", "image.path"])
        names = [image["path"] or "" for image in table["image"].to_pylist()]
        files += zip(table["sha256"].to_pylist(), names, strict=True)
    text = "".join(f"{sha256}  {name}\n" for sha256, name in sorted(files))
    with replacing(output / "files.txt") as temporary:
        temporary.write_text(text)
    return hashlib.sha256(text.encode()).hexdigest()


def _make_row(encoded: dict | None, preparation: Preparation, progress: Progress) -> dict | None:
    """Return the row of an image, None if it is not taken."""
    selection = preparation.selection
    name = encoded["path"] and Path(encoded["path"]).name if encoded else None
    try:
        if encoded_size(encoded) < selection.min_bytes:
            return None
        image = open_photograph(encoded)
    except (OSError, ValueError) as error:
        progress.unreadable.append(f"{progress.seen}\t{name or ''}\t{error}")
        return None
    if selection.rejection_reason(image):
        return None
    smaller = _reduced(image, preparation.short_side)
    original = encoded_bytes(encoded)
    content = original if smaller is image else _as_jpeg(smaller)
    return {
        "image": {"bytes": content, "path": name},
        "width": smaller.width,
        "height": smaller.height,
        "colorfulness": thumbnail_colorfulness(image),
        "sha256": hashlib.sha256(original).hexdigest(),
    }


def _reduced(image: Image.Image, short_side: int | None) -> Image.Image:
    if short_side is None or min(image.size) <= short_side:
        return image
    factor = short_side / min(image.size)
    size = tuple(max(short_side, round(side * factor)) for side in image.size)
    return image.resize(size, Image.Resampling.BICUBIC)


def _as_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling="4:4:4")
    return buffer.getvalue()


def _write_shard(rows: list[dict], output: Path, progress: Progress) -> None:
    import datasets
    import pyarrow
    from pyarrow import parquet

    features = datasets.Features(
        image=datasets.Image(),
        width=datasets.Value("int32"),
        height=datasets.Value("int32"),
        colorfulness=datasets.Value("float32"),
        sha256=datasets.Value("string"),
    )
    table = pyarrow.Table.from_pylist(rows, schema=features.arrow_schema)
    path = output / f"photographs-{progress.shards:05}.parquet"
    try:
        with replacing(path) as temporary:
            parquet.write_table(table, temporary, row_group_size=_ROW_GROUP)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        advice = "no space left; complete files are kept. Free some and run the same again"
        raise OSError(error.errno, advice, str(path)) from error
    progress.shards += 1


def _write_state(output: Path, progress: Progress, stream: dict | None) -> None:
    write_json(output / _STATE_FILE, {"progress": asdict(progress), "stream": stream})
