"""Frames of a video: upright, in R'G'B' of 8 bits, with their time stamps. It needs PyAV."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import Colorspace
from PIL import Image

# Flags of FFmpeg's scaler, not all of which PyAV has names for: bicubic, full chroma resolution
# both ways, accurate rounding, bit-exact on every machine.
BIT_EXACT_BICUBIC = 0x4 | 0x2000 | 0x4000 | 0x40000 | 0x80000

_UNSPECIFIED = 2  # AVCOL_SPC_UNSPECIFIED
_LARGEST_SD = (1279, 576)  # pixels; players assume BT.709 for larger frames

# What Pillow does to apply a display matrix (a, b, c, d): x' = a x + c y and y' = b x + d y.
_TRANSPOSITIONS = {
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
_QUARTER_TURNS = tuple(matrix for matrix in _TRANSPOSITIONS if matrix[0] == 0)


class VideoError(ValueError):
    """A video cannot be read or written; the message is one line that names it."""


@dataclass(frozen=True)
class Frame:
    """A frame of a video.

    Attributes:
        image: RGB, upright.
        time: in units of `Video.time_base`, later than that of the previous frame.
        duration: in the same units.
    """

    image: Image.Image
    time: int
    duration: int


@dataclass
class Video:
    """An open video.

    Attributes:
        path: the file.
        time_base: unit of time stamps in seconds.
        rate: frames per second, on average.
        expected_frames: number of frames, from the file or from its duration and rate; None if
            unknown.
        damaged: packets so far that could not be decoded.
        interlaced: whether a frame so far was marked as interlaced.
        aspect: width of a pixel of upright frames over its height; None if the file does not say,
            and before the first frame.
        deinterlace: whether frames that are marked as interlaced are deinterlaced.
    """

    path: Path
    time_base: Fraction
    rate: Fraction
    expected_frames: int | None
    _container: av.container.InputContainer = field(repr=False)
    _stream: av.VideoStream = field(repr=False)
    damaged: int = 0
    interlaced: bool = False
    aspect: Fraction | None = None
    deinterlace: bool = True

    def frames(self, skip: int = 0) -> Iterator[Frame]:
        """Yield the frames in the order in which they are shown, without damaged ones.

        Args:
            skip: number of frames to leave out at the start; they are decoded all the same.

        Raises:
            VideoError: at the end, if none of the frames can be decoded.
        """
        time = None
        usual = max(1, round(1 / (self.rate * self.time_base)))
        decoded_frames = self._decoded()
        if self.deinterlace:
            decoded_frames = _deinterlaced(decoded_frames)
        for index, decoded in enumerate(decoded_frames):
            earliest = None if time is None else time + 1
            if decoded.pts is None:
                time = 0 if time is None else time + usual
            else:
                time = decoded.pts if earliest is None else max(decoded.pts, earliest)
            matrix = _display_matrix(decoded)
            if self.aspect is None:
                self.aspect = _pixel_aspect(self._stream, matrix)
            if index >= skip:
                yield Frame(_upright_image(decoded, matrix), time, decoded.duration or usual)
        if time is None:
            raise VideoError(f"{self.path}: none of its frames can be decoded")

    def _decoded(self) -> Iterator[av.VideoFrame]:
        for packet in self._packets():
            try:
                for frame in packet.decode():
                    self.interlaced |= frame.interlaced_frame
                    yield frame
            except av.error.FFmpegError:
                self.damaged += 1

    def _packets(self) -> Iterator[av.Packet]:
        try:
            yield from self._container.demux(self._stream)
        except (av.error.EOFError, av.error.InvalidDataError):
            self.damaged += 1


def _deinterlaced(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Deinterlace what follows the first interlaced frame: one frame for each, at its time."""
    graph, kind = None, None
    for frame in frames:
        if graph is not None and kind != (frame.width, frame.height, frame.format.name):
            yield from _filtered(graph, None)
            graph = None
        if graph is None and frame.interlaced_frame:
            kind = (frame.width, frame.height, frame.format.name)
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            )
            graph.link_nodes(
                source, graph.add("bwdif", "mode=send_frame:deint=interlaced"),
                graph.add("buffersink"),
            ).configure()  # fmt: skip
        if graph is None:
            yield frame
        else:
            yield from _filtered(graph, frame)
    if graph is not None:
        yield from _filtered(graph, None)


def _filtered(graph: av.filter.Graph, frame: av.VideoFrame | None) -> Iterator[av.VideoFrame]:
    """Push a frame, or the end if None, and yield what is ready."""
    graph.vpush(frame)
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


@contextmanager
def open_video(path: Path, deinterlace: bool = True) -> Iterator[Video]:
    """Open a video to read its frames.

    Args:
        path: the file.
        deinterlace: whether frames that are marked as interlaced are deinterlaced.

    Raises:
        VideoError: if the file is not a video, or has no video stream that can be decoded.
        OSError: if the file does not exist or cannot be read.
    """
    with open_container(path) as container:
        stream = video_stream(container, path)
        rate = stream.guessed_rate or stream.average_rate or Fraction(25)
        expected = _expected_frames(container, stream)
        yield Video(
            path, stream.time_base, rate, expected, container, stream, deinterlace=deinterlace
        )


@contextmanager
def open_container(path: Path) -> Iterator[av.container.InputContainer]:
    """Open a file with PyAV.

    Raises:
        VideoError: if the file is not a video.
        OSError: if the file does not exist or cannot be read.
    """
    try:
        container = av.open(str(path), metadata_errors="replace")
    except av.error.FFmpegError as error:
        if isinstance(error, OSError):
            raise
        raise VideoError(f"{path}: is not a video that can be read ({error.strerror})") from None
    with container:
        yield container


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Return the first video stream of a container that is not a cover.

    Raises:
        VideoError: if there is none, or PyAV cannot decode it.
    """
    streams = [
        stream
        for stream in container.streams.video
        if not stream.disposition & av.stream.Disposition.attached_pic
    ]
    if not streams:
        raise VideoError(f"{path}: has no video stream")
    if streams[0].codec_context is None:
        raise VideoError(f"{path}: its video codec is not supported")
    return streams[0]


def _expected_frames(container: av.container.InputContainer, stream: av.VideoStream) -> int | None:
    if stream.frames:
        return stream.frames
    if container.duration is None or stream.average_rate is None:
        return None
    return round(container.duration / av.time_base * stream.average_rate)


def _display_matrix(frame: av.VideoFrame) -> tuple[int, ...]:
    """Signs of a, b, c, d, which only matter for multiples of quarter turns."""
    data = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return (1, 0, 0, 1)
    values = np.frombuffer(data, dtype=np.int32).reshape(3, 3)[:2, :2]
    return tuple(np.sign(values).flatten().tolist())


def _pixel_aspect(stream: av.VideoStream, matrix: tuple[int, ...]) -> Fraction | None:
    aspect = stream.sample_aspect_ratio
    if not aspect:
        return None
    return 1 / aspect if matrix in _QUARTER_TURNS else aspect


def _upright_image(frame: av.VideoFrame, matrix: tuple[int, ...]) -> Image.Image:
    large = frame.width > _LARGEST_SD[0] or frame.height > _LARGEST_SD[1]
    unspecified = frame.colorspace == _UNSPECIFIED
    rgb = frame.reformat(
        format="rgb24",
        src_colorspace=Colorspace.ITU709 if unspecified and large else None,
        interpolation=BIT_EXACT_BICUBIC,
    )
    image = Image.fromarray(rgb.to_ndarray())
    return image.transpose(_TRANSPOSITIONS[matrix]) if matrix in _TRANSPOSITIONS else image
