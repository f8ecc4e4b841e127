"""Sound, attachments and interlaced frames of videos."""

import av
import numpy as np
import pytest
from PIL import Image

from helpers.video_files import Painter, images, levels_of, packets_of, write_video
from scsnet_hf.video.colorize import colorize_video


def sound_of(path) -> tuple[np.ndarray, float]:
    """The samples of the first channel, and the time of the first in seconds."""
    with av.open(str(path)) as video:
        frames = list(video.decode(audio=0))
    return np.concatenate([_floats(frame) for frame in frames]), float(
        frames[0].pts * frames[0].time_base
    )


def _floats(frame) -> np.ndarray:
    (part,) = av.AudioResampler("fltp", "mono", 48000).resample(frame)[:1] or [frame]
    return part.to_ndarray()[0]


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


@pytest.mark.parametrize(("suffix", "codec", "sound", "to"), COMBINATIONS)
def test_result_plays_with_its_sound(tmp_path, suffix, codec, sound, to, caplog):
    source = write_video(tmp_path / f"a{suffix}", images(50), codec=codec, sound=sound)
    target = tmp_path / f"result{to}"
    colorize_video(source, target, Painter())
    (old, begin), (new, start) = sound_of(source), sound_of(target)
    assert len(levels_of(target)) == 50
    if packets_of(source, "audio") != packets_of(target, "audio"):
        assert len(caplog.records) == (sound != "aac")  # whose packets lose their headers
    assert abs(len(new) - len(old)) <= 2048
    with av.open(str(source)) as one, av.open(str(target)) as other:
        first = float(next(one.decode(video=0)).time or 0)
        second = float(next(other.decode(video=0)).time or 0)
    assert abs((start - second) - (begin - first)) <= 0.045
    length = min(len(old), len(new)) - 4800
    shifts = range(-960, 961, 8)
    best = max(shifts, key=lambda s: np.dot(old[2400:length], new[2400 + s : length + s]))
    assert abs(best) / 48000 + abs((start - second) - (begin - first)) <= 0.045


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
