"""Small generated videos, their content, and runs that can be killed."""

import os
import signal
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from PIL import Image
from transformers import pipeline

from helpers.forkserver import forkserver
from helpers.images import make_image
from scsnet_hf.video import segments, writing
from scsnet_hf.video.colorize import colorize_video
from scsnet_hf.video.series import Series

TIME_BASE = Fraction(1, 12800)
RATE = 25


def images(count: int, size: tuple[int, int] = (48, 32), seed: int = 0) -> list[Image.Image]:
    """A gray window that moves by one pixel per frame."""
    width, height = size
    scene = make_image(width + count, height, "L", seed)
    return [scene.crop((i, 0, i + width, height)) for i in range(count)]


def write_video(
    path: Path,
    frames: list[Image.Image],
    *,
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound: str | None = "aac",
    sound_at: Fraction = Fraction(0),
    times: list[int] | None = None,
    time_base: Fraction = TIME_BASE,
    turned: tuple[float, bool, bool] | None = None,
    aspect: Fraction | None = None,
    **options: str,
) -> Path:
    """Write a video.

    Args:
        path: file.
        frames: of one size.
        codec, pixels, options: of the images.
        sound: codec of a tone that rises; None for silence.
        sound_at: when it begins, in seconds.
        times: time stamps in units of `time_base`.
        time_base: in seconds.
        turned: degrees and flips (horizontal, vertical) that a player is to apply.
        aspect: of a pixel, width over height.
    """
    with av.open(str(path), "w") as video:
        stream = video.add_stream(codec, rate=RATE, options=options)
        stream.width, stream.height = frames[0].size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = time_base
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if turned is not None:
            stream.set_display_rotation(*turned)
        tone = video.add_stream(sound, rate=48000) if sound else None
        if tone is not None:
            tone.codec_context.layout = "mono"
            tone.codec_context.bit_rate = 64_000
        for index, image in enumerate(frames):
            frame = av.VideoFrame.from_image(image).reformat(format=pixels)
            frame.pts = times[index] if times else index * round(1 / (RATE * time_base))
            frame.time_base = time_base
            video.mux(stream.encode(frame))
        video.mux(stream.encode(None))
        if tone is not None:
            _write_tone(video, tone, len(frames) / RATE, sound_at)
    return path


def _write_tone(video, stream, seconds: float, begin: Fraction) -> None:
    time = np.arange(int(seconds * 48000)) / 48000
    wave = np.sin(2 * np.pi * (200 + 750 * time) * time)  # no two moments sound the same
    samples = (wave * 8000).astype(np.int16)[None]
    frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
    frame.sample_rate, frame.pts = 48000, int(begin * 48000)
    resampler = av.AudioResampler(
        stream.codec_context.format, "mono", 48000, stream.codec_context.frame_size or 1024
    )
    for part in [*resampler.resample(frame), *resampler.resample(None)]:
        video.mux(stream.encode(part))
    video.mux(stream.encode(None))


def frames_of(path: Path) -> list:
    """All frames of a video, as PyAV decodes them."""
    with av.open(str(path)) as video:
        return list(video.decode(video=0))


def times_of(path: Path) -> list[Fraction]:
    """Times at which the frames are shown, in seconds."""
    return [frame.pts * frame.time_base for frame in frames_of(path)]


def packets_of(path: Path, kind: str) -> list[bytes]:
    """The packets of all streams of one type."""
    with av.open(str(path)) as video:
        streams = [stream for stream in video.streams if stream.type == kind]
        return [bytes(packet) for packet in video.demux(streams) if packet.size] if streams else []


def levels_of(path: Path) -> list[np.ndarray]:
    """All frames as R'G'B', (H, W, 3)."""
    return [frame.to_ndarray(format="rgb24") for frame in frames_of(path)]


class Painter:
    """Replaces a series: records its images and returns `paint(image)` for each."""

    def __init__(self, paint=lambda image: image):
        self.paint = paint
        self.seen: list[Image.Image] = []

    def __call__(self, image: Image.Image) -> Image.Image:
        self.seen.append(image)
        return self.paint(image)

    def settings(self) -> dict:
        return {}

    def state(self) -> dict:
        return {}

    def load_state(self, state: dict) -> None:
        self.seen.clear()


def colorize_in_process(
    source: Path, target: Path, checkpoint: Path, dies_at: int | str | None = None
) -> int:
    """Colorize a video in a process of its own; return its exit code, -9 if it was killed.

    Args:
        source, target: of `colorize_video`.
        checkpoint: folder of the model.
        dies_at: number of the frame, or the name of the step, after which it kills itself.
    """
    process = forkserver("helpers.video_files").Process(
        target=_colorize, args=(source, target, checkpoint, dies_at)
    )
    process.start()
    process.join(timeout=120)
    code = process.exitcode
    process.kill()
    return code


def _colorize(source: Path, target: Path, checkpoint: Path, dies_at: int | str | None) -> None:
    torch.set_num_threads(1)
    pipe = pipeline("scs-colorize-sr", model=str(checkpoint), device="cpu")
    series = Series(pipe, reference="first", propagate=True, scale=1.5)
    if isinstance(dies_at, str):
        _die_after(dies_at)

    def on_frame(done: int, total: int | None) -> None:
        if done == dies_at:
            _die()

    colorize_video(source, target, series, progress=on_frame)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after(step: str) -> None:
    """Die after a step, before the next one."""
    module, name = {
        "segment": (writing, "write_segment"),
        "state": (segments, "save_file"),
        "join": (writing, "join_segments"),
    }[step]
    original = getattr(module, name)

    def run_and_die(*args, **kwargs):
        original(*args, **kwargs)
        _die()

    setattr(module, name, run_and_die)
