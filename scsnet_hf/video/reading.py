"""Videos in: every frame upright, in R'G'B' of 8 bits, with its time stamp.

PyAV is needed; `scsnet_hf.video.colorize` imports this module when there is a video.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image

# Flags of FFmpeg's scaler, which not every version of PyAV has names for: bicubic, full resolution
# of colors both ways, accurate rounding, the same bits on every machine.
EXACT = 0x4 | 0x2000 | 0x4000 | 0x40000 | 0x80000

_UNTOLD = 2  # AVCOL_SPC_UNSPECIFIED
_LARGEST_SD = (1279, 576)  # pixels, from which on players take BT.709 for granted

# How a display matrix (a, b, c, d), x' = a x + c y and y' = b x + d y, is undone by Pillow.
_UPRIGHT = {
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
_TURNING = tuple(matrix for matrix in _UPRIGHT if matrix[0] == 0)


class VideoError(ValueError):
    """A video that cannot be read or written; the message is one line that names it."""


@dataclass(frozen=True)
class Frame:
    """A frame of a video."""

    image: Image.Image  # RGB, upright
    time: int  # in `Video.time_base`, larger than that of the frame before
    duration: int  # the same


@dataclass
class Video:
    """An open video.

    Attributes:
        path: its file.
        time_base: seconds a unit of time stamps.
        rate: frames a second, on average.
        expected: number of frames, as the file says or as length and rate tell; None if unknown.
        damaged: packets that could not be decoded so far.
        interlaced: whether a frame so far was marked as two fields.
        aspect: of a pixel of upright frames; None if the file does not say. Known from the first
            frame on.
    """

    path: Path
    time_base: Fraction
    rate: Fraction
    expected: int | None
    _container: av.container.InputContainer = field(repr=False)
    _stream: av.VideoStream = field(repr=False)
    damaged: int = 0
    interlaced: bool = False
    aspect: Fraction | None = None

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """Frames in the order in which they are shown; what is damaged is left out.

        Args:
            skip: how many to leave out at the beginning; they are decoded all the same.
        """
        time = None
        usual = max(1, round(1 / (self.rate * self.time_base)))
        for index, decoded in enumerate(self._decoded()):
            following = None if time is None else time + 1
            if decoded.pts is None:
                time = 0 if time is None else time + usual
            else:
                time = decoded.pts if following is None else max(decoded.pts, following)
            self.interlaced |= decoded.interlaced_frame
            matrix = _display_matrix(decoded)
            if self.aspect is None:
                self.aspect = _pixel_aspect(self._stream, matrix)
            if index >= skip:
                yield Frame(_upright_image(decoded, matrix), time, decoded.duration or usual)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                self.damaged += 1

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self._container.demux(self._stream)
        except (av.error.EOFError, av.error.InvalidDataError):
            self.damaged += 1


@contextmanager
def open_video(path: Path) -> Iterator[Video]:
    """Open a video to read its frames.

    Raises:
        VideoError: if it is no video, or has no images that can be decoded.
        OSError: if there is no such file, or it cannot be read.
    """
    with opened(path) as container:
        stream = image_stream(container, path)
        rate = stream.guessed_rate or stream.average_rate or Fraction(25)
        yield Video(path, stream.time_base, rate, _expected(container, stream), container, stream)


@contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A file as PyAV opens it.

    Raises:
        VideoError, OSError: see `open_video`.
    """
    try:
        container = av.open(str(path), metadata_errors="replace")
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise VideoError(f"{path}: is no video that can be read ({error.strerror})") from None
    with container:
        yield container


def image_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The moving images of a container; a cover is none. Raises VideoError without any."""
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise VideoError(f"{path}: has no moving images")
    if streams[0].codec_context is None:
        raise VideoError(f"{path}: its images are of a kind that cannot be decoded")
    return streams[0]


def _expected(container: av.container.InputContainer, stream: av.VideoStream) -> int | None:
    if stream.frames:
        return stream.frames
    if container.duration is None or stream.average_rate is None:
        return None
    return round(container.duration / av.time_base * stream.average_rate)


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...]:
    """Signs of a, b, c, d; what is no multiple of a quarter turn is left as it is."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return (1, 0, 0, 1)
    values = np.frombuffer(data, dtype=np.int32).reshape(3, 3)[:2, :2]
    return tuple(np.sign(values).flatten().tolist())


def _pixel_aspect(stream: av.VideoStream, matrix: tuple[int, ...]) -> Fraction | None:
    aspect = stream.sample_aspect_ratio
    if not aspect:
        return None
    return 1 / aspect if matrix in _TURNING else aspect


def _upright_image(frame: av.VideoFrame, matrix: tuple[int, ...]) -> Image.Image:
    large = frame.width > _LARGEST_SD[0] or frame.height > _LARGEST_SD[1]
    untold = frame.colorspace == _UNTOLD
    rgb = frame.reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU709 if untold and large else None,
        interpolation=EXACT,
    )
    image = Image.fromarray(rgb.to_ndarray())
    return image.transpose(_UPRIGHT[matrix]) if matrix in _UPRIGHT else image
