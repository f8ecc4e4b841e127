"""`VideoColorizer`: one video file of the command, from disk to disk."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ..io.image_colorizer import progress_bar
from .colorize import colorize_video
from .series import Series


@dataclass(frozen=True)
class VideoColorizer:
    """Colorizes video files and shows their progress.

    Example:
        >>> colorizer = VideoColorizer(lambda: Series(pipe, "first", propagate=True))
        >>> colorizer(Path("old.mp4"), Path("new.mp4"))
        'new.mp4 (1920x1080, 240 frames)'

    Attributes:
        new_series: returns what colorizes the frames of one video.
        quality: see `video.colorize_video`.
        on_warning: called with one line about a defect of the video.
        keep_sound, deinterlace: see `video.colorize_video`.
    """

    new_series: Callable[[], Series]
    quality: int | None = None
    on_warning: Callable[[str], None] = print
    keep_sound: bool = True
    deinterlace: bool = True

    def __call__(self, source: str | Path, target: str | Path) -> str:
        """Colorize one video and return what was written, as text.

        Args:
            source: the video to read.
            target: the video to write.

        Raises:
            ImportError, ValueError, OSError: see `video.colorize_video`.
        """
        with progress_bar(unit="frame") as bar:

            def show(done: int, total: int | None) -> None:
                bar.total = total
                bar.update(done - bar.n)

            video = colorize_video(
                source,
                target,
                self.new_series(),
                quality=self.quality,
                keep_sound=self.keep_sound,
                deinterlace=self.deinterlace,
                progress=show,
            )
        if video.damaged:
            self.on_warning(f"{source}: {video.damaged} damaged packets were left out")
        if video.interlaced:
            done = "was" if self.deinterlace else "was not"
            self.on_warning(f"{source}: is interlaced and {done} deinterlaced (--[no-]deinterlace)")
        width, height = video.size
        return f"{video.target} ({width}x{height}, {video.frames} frames)"
