"""`make_film`: a film segment by segment, each kept as soon as it is complete.

PyAV is needed; `scsnet_hf.film.video` imports this module when there is a film.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path

from .. import __version__
from ..atomic_files import replacing
from .parts import Parts, Progress, file_sha256
from .reading import Film, Frame, VideoError, open_film
from .series import Series
from .video import ColorizedVideo, OnFrame
from .writing import (
    Layout,
    check_holds_sound,
    encoder_version,
    even_size,
    join_segments,
    write_segment,
)

SEGMENT_FRAMES = 24  # what a killed run loses at most


def make_film(
    source: Path, target: Path, series: Series, crf: int, on_frame: OnFrame
) -> ColorizedVideo:
    """As `video.colorize_video`, of arguments that have been checked; `crf` is that of x264."""
    with open_film(source) as film:
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
        on_frame(resumed, progress.frames if progress.finished else film.expected)
        if not progress.finished:
            series.restore(state)
            _make_segments(film, series, parts, progress, crf, on_frame)
        layout = _layout(film, progress, crf)
        last_duration = progress.last_duration * film.time_base
    segments = [parts.segment(index) for index in range(progress.segments)]
    join_segments(segments, layout, last_duration, source, parts.draft)
    parts.deliver()
    return ColorizedVideo(
        target, progress.frames, progress.size, resumed, progress.damaged, progress.interlaced
    )


def _make_segments(
    film: Film, series: Series, parts: Parts, progress: Progress, crf: int, on_frame: OnFrame
) -> None:
    """Colorize what is left of a film, and keep `progress` and the state after every segment."""

    def colorized(frames: Iterable[Frame]) -> Iterator[Frame]:
        for frame in frames:
            picture = series(frame.picture)
            progress.frames += 1
            progress.last_duration = frame.duration
            on_frame(progress.frames, film.expected)
            yield replace(frame, picture=picture)

    frames = film.frames(skip=progress.frames)
    for first in frames:
        segment = colorized(chain([first], islice(frames, SEGMENT_FRAMES - 1)))
        begin = next(segment)
        if progress.size is None:
            progress.size = even_size(begin.picture)
            progress.aspect = film.aspect and str(film.aspect)
        with replacing(parts.segment(progress.segments)) as temporary:
            write_segment(temporary, chain([begin], segment), _layout(film, progress, crf))
        progress.segments += 1
        _save(parts, progress, film, series)
    if not progress.frames:
        raise VideoError(f"{film.path}: none of its frames can be decoded")
    progress.finished = True
    _save(parts, progress, film, series)


def _layout(film: Film, progress: Progress, crf: int) -> Layout:
    aspect = progress.aspect and Fraction(progress.aspect)
    return Layout(progress.size, film.time_base, film.rate, aspect, crf)


def _save(parts: Parts, progress: Progress, film: Film, series: Series) -> None:
    progress.damaged, progress.interlaced = film.damaged, film.interlaced
    parts.save(progress, series.state())
