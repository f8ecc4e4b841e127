"""Frames to segments of H.264, and segments to a video with the sound of its source.

It needs PyAV.
"""

import heapq
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from .reading import BIT_EXACT_BICUBIC, Frame, VideoError, open_container, video_stream
from .segments import Layout

_CODEC, _PIXELS = "libx264", "yuv420p"  # what every player shows
_BT709 = 1  # as color space, primaries and transfer characteristics
_THREADS = "4"  # the output of x264 depends on it
_COPIED_TYPES = ("audio", "subtitle")
_CONTAINER_METADATA = {"encoder", "major_brand", "minor_version", "compatible_brands"}
_STREAM_METADATA = ("language", "title")
_ADVICE = {  # by whether the target is a .mkv
    False: "write to a .mkv file, which holds more codecs",
    True: "convert it first, sound to FLAC for example",
}


def even_size(image: Image.Image) -> tuple[int, int]:
    """Return (width, height) of a frame for an image, even as 4:2:0 needs it."""
    return image.width + image.width % 2, image.height + image.height % 2


def write_segment(path: Path, frames: Iterable[Frame], layout: Layout) -> None:
    """Encode frames into a file that starts with a key frame.

    The file depends on nothing but the frames and the layout.

    Args:
        path: file to write.
        frames: RGB of any size.
        layout: of all segments.

    Raises:
        VideoError: if the frames cannot be encoded.
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
    # Without B-frames, frames are stored in the order in which they are shown, so segments can be
    # joined. The assembly code of x264 reads uninitialized memory: results would not reproduce.
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
    levels = np.asarray(_fit_to_size(frame.image, layout.size))
    encodable = av.VideoFrame.from_ndarray(levels).reformat(
        format=_PIXELS,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=BIT_EXACT_BICUBIC,
    )
    encodable.pts, encodable.time_base = frame.time, layout.time_base
    return encodable


def _fit_to_size(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Repeat the last row or column at an odd side; resize an image of another size."""
    if even_size(image) != size:
        return image.resize(size, Image.Resampling.BICUBIC)
    if image.size == size:
        return image
    (width, height), (own_width, own_height) = size, image.size
    padding = ((0, height - own_height), (0, width - own_width), (0, 0))
    return Image.fromarray(np.pad(np.asarray(image), padding, mode="edge"))


def encoder_version() -> str:
    """Return the version of the encoder, as part of the settings of a run."""
    return f"PyAV {av.__version__}"


def check_holds_sound(source: Path, target: Path) -> None:
    """Write a header to check that a format holds the sound and subtitles of a video.

    Args:
        source: the video.
        target: a file of the format.

    Raises:
        VideoError: if it does not; the message says what to do.
    """
    layout = Layout((16, 16), Fraction(1, 25), Fraction(25), None, 23)
    with open_container(source) as video, TemporaryDirectory() as folder:
        try:
            with av.open(f"{folder}/header{target.suffix}", "w") as container:
                _add_encoder(container, layout)
                _add_copies(container, video, target)
                container.start_encoding()
        except (av.error.FFmpegError, ValueError) as error:
            reason = error if isinstance(error, VideoError) else f"{target}: {error}"
            raise VideoError(f"{reason}; {_ADVICE[target.suffix.lower() == '.mkv']}") from None


def _add_copies(
    container: av.container.OutputContainer, video: av.container.InputContainer, target: Path
) -> dict[int, av.stream.Stream]:
    """Add the streams to copy; return them by their index in the source."""
    copies = {}
    for stream in video.streams:
        if stream.type not in _COPIED_TYPES or stream.codec_context is None:
            continue
        try:
            copy = container.add_stream_from_template(stream)
        except ValueError:
            name = stream.codec_context.name
            raise VideoError(
                f"{target}: {target.suffix} does not hold {stream.type} in the codec {name}"
            ) from None
        _copy_metadata(copy, stream)
        copies[stream.index] = copy
    return copies


def _copy_metadata(copy: av.stream.Stream, stream: av.stream.Stream) -> None:
    """Copy title, language and role of a stream."""
    copy.metadata.update(
        {name: stream.metadata[name] for name in _STREAM_METADATA if name in stream.metadata}
    )
    copy.disposition = stream.disposition.value


def join_segments(
    segments: Sequence[Path], layout: Layout, last_duration: Fraction, source: Path, target: Path
) -> None:
    """Write the video: frames of the segments, and everything else of the source.

    Args:
        segments: files from `write_segment`, at least one.
        layout: of all segments.
        last_duration: of the last frame, in seconds.
        source: the video whose sound, subtitles, chapters and metadata are copied.
        target: file to write.

    Raises:
        VideoError: if a segment is damaged, or the target does not hold a stream.
    """
    with (
        open_container(source) as video,
        av.open(str(target), "w", options={"fflags": "bitexact"}) as container,
    ):
        # It encodes nothing here, but has the same header as the segments.
        images = _add_encoder(container, layout)
        _copy_metadata(images, video_stream(video, source))
        copies = _add_copies(container, video, target)
        container.metadata.update(
            {name: text for name, text in video.metadata.items() if name not in _CONTAINER_METADATA}
        )
        container.set_chapters(video.chapters())
        start = Fraction(max(0, video.start_time or 0), av.time_base)
        streams = (
            _video_packets(segments, images, last_duration),
            _copied_packets(video, copies),
        )
        for packet in heapq.merge(*streams, key=lambda one: one.dts * one.time_base):
            packet.pts -= round(start / packet.time_base)
            packet.dts -= round(start / packet.time_base)
            try:
                container.mux_one(packet)
            except av.error.ArgumentError as error:
                raise VideoError(
                    f"{source}: its sound or subtitles are damaged and cannot be copied "
                    f"({error.strerror})"
                ) from None


def _video_packets(
    segments: Sequence[Path], stream: av.VideoStream, last: Fraction
) -> Iterator[av.Packet]:
    """Packets of all segments, each until the next one; the last takes `last` seconds."""
    previous = None
    for segment in segments:
        with open_container(segment) as container:
            for packet in container.demux(video=0):
                if packet.pts is None:  # end of the file
                    continue
                if previous is not None:
                    previous.duration = packet.pts - previous.pts
                    yield previous
                packet.stream, packet.dts = stream, packet.pts
                previous = packet
    previous.duration = round(last / previous.time_base)
    yield previous


def _copied_packets(
    video: av.container.InputContainer, copies: dict[int, av.stream.Stream]
) -> Iterator[av.Packet]:
    """Packets of copied streams, without those that go back in time, which no file can hold."""
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
