"""Videos out: frames to segments of H.264, and segments to a video with the sound of its source.

PyAV is needed; `scsnet_hf.video.colorize` imports this module when there is a video.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from .reading import (
    EXACT,
    Frame,
    VideoError,
    image_stream,
    opened,
)

_CODEC, _PIXELS = "libx264", "yuv420p"  # what every player shows
_BT709 = 1  # in all three lists of FFmpeg
_THREADS = "4"  # the bits of x264 hang on it
_COPIED = ("audio", "subtitle")
_OF_THE_FILE = {"encoder", "major_brand", "minor_version", "compatible_brands"}  # not of the video
_ADVICE = {  # by whether the target is .mkv already
    False: "write to a .mkv file, which holds more kinds",
    True: "convert it first, sound to FLAC for example",
}
_TOLD_OF_STREAMS = ("language", "title")


@dataclass(frozen=True)
class Layout:
    """What all segments of a video have in common.

    Attributes:
        size: (width, height) in pixels, even.
        time_base: seconds a unit of time stamps.
        rate: frames a second, on average.
        aspect: of a pixel; None if not known.
        crf: constant rate factor of x264, 0 (nothing lost but color resolution) to 51.
    """

    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction
    aspect: Fraction | None
    crf: int


def even_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) of a frame that holds the image: colors are stored for 2x2 pixels."""
    return image.width + image.width % 2, image.height + image.height % 2


def write_segment(path: Path, frames: Iterable[Frame], layout: Layout) -> None:
    """Encode frames, RGB of any size, into a file that starts with a key frame.

    Its bits hang on nothing but its frames and the layout.

    Raises:
        VideoError: if they cannot be encoded.
    """
    try:
        with av.open(str(path), "w", options={"fflags": "bitexact"}) as container:
            stream = _add_encoder(container, layout)
            for frame in frames:
                container.mux(stream.encode(_encodable(frame, layout)))
            container.mux(stream.encode(None))
    except (av.error.ExternalError, av.error.ArgumentError) as error:
        width, height = layout.size
        raise VideoError(
            f"frames of {width}x{height} cannot be encoded ({error.strerror}); make them smaller"
        ) from None


def _add_encoder(container: av.container.OutputContainer, layout: Layout) -> av.VideoStream:
    # Without B-frames the order of decoding is that of showing, and segments join as they are.
    # The assembly of x264 reads memory that nobody wrote: its bits would change from run to run.
    options = {"crf": str(layout.crf), "bf": "0", "threads": _THREADS, "x264-params": "asm=0"}
    stream = container.add_stream(_CODEC, rate=layout.rate, options=options)
    stream.width, stream.height = layout.size
    stream.pix_fmt = _PIXELS
    context = stream.codec_context
    context.time_base = layout.time_base
    if layout.aspect is not None:
        context.sample_aspect_ratio = layout.aspect
    context.color_range = ColorRange.MPEG
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    return stream


def _encodable(frame: Frame, layout: Layout) -> av.VideoFrame:
    levels = np.asarray(_fitted(frame.image, layout.size))
    encodable = av.VideoFrame.from_ndarray(levels).reformat(
        format=_PIXELS,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=EXACT,
    )
    encodable.pts, encodable.time_base = frame.time, layout.time_base
    return encodable


def _fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """An image of an odd side with its last row or column twice; one of another size resized."""
    if even_size(image) != size:
        return image.resize(size, Image.Resampling.BICUBIC)
    if image.size == size:
        return image
    (width, height), (own_width, own_height) = size, image.size
    padding = ((0, height - own_height), (0, width - own_width), (0, 0))
    return Image.fromarray(np.pad(np.asarray(image), padding, mode="edge"))


def encoder_version() -> str:
    """Of all that encodes."""
    return f"PyAV {av.__version__}"


def check_holds_sound(source: Path, target: Path) -> None:
    """Raise VideoError unless `target` can hold sound and subtitles of `source`, by a trial."""
    layout = Layout((16, 16), Fraction(1, 25), Fraction(25), None, 23)
    with opened(source) as video, TemporaryDirectory() as folder:
        try:
            with av.open(f"{folder}/trial{target.suffix}", "w") as container:
                _add_encoder(container, layout)
                _add_copies(container, video, target)
                container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            reason = error if isinstance(error, VideoError) else f"{target}: {error}"
            raise VideoError(f"{reason}; {_ADVICE[target.suffix.lower() == '.mkv']}") from None


def _add_copies(
    container: av.container.OutputContainer, video: av.container.InputContainer, target: Path
) -> dict[int, av.stream.Stream]:
    """Streams that are copied, by their index in the source."""
    copies = {}
    for stream in video.streams:
        if stream.type not in _COPIED or stream.codec_context is None:
            continue
        try:
            copy = container.add_stream_from_template(stream)
        except ValueError:
            name = stream.codec_context.name
            raise VideoError(
                f"{target}: {target.suffix} does not hold {stream.type} of the kind {name}"
            ) from None
        _tell(copy, stream)
        copies[stream.index] = copy
    return copies


def _tell(copy: av.stream.Stream, stream: av.stream.Stream) -> None:
    """Hand on what a stream says of itself."""
    told = {name: stream.metadata[name] for name in _TOLD_OF_STREAMS if name in stream.metadata}
    copy.metadata.update(told)
    copy.disposition = stream.disposition.value


def join_segments(
    segments: Sequence[Path], layout: Layout, last_duration: Fraction, source: Path, target: Path
) -> None:
    """Write the video: images of the segments, and all else of the source as it is.

    Args:
        segments: files of `write_segment`, at least one.
        layout: of all of them.
        last_duration: how long the last frame stays, in seconds.
        source: whose sound, subtitles, chapters and title are copied.
        target: file to write.

    Raises:
        VideoError: if a segment is damaged, or the target does not hold a stream.
    """
    with (
        opened(source) as video,
        av.open(str(target), "w", options={"fflags": "bitexact"}) as container,
    ):
        # It encodes nothing, but its header is that of the segments.
        images = _add_encoder(container, layout)
        _tell(images, image_stream(video, source))
        copies = _add_copies(container, video, target)
        container.metadata.update(
            {name: text for name, text in video.metadata.items() if name not in _OF_THE_FILE}
        )
        container.set_chapters(video.chapters())
        start = Fraction(max(0, video.start_time or 0), av.time_base)
        streams = (
            _image_packets(segments, images, last_duration),
            _copied_packets(video, copies),
        )
        for packet in heapq.merge(*streams, key=lambda one: one.dts * one.time_base):
            packet.pts -= round(start / packet.time_base)
            packet.dts -= round(start / packet.time_base)
            try:
                container.mux_one(packet)
            except av.error.ArgumentError as error:
                raise VideoError(
                    f"{source}: what it holds beside its images is damaged and cannot be copied "
                    f"({error.strerror})"
                ) from None


def _image_packets(
    segments: Sequence[Path], stream: av.VideoStream, last: Fraction
) -> Iterator[av.Packet]:
    """Packets of all segments, each lasting until the next; the last one `last` seconds."""
    before = None
    for segment in segments:
        with opened(segment) as container:
            for packet in container.demux(video=0):
                if packet.pts is None:  # the end
                    continue
                if before is not None:
                    before.duration = packet.pts - before.pts
                    yield before
                packet.stream, packet.dts = stream, packet.pts
                before = packet
    before.duration = round(last / before.time_base)
    yield before


def _copied_packets(
    video: av.container.InputContainer, copies: dict[int, av.stream.Stream]
) -> Iterator[av.Packet]:
    """Packets of streams that are copied; without those that a file cannot hold, back in time."""
    last: dict[int, int] = {}
    if not copies:
        return
    for packet in video.demux(*(video.streams[index] for index in copies)):
        index = packet.stream.index
        if packet.dts is None or packet.dts <= last.get(index, packet.dts - 1):
            continue
        last[index] = packet.dts
        if packet.pts is None:
            packet.pts = packet.dts
        packet.stream = copies[index]
        yield packet
