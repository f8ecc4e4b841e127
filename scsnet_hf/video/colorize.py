"""`colorize_video`: a video in, a color video with the same sound out.

PyAV is imported when a video is colorized: `pip install 'scsnet_hf[video]'`.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..io.atomic_files import replacing
from ..io.extras import needs_extra
from ..io.folders import WRITABLE_VIDEO_SUFFIXES
from .segments import Layout, Segments, VideoProgress, file_sha256

if TYPE_CHECKING:
    from .reading import Frame, Video
    from .series import Series

SEGMENT_FRAMES = 24  # what a killed run loses at most

_DEFAULT_CRF = 16  # of x264; differences are hard to see
_WORST_CRF = 51

OnFrame = Callable[[int, int | None], None]


@dataclass(frozen=True)
class ColorizedVideo:
    """The result of `colorize_video`.

    Attributes:
        target: the file.
        frames: number of frames.
        size: (width, height) in pixels.
        resumed: number of frames that an earlier run had finished.
        damaged: packets of the source that could not be decoded; their frames are missing.
        interlaced: whether the source is interlaced.
    """

    target: Path
    frames: int
    size: tuple[int, int]
    resumed: int
    damaged: int
    interlaced: bool


def colorize_video(
    source: str | Path,
    target: str | Path,
    series: "Series",
    *,
    quality: int | None = None,
    keep_sound: bool = True,
    deinterlace: bool = True,
    progress: OnFrame = lambda done, total: None,
) -> ColorizedVideo:
    """Colorize a video.

    A run that was killed resumes when the same call is made again, at most 24 frames before where
    it was, and ends with the same file, bit for bit. Until then its finished segments are in the
    folder TARGET.parts. The video appears under its name only when it is complete.

    Kept: the number of frames and their time stamps (in .mkv files to a millisecond, from 0), sound
    and subtitles bit for bit, chapters, titles, the pixel aspect ratio. Rotation is applied.
    Dropped: covers, attachments, transparency, further video streams.

    The network sees frames as R'G'B' of 8 bits; high dynamic range is not tone-mapped. The result
    is H.264 in BT.709, 4:2:0, 8 bits, which every player shows, with the last row or column
    repeated at an odd side. If the source changes its size, frames are resized to the first result.
    Memory does not grow with the length of the video.

    Packets that cannot be decoded are left out and counted; the previous frame stays for as long.
    Where time stamps jump back, as in concatenated videos, frames follow at once and sound is left
    out: remux such a video with FFmpeg first.

    Args:
        source: any video that FFmpeg decodes.
        target: .mp4, .m4v, .mov or .mkv; an existing file is replaced.
        series: colorizes the frames; its state is reset.
        quality: 1 to 100, which is CRF 50 to 0 of x264; None is CRF 16, hard to tell from the
            network's output. At 100 only color resolution is lost, but few players show it.
        keep_sound: False drops the sound.
        deinterlace: False colorizes interlaced frames as they are.
        progress: called with the number of finished frames and of all frames, which may be an
            estimate, or None if unknown: once at the start and after each frame.

    Returns:
        The file and what is in it.

    Raises:
        ImportError: if PyAV is not installed.
        VideoError: a ValueError, if the source is not a video or none of its frames can be
            decoded, or the target cannot be written or cannot hold the sound.
        ValueError: if `quality` is out of range, or TARGET.parts belongs to a video that was
            started with other arguments.
        OSError: if a file cannot be read or written. Finished segments stay.
    """
    source, target = Path(source), Path(target)
    _check_arguments(source, target, quality)
    with needs_extra("video", "videos"):
        from .writing import join_segments  # noqa: F401, whether PyAV can be imported
    crf = _DEFAULT_CRF if quality is None else round(_WORST_CRF * (100 - quality) / 100)
    return _colorize(source, target, series, crf, keep_sound, deinterlace, progress)


def _check_arguments(source: Path, target: Path, quality: int | None) -> None:
    if target.suffix.lower() not in WRITABLE_VIDEO_SUFFIXES:
        raise ValueError(
            f"{target}: a video is written as {' '.join(sorted(WRITABLE_VIDEO_SUFFIXES))}, not as "
            f"{target.suffix or 'a file without suffix'}"
        )
    if source.resolve() == target.resolve():
        raise ValueError(f"{target}: the result would overwrite the source")
    if quality is not None and not 1 <= quality <= 100:
        raise ValueError(f"quality={quality}: must be from 1 to 100")


def _colorize(
    source: Path,
    target: Path,
    series: "Series",
    crf: int,
    keep_sound: bool,
    deinterlace: bool,
    progress: OnFrame,
) -> ColorizedVideo:
    from .reading import open_video
    from .writing import encoder_version, join_segments, sound_to_transcode

    with open_video(source, deinterlace) as video:
        transcoded = sound_to_transcode(source, target, keep_sound)
        settings = {
            "source": file_sha256(source),
            "quality": crf,
            "version": __version__,
            "encoder": encoder_version(),
            "deinterlace": deinterlace,
            **series.settings(),
        }
        segments = Segments(target, settings)
        done, state = segments.load()
        resumed = done.frames
        progress(resumed, done.frames if done.finished else video.expected_frames)
        if not done.finished:
            series.load_state(state)
            _colorize_segments(video, series, segments, done, crf, progress)
        layout = _layout(video, done, crf)
        last_duration = done.last_duration * video.time_base
    files = [segments.path(index) for index in range(done.segments)]
    join_segments(files, layout, last_duration, source, segments.joined, transcoded, keep_sound)
    segments.finish()
    return ColorizedVideo(target, done.frames, done.size, resumed, done.damaged, done.interlaced)


def _colorize_segments(
    video: "Video",
    series: "Series",
    segments: Segments,
    done: VideoProgress,
    crf: int,
    progress: OnFrame,
) -> None:
    """Colorize the rest of a video; `done` and the state are saved after every segment."""
    from .writing import even_size, write_segment

    def colorized(frames: "Iterable[Frame]") -> "Iterator[Frame]":
        for frame in frames:
            image = series(frame.image)
            done.frames += 1
            done.last_duration = frame.duration
            progress(done.frames, video.expected_frames)
            yield replace(frame, image=image)

    def save() -> None:
        done.damaged, done.interlaced = video.damaged, video.interlaced
        segments.save(done, series.state())

    frames = video.frames(skip=done.frames)
    for first in frames:
        results = colorized(chain([first], islice(frames, SEGMENT_FRAMES - 1)))
        first_result = next(results)
        if done.size is None:
            done.size = even_size(first_result.image)
            done.aspect = video.aspect and str(video.aspect)
        with replacing(segments.path(done.segments)) as temporary:
            write_segment(temporary, chain([first_result], results), _layout(video, done, crf))
        done.segments += 1
        save()
    done.finished = True
    save()


def _layout(video: "Video", done: VideoProgress, crf: int) -> Layout:
    aspect = done.aspect and Fraction(done.aspect)
    return Layout(done.size, video.time_base, video.rate, aspect, crf)
