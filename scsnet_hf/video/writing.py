"""Frames to segments of H.264, and segments to a video with the sound of its source.

It needs PyAV.
"""

import heapq
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from PIL import Image

from .reading import BIT_EXACT_BICUBIC, Frame, VideoError, open_container, video_stream
from .segments import Layout

_logger = logging.getLogger(__name__)

# "+" adds to the default flags, which include the bitstream filters that a container needs.
_BIT_EXACT = {"fflags": "+bitexact"}
_CODEC, _PIXELS = "libx264", "yuv420p"  # what every player shows
_BT709 = 1  # as color space, primaries and transfer characteristics
_THREADS = "4"  # the output of x264 depends on it
# A quarter of the time of the default, "medium", at the same size and 0.5 dB less.
_PRESET = "veryfast"
_COPIED_TYPES = ("audio", "subtitle")
_CONTAINER_METADATA = {"encoder", "major_brand", "minor_version", "compatible_brands"}
_STREAM_METADATA = ("language", "title", "timecode")
_SOUND_CODECS = {".mkv": "flac"}  # of sound that is transcoded; AAC in other files
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}  # where a file gives only a number
_AAC_BIT_RATE = 128_000  # per channel


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
        with av.open(str(path), "w", options=_BIT_EXACT) as container:
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
    options = {"crf": str(layout.crf), "preset": _PRESET, "bf": "0"}
    options |= {"threads": _THREADS, "x264-params": "asm=0"}
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
    """Return the version and preset of the encoder, as part of the settings of a run."""
    return f"PyAV {av.__version__}, {_PRESET}"


def sound_to_transcode(source: Path, target: Path, keep_sound: bool = True) -> frozenset[int]:
    """Write everything but the frames to a temporary file, to find out what cannot be copied.

    Args:
        source: the video.
        target: a file of the format.
        keep_sound: whether sound is to be kept.

    Returns:
        The streams of sound that have to be transcoded, by their index in the source.

    Raises:
        VideoError: if the format holds a stream neither as it is nor transcoded.
    """
    with open_container(source) as video:
        sound = {stream.index: stream.codec_context for stream in video.streams.audio}
        kept = {stream.index for stream in video.streams if stream.type == "subtitle"}
        _warn_of_losses(video, source, target)
    sound = {index: context for index, context in sound.items() if context and keep_sound}
    kept |= set(sound)
    transcoded = frozenset()
    reason = _refusal(source, target, kept, transcoded)
    if reason:  # each refusal takes a pass through the source
        transcoded = frozenset(index for index in sound if _refusal(source, target, {index}, ()))
        reason = _refusal(source, target, kept, transcoded)
    if reason:
        advice = "drop sound (--no-audio) or convert it first"
        if target.suffix.lower() != ".mkv":
            advice = "write to a .mkv file, which holds more codecs"
        raise VideoError(f"{reason}; {advice}")
    for index in sorted(transcoded):
        codec, name = _sound_codec(target).upper(), sound[index].name
        _logger.warning(
            "%s: %s does not hold its sound (%s), which is transcoded to %s",
            source, target.suffix, name, codec,
        )  # fmt: skip
    return transcoded


def _warn_of_losses(video: av.container.InputContainer, source: Path, target: Path) -> None:
    """Name what no file of the target's format holds."""
    losses, suffix = [], target.suffix.lower()
    if suffix != ".mkv":
        fonts = [stream.name for stream in video.streams if stream.type == "attachment"]
        losses += [f"attachments ({', '.join(fonts)})"] if fonts else []
    if suffix == ".m4v":
        losses += ["timecode"] if "timecode" in _metadata(video_stream(video, source)) else []
    for loss in losses:
        _logger.warning("%s: %s holds no %s", source, target.suffix, loss)


def _refusal(
    source: Path, target: Path, kept: Collection[int], transcoded: Collection[int]
) -> str | None:
    """Return why a format does not hold some streams of a video; None if it does."""
    layout = Layout((16, 16), Fraction(1, 25), Fraction(25), None, 23)
    with open_container(source) as video, TemporaryDirectory() as folder:
        file = f"{folder}/sound{target.suffix}"
        try:
            with av.open(file, "w", options=_BIT_EXACT) as container:
                _add_encoder(container, layout)
                copies = _add_copies(container, video, target, kept, transcoded)
                container.start_encoding()
                for packet in _copied_packets(video, copies, transcoded):
                    container.mux_one(packet)
        except (av.error.FFmpegError, ValueError) as error:
            return str(error) if isinstance(error, VideoError) else f"{target}: {error}"
    return None


def _add_copies(
    container: av.container.OutputContainer,
    video: av.container.InputContainer,
    target: Path,
    kept: Collection[int],
    transcoded: Collection[int],
) -> dict[int, av.stream.Stream]:
    """Add the streams to copy or transcode; return them by their index in the source."""
    copies = {}
    for stream in video.streams:
        if stream.index not in kept or stream.codec_context is None:
            continue
        try:
            if stream.index in transcoded:
                copy = _add_sound_encoder(container, stream, target)
            else:
                copy = container.add_stream_from_template(stream)
        except ValueError:
            name = stream.codec_context.name
            raise VideoError(
                f"{target}: {target.suffix} does not hold {stream.type} in the codec {name}"
            ) from None
        _copy_metadata(copy, stream)
        copies[stream.index] = copy
    return copies


def _sound_codec(target: Path) -> str:
    return _SOUND_CODECS.get(target.suffix.lower(), "aac")


def _add_sound_encoder(
    container: av.container.OutputContainer, sound: av.AudioStream, target: Path
) -> av.AudioStream:
    codec = _sound_codec(target)
    rates = av.codec.Codec(codec, "w").audio_rates
    rate = sound.rate if not rates or sound.rate in rates else 48000
    encoder = container.add_stream(codec, rate=rate)
    unnamed = sound.layout.name.endswith("channels")
    encoder.codec_context.layout = _LAYOUTS.get(sound.channels) if unnamed else sound.layout
    if codec == "aac":
        encoder.codec_context.bit_rate = _AAC_BIT_RATE * sound.channels
    return encoder


def _copy_metadata(copy: av.stream.Stream, stream: av.stream.Stream) -> None:
    """Copy title, language, timecode and role of a stream."""
    known = _metadata(stream)
    copy.metadata.update({name: known[name] for name in _STREAM_METADATA if name in known})
    copy.disposition = stream.disposition.value


def _metadata(stream: av.stream.Stream) -> dict[str, str]:
    """Metadata of a stream by names in lower case; those of .mkv files are in upper case."""
    return {name.lower(): text for name, text in stream.metadata.items()}


def join_segments(
    segments: Sequence[Path],
    layout: Layout,
    last_duration: Fraction,
    source: Path,
    target: Path,
    transcoded: Collection[int] = (),
    keep_sound: bool = True,
) -> None:
    """Write the video: frames of the segments, and everything else of the source.

    Args:
        segments: files from `write_segment`, at least one.
        layout: of all segments.
        last_duration: of the last frame, in seconds.
        source: the video whose sound, subtitles, chapters and metadata are copied.
        target: file to write.
        transcoded: result of `sound_to_transcode`.
        keep_sound: whether sound is kept.

    Raises:
        VideoError: if a segment is damaged, or the target does not hold a stream.
    """
    with (
        open_container(source) as video,
        av.open(str(target), "w", options=_BIT_EXACT) as container,
    ):
        # It encodes nothing here, but has the same header as the segments.
        images = _add_encoder(container, layout)
        _copy_metadata(images, video_stream(video, source))
        types = _COPIED_TYPES if keep_sound else ("subtitle",)
        kept = {stream.index for stream in video.streams if stream.type in types}
        copies = _add_copies(container, video, target, kept, transcoded)
        if target.suffix.lower() == ".mkv":
            for font in video.streams.attachments:
                container.add_attachment(font.name, font.mimetype, font.data)
        container.metadata.update(
            {name: text for name, text in video.metadata.items() if name not in _CONTAINER_METADATA}
        )
        container.set_chapters(video.chapters())
        start = Fraction(max(0, video.start_time or 0), av.time_base)
        streams = (
            _video_packets(segments, images, last_duration),
            _copied_packets(video, copies, transcoded),
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
    video: av.container.InputContainer,
    copies: dict[int, av.stream.Stream],
    transcoded: Collection[int],
) -> Iterator[av.Packet]:
    """Packets of copied streams, without those that go back in time, which no file can hold."""
    last: dict[int, int] = {}
    ends: dict[int, Fraction] = {}
    if not copies:
        return
    for packet in video.demux(*(video.streams[index] for index in copies)):
        index = packet.stream.index
        if index in transcoded:
            yield from _transcode(packet, copies[index], ends)
            continue
        if packet.dts is None or packet.dts <= last.get(index, packet.dts - 1):
            continue
        last[index] = packet.dts
        if packet.pts is None:
            packet.pts = packet.dts
        packet.stream = copies[index]
        yield packet
    for index in transcoded:
        # The last packet of FLAC has no sound, only a checksum of all of it.
        yield from (packet for packet in copies[index].encode(None) if packet.size)


def _transcode(
    packet: av.Packet, encoder: av.AudioStream, ends: dict[int, Fraction]
) -> Iterator[av.Packet]:
    """Transcode a packet; `ends` is when the sound of each stream ended, in seconds."""
    try:
        frames = packet.decode()
    except av.error.FFmpegError:
        return  # damaged
    for frame in frames:
        index, rate = packet.stream.index, frame.sample_rate
        if frame.pts is None:  # the encoder takes all time stamps to be in the unit of the first
            frame.time_base = packet.stream.time_base
            frame.pts = round(ends.get(index, 0) / frame.time_base)
        ends[index] = frame.pts * frame.time_base + Fraction(frame.samples, rate)
        yield from encoder.encode(frame)
