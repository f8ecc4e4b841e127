"""`make_video`: a video segment by segment, each kept as soon as it is complete.

PyAV is needed; `scsnet_hf.video.colorize` imports this module when there is a video.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

from .. import __version__
from ..io.atomic_files import replacing
from .colorize import ColorizedVideo, OnFrame
from .reading import (
    Frame,
    Video,
    VideoError,
    open_video,
)
from .segments import Parts, Progress, file_sha256
from .series import Series
from .writing import (
    Layout,
    check_holds_sound,
    encoder_version,
    even_size,
    join_segments,
    write_segment,
)

SEGMENT_FRAMES = 24  # what a killed run loses at most


def make_video(
    source: Path, target: Path, series: Series, crf: int, on_frame: OnFrame
) -> ColorizedVideo:
    """As `video.colorize_video`, of arguments that have been checked; `crf` is that of x264."""
    with open_video(source) as video:
        check_holds_sound(source, target)
        settings = {
            "source": file_sha256(source),
            "quality": crf,
            "version": __version__,
            "encoder": encoder_version(),
            **series.settings(),
        }
        parts = Parts(target, settings)
        progress, state = parts.load()
        resumed = progress.frames
        on_frame(resumed, progress.frames if progress.finished else video.expected)
        if not progress.finished:
            series.restore(state)
            _make_segments(video, series, parts, progress, crf, on_frame)
        layout = _layout(video, progress, crf)
        last_duration = progress.last_duration * video.time_base
    segments = [parts.segment(index) for index in range(progress.segments)]
    join_segments(segments, layout, last_duration, source, parts.draft)
    parts.deliver()
    return ColorizedVideo(
        target, progress.frames, progress.size, resumed, progress.damaged, progress.interlaced
    )


def _make_segments(
    video: Video, series: Series, parts: Parts, progress: Progress, crf: int, on_frame: OnFrame
) -> None:
    """Colorize what is left of a video, and keep `progress` and the state after every segment."""

    def colorized(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            image = series(frame.image)
            progress.frames += 1
            progress.last_duration = frame.duration
            on_frame(progress.frames, video.expected)
            yield replace(frame, image=image)

    frames = video.frames(skip=progress.frames)
    for first in frames:
        segment = colorized(chain([first], islice(frames, SEGMENT_FRAMES - 1)))
        begin = next(segment)
        if progress.size is None:
            progress.size = even_size(begin.image)
            progress.aspect = video.aspect and str(video.aspect)
        with replacing(parts.segment(progress.segments)) as temporary:
            write_segment(temporary, chain([begin], segment), _layout(video, progress, crf))
        progress.segments += 1
        _save(parts, progress, video, series)
    if not progress.frames:
        raise VideoError(f"{video.path}: none of its frames can be decoded")
    progress.finished = True
    _save(parts, progress, video, series)


def _layout(video: Video, progress: Progress, crf: int) -> Layout:
    aspect = progress.aspect and Fraction(progress.aspect)
    return Layout(progress.size, video.time_base, video.rate, aspect, crf)


def _save(parts: Parts, progress: Progress, video: Video, series: Series) -> None:
    progress.damaged, progress.interlaced = video.damaged, video.interlaced
    parts.save(progress, series.state())
