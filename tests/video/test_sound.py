"""Sound, attachments and interlaced frames of videos."""

from fractions import Fraction
from typing import NamedTuple

import av
import numpy as np
import pytest
from PIL import Image

from helpers.video_files import Painter, images, levels_of, packets_of, write_video
from scsnet_hf.video.colorize import colorize_video

RATE = 48000  # of all sound


class Sound(NamedTuple):
    """What is heard while a video plays.

    Attributes:
        wave: from one second before the first image on.
        samples: number of those decoded.
        frame: the most of them in one frame.
    """

    wave: np.ndarray
    samples: int
    frame: int


def sound_of(path) -> Sound:
    with av.open(str(path)) as video:
        origin = float(next(video.decode(video=0)).time or 0) - 1
    wave, lengths, end = np.zeros(5 * RATE), [], None
    resampler = av.AudioResampler("fltp", "mono", RATE)
    with av.open(str(path)) as video:
        for packet in video.demux(audio=0):
            for frame in packet.decode():
                time = frame.time
                if time is None:  # WMA: frames follow the first packet
                    time = float(packet.pts * packet.time_base) if end is None else end
                end = time + frame.samples / RATE
                lengths.append(frame.samples)
                place = round((time - origin) * RATE)
                for part in resampler.resample(frame):
                    wave[place : place + part.samples] = part.to_ndarray()[0]
                    place += part.samples
    return Sound(wave, sum(lengths), max(lengths))


def delay(first: np.ndarray, second: np.ndarray) -> float:
    """By how many seconds the second of two waves is later: the peak of their correlation."""
    spectra = np.fft.rfft(second) * np.fft.rfft(first).conj()
    peak = int(np.argmax(np.fft.irfft(spectra)))
    return (peak - len(first) * (peak > len(first) // 2)) / RATE


COMBINATIONS = [  # source, codec of its frames, of its sound, suffix of the result
    (".ts", "libx264", "aac", ".mkv"),
    (".ts", "libx264", "aac", ".mp4"),
    (".ts", "libx264", "mp2", ".mp4"),
    (".wmv", "wmv2", "wmav2", ".mkv"),
    (".wmv", "wmv2", "wmav2", ".mp4"),
    (".avi", "mpeg4", "adpcm_ima_wav", ".mkv"),
    (".avi", "mpeg4", "adpcm_ms", ".mov"),
    (".avi", "mpeg4", "pcm_s16le", ".mkv"),
    (".avi", "mpeg4", "pcm_s16le", ".mp4"),
    (".mkv", "libx264", "flac", ".mp4"),
    (".mov", "libx264", "pcm_s24le", ".m4v"),
    (".mkv", "libx264", "libopus", ".mov"),
]


LATE = [(".ts", "libx264", "aac", ".mp4"), (".mov", "libx264", "pcm_s24le", ".mkv"),
        (".wmv", "wmv2", "wmav2", ".mp4"), (".mp4", "libx264", "aac", ".mkv")]  # fmt: skip


@pytest.mark.parametrize(
    ("combination", "begin"),
    [*((one, Fraction(0)) for one in COMBINATIONS), *((one, Fraction(3, 10)) for one in LATE)],
    ids=str,
)
def test_result_plays_with_its_sound_in_step(tmp_path, combination, begin, caplog):
    suffix, codec, sound, to = combination
    source = tmp_path / f"a{suffix}"
    write_video(source, images(50), codec=codec, sound=sound, sound_at=begin)
    target = tmp_path / f"result{to}"
    colorize_video(source, target, Painter())
    old, new = sound_of(source), sound_of(target)
    assert len(levels_of(target)) == 50
    is_copied = packets_of(source, "audio") == packets_of(target, "audio")
    # Packets of AAC in .ts lose a header of each.
    assert len(caplog.records) == (not is_copied and suffix != ".ts")
    assert abs(new.samples - old.samples) <= max(old.frame, new.frame)
    assert abs(delay(old.wave, new.wave)) <= 0.02


def test_sound_can_be_dropped(tmp_path):
    source = write_video(tmp_path / "a.mp4", images(3))
    colorize_video(source, tmp_path / "b.mp4", Painter(), keep_sound=False)
    assert packets_of(tmp_path / "b.mp4", "audio") == []


def test_sound_that_no_codec_takes_is_refused_before_the_first_frame(tmp_path, monkeypatch):
    from scsnet_hf.video import writing

    monkeypatch.setattr(writing, "_refusal", lambda *arguments: "b.mkv: no")
    painter = Painter()
    source = write_video(tmp_path / "a.mp4", images(3))
    with pytest.raises(ValueError, match="no-audio"):
        colorize_video(source, tmp_path / "b.mkv", painter)
    assert painter.seen == []


@pytest.mark.parametrize("deinterlace", [True, False])
def test_interlaced_frames_are_deinterlaced(tmp_path, deinterlace):
    frames = images(6, (64, 48))
    woven = []
    for first, second in zip(frames[::2], frames[1::2], strict=True):
        levels = np.asarray(first).copy()
        levels[1::2] = np.asarray(second.transpose(0))[1::2]  # a field of something else
        woven.append(Image.fromarray(levels))
    source = write_video(tmp_path / "a.mp4", woven, flags="+ildct+ilme", crf="5")
    painter = Painter()
    video = colorize_video(source, tmp_path / "b.mp4", painter, deinterlace=deinterlace)
    assert video.interlaced
    assert video.frames == 3
    combs = np.abs(np.diff(np.asarray(painter.seen[1].convert("L")).astype(int), axis=0)).mean()
    woven_combs = np.abs(np.diff(np.asarray(woven[1]).astype(int), axis=0)).mean()
    assert (combs < 0.8 * woven_combs) == deinterlace


def test_attached_fonts_are_kept_in_mkv_and_named_otherwise(tmp_path, caplog):
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as container:
        container.add_attachment("font.ttf", "application/x-truetype-font", b"font")
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        for image in images(3):
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode(None))
    colorize_video(source, tmp_path / "b.mkv", Painter())
    with av.open(str(tmp_path / "b.mkv")) as result:
        assert [font.name for font in result.streams.attachments] == ["font.ttf"]
    assert not caplog.records
    colorize_video(source, tmp_path / "b.mp4", Painter())
    assert "font.ttf" in caplog.text


@pytest.mark.parametrize("suffix", [".mov", ".mkv"])
def test_timecode_is_kept_or_named(tmp_path, suffix, caplog):
    source = tmp_path / f"a{suffix}"
    with av.open(str(source), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.metadata["timecode"] = "01:02:03:04"
        for image in images(3):
            container.mux(stream.encode(av.VideoFrame.from_image(image)))
        container.mux(stream.encode(None))
    for to in (".mov", ".mp4", ".mkv"):
        colorize_video(source, tmp_path / f"b{to}", Painter())
        with av.open(str(tmp_path / f"b{to}")) as result:
            kept = {name.lower(): text for name, text in result.streams.video[0].metadata.items()}
        assert kept["timecode"] == "01:02:03:04"
    assert not caplog.records
    colorize_video(source, tmp_path / "b.m4v", Painter())
    assert "no timecode" in caplog.text
