"""`colorize_video`: videos in, color videos with the same sound out, to be killed and resumed.

It needs PyAV: `pip install 'scsnet_hf[video]'`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .series import Series

VIDEO_SUFFIXES = frozenset(
    ".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .m2v .vob .ts .mts .m2ts .wmv .asf .flv .3gp .ogv"
    " .mxf .dv".split()
)
WRITABLE_VIDEO_SUFFIXES = frozenset(".mp4 .m4v .mov .mkv".split())

_DEFAULT_CRF = 16  # of x264; differences are hard to see
_WORST_CRF = 51

OnFrame = Callable[[int, int | None], None]


@dataclass(frozen=True)
class ColorizedVideo:
    """What was made of a video.

    Attributes:
        target: its file.
        frames: how many there are.
        size: (width, height) in pixels.
        resumed: how many of the frames an earlier run had made.
        damaged: packets of the source that could not be decoded; their frames are missing.
        interlaced: whether the source has frames of two fields. They were colorized as they are:
            deinterlace such a video first.
    """

    target: Path
    frames: int
    size: tuple[int, int]
    resumed: int
    damaged: int
    interlaced: bool


def video_target(target: Path) -> Path:
    """`target`, with the suffix .mkv where a video of its suffix is not written."""
    return target if _is_writable(target) else target.with_suffix(".mkv")


def colorize_video(
    source: Path,
    target: Path,
    series: "Series",
    *,
    quality: int | None = None,
    progress: OnFrame = lambda done, total: None,
) -> ColorizedVideo:
    """Colorize a video.

    A run that was killed at any moment goes on where it was, at most 24 frames before, when the
    same call is made again, and ends at the same file to the bit as a run that was not. What is
    finished lies in the folder TARGET.parts until then; it is decoded again, but not colorized
    again. The video appears under its name only when it is whole.

    Kept: the number of frames and their time stamps (in .mkv files to a millisecond, the first at
    0), sound and subtitles bit for bit, chapters, titles, the shape of pixels. Rotation is applied.
    Left out: covers, attachments, transparency, further streams of images.

    Frames are R'G'B' of 8 bits to the network; high dynamic range is not mapped. The result is
    H.264 in BT.709, 4:2:0, 8 bits, which every player shows. A result with an odd side gets its
    last row or column twice. Where the source changes its size on the way, frames are brought to
    the size of the first result. Memory does not grow with the length of the video.

    Damage: what cannot be decoded is left out, the frame before stays for as long, and `damaged`
    counts it, but for what the container itself skips. A file that is cut off gives the video up to
    there. Where time stamps jump back, as in videos put together from several, frames follow at
    once and sound is left out: let FFmpeg write such a video anew first.

    Args:
        source: any video that FFmpeg decodes; read only.
        target: .mp4, .m4v, .mov or .mkv; one that is there is replaced.
        series: what colorizes the frames; it begins anew.
        quality: 1 to 100, which is CRF 50 to 0 of x264. None is CRF 16, hard to tell from the
            network's output. At 100 only resolution of colors is lost, but few players show it.
        progress: called with the number of finished frames and that of all of them, which may be an
            estimate, or None if unknown: once at the beginning and after each frame.

    Raises:
        ImportError: if PyAV is not installed.
        reading.VideoError: a ValueError that names the file: if the source is no video or no
            frame of it can be decoded, or the target cannot be written or cannot hold the sound.
        ValueError: on a `quality` out of its range, or if TARGET.parts holds a video that was begun
            with other arguments.
        OSError: if a file cannot be read or written. What is finished stays.
    """
    _check_arguments(source, target, quality)
    try:
        from .making import make_video
    except ImportError as error:
        raise ImportError(
            "videos need PyAV 17.1 or newer: pip install 'scsnet_hf[video]'"
        ) from error
    crf = _DEFAULT_CRF if quality is None else round(_WORST_CRF * (100 - quality) / 100)
    return make_video(source, target, series, crf, progress)


def _check_arguments(source: Path, target: Path, quality: int | None) -> None:
    if not _is_writable(target):
        raise ValueError(
            f"{target}: a video is written as {' '.join(sorted(WRITABLE_VIDEO_SUFFIXES))}, not as "
            f"{target.suffix or 'a file without suffix'}"
        )
    if source.resolve() == target.resolve():
        raise ValueError(f"{target}: the result would overwrite the source")
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"quality={quality}: must be from 1 to 100")


def _is_writable(target: Path) -> bool:
    return target.suffix.lower() in WRITABLE_VIDEO_SUFFIXES
