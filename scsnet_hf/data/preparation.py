"""A local copy of selected photographs, as parquet files: `prepare`."""

import errno
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from PIL import Image

from .sources import (
    Selection,
    encoded_bytes,
    encoded_size,
    measured_colorfulness,
    open_photograph,
    resolve_source,
    stream_photographs,
)

_ROW_GROUP = 100  # images, so that loader workers can share a file
_QUALITY = 92  # of JPEG, for reduced images


@dataclass(frozen=True)
class Preparation:
    """What a local copy is made of.

    Args:
        source: what `stream_photographs` takes, as a string.
        min_bytes: smallest size of the encoded file; None for the source's own.
        min_colorfulness: smallest colorfulness; None for the source's own.
        short_side: pixels that a larger short side is reduced to; None to keep every image.
        shard_size: images a parquet file.
        limit: images in all; None for all there are.
        image_column: column of the images, see `DataSource`.

    Raises:
        ValueError: if a number is not positive.
    """

    source: str
    min_bytes: int | None = None
    min_colorfulness: float | None = None
    short_side: int | None = None
    shard_size: int = 1000
    limit: int | None = None
    image_column: str | None = None

    def __post_init__(self):
        for name in ("short_side", "shard_size", "limit"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        _ = self.selection

    @property
    def selection(self) -> Selection:
        """The source's selection with the numbers given here."""
        given = {"min_bytes": self.min_bytes, "min_colorfulness": self.min_colorfulness}
        own = resolve_source(self.source).selection
        return replace(own, **{name: value for name, value in given.items() if value is not None})


@dataclass
class Progress:
    """How far a preparation is.

    Args:
        shards: parquet files written.
        seen: images read from the source.
        kept: images of those that were taken.
        unreadable: number in the source (from 0), name and error of each unreadable image.
        finished: whether that is all.
    """

    shards: int = 0
    seen: int = 0
    kept: int = 0
    unreadable: list[str] = field(default_factory=list)
    finished: bool = False


def prepare(
    preparation: Preparation,
    output: Path,
    on_image: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Write selected photographs to `output`/photographs-00000.parquet and so on.

    The columns are `image` (the encoded image as it was; reduced ones are JPEG of quality 92
    without chroma subsampling), `width` and `height` in pixels, upright, and `colorfulness`, the
    `measured_colorfulness` before reduction. `stream_photographs(output)` reads them.

    A run that was cut off at any point goes on after its last finished file, to the same files; a
    finished one is left as it is. state.json holds how far it is, left_out.txt the unreadable
    images.

    Args:
        preparation: what to write.
        output: folder, new or of an earlier run.
        on_image: called after each image of the source.

    Raises:
        ValueError: if `output` holds something else, if the source cannot be read, or if no
            image is left.
        OSError: if a file cannot be written, as for want of space. What is finished stays.
    """
    progress, stream_state = _begin(preparation, output)
    if progress.finished:
        return progress
    source = resolve_source(preparation.source, preparation.image_column, Selection())
    stream = stream_photographs(source)
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
            _write_state(preparation, output, progress, stream.state_dict())
            rows = []
        on_image(progress)
    if rows:
        _write_shard(rows, output, progress)
    if progress.kept == 0:
        raise ValueError(f"none of the {progress.seen} images of {preparation.source} is left")
    _write(output / "left_out.txt", "".join(f"{line}\n" for line in progress.unreadable))
    progress.finished = True
    _write_state(preparation, output, progress, None)
    return progress


def _begin(preparation: Preparation, output: Path) -> tuple[Progress, dict | None]:
    """How far an earlier run came, and the state of its stream."""
    record = output / "state.json"
    if not record.exists():
        if output.exists() and any(path.name != ".state.json.partial" for path in output.iterdir()):
            raise ValueError(f"{output}: holds other files; choose a new folder")
        output.mkdir(parents=True, exist_ok=True)
        _write_state(preparation, output, Progress(), None)
    state = json.loads(record.read_text())
    given, earlier = asdict(preparation), state["arguments"]
    differences = [
        f"{name} {earlier.get(name)} instead of {value}"
        for name, value in given.items()
        if earlier.get(name) != value
    ]
    if differences:
        raise ValueError(
            f"{output}: was begun with {', '.join(differences)}; "
            "give the same arguments or choose a new folder"
        )
    return Progress(**state["progress"]), state["stream"]


def _make_row(encoded: dict | None, preparation: Preparation, progress: Progress) -> dict | None:
    """The row of an image; None if it is left out."""
    selection = preparation.selection
    name = encoded["path"] and Path(encoded["path"]).name if encoded else None
    try:
        if encoded_size(encoded) < selection.min_bytes:
            return None
        image = open_photograph(encoded)
    except (OSError, ValueError) as error:
        progress.unreadable.append(f"{progress.seen}\t{name or ''}\t{error}")
        return None
    if selection.reason_against(image):
        return None
    smaller = _reduced(image, preparation.short_side)
    content = encoded_bytes(encoded) if smaller is image else _as_jpeg(smaller)
    return {
        "image": {"bytes": content, "path": name},
        "width": smaller.width,
        "height": smaller.height,
        "colorfulness": measured_colorfulness(image),
    }


def _reduced(image: Image.Image, short_side: int | None) -> Image.Image:
    if short_side is None or min(image.size) <= short_side:
        return image
    factor = short_side / min(image.size)
    size = tuple(max(short_side, round(side * factor)) for side in image.size)
    return image.resize(size, Image.Resampling.BICUBIC)


def _as_jpeg(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=_QUALITY, subsampling="4:4:4")
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
    )
    table = pyarrow.Table.from_pylist(rows, schema=features.arrow_schema)
    path = output / f"photographs-{progress.shards:05}.parquet"
    _replace(path, lambda part: parquet.write_table(table, part, row_group_size=_ROW_GROUP))
    progress.shards += 1


def _write_state(
    preparation: Preparation, output: Path, progress: Progress, stream: dict | None
) -> None:
    state = {"arguments": asdict(preparation), "progress": asdict(progress), "stream": stream}
    _write(output / "state.json", json.dumps(state, indent=2) + "\n")


def _write(path: Path, text: str) -> None:
    _replace(path, lambda part: part.write_text(text))


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Write under a temporary name, then rename: `path` is whole at any time, or not there."""
    part = path.with_name(f".{path.name}.partial")
    try:
        write(part)
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise OSError(
            error.errno,
            "no space left; earlier files are kept. Free some and run the same again",
            str(path),
        ) from error
