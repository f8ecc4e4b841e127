"""Only the colors of a video change, and a killed run ends with the same file."""

import random
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from helpers.video_files import (
    RATE,
    Painter,
    colorize_in_process,
    frames_of,
    images,
    levels_of,
    packets_of,
    times_of,
    write_video,
)
from scsnet_hf.io.folders import VIDEO_SUFFIXES, WRITABLE_VIDEO_SUFFIXES
from scsnet_hf.video.colorize import SEGMENT_FRAMES, colorize_video
from scsnet_hf.video.reading import VideoError, open_video
from scsnet_hf.video.segments import Segments
from scsnet_hf.video.series import Series

FRAMES = SEGMENT_FRAMES + 5  # two segments


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A plain video with sound."""
    return write_video(tmp_path_factory.mktemp("video") / "video.mp4", images(FRAMES))


def colorize(source: Path, suffix: str = ".mp4", painter: Painter | None = None, **arguments):
    return colorize_video(
        source, source.with_name(f"result{suffix}"), painter or Painter(), **arguments
    )


class TestWhatIsKept:
    @pytest.mark.parametrize(
        ("name", "suffix", "options"),
        [
            ("a.mp4", ".mp4", {}),
            ("a.mov", ".m4v", {"codec": "mjpeg", "pixels": "yuvj420p"}),
            ("a.mkv", ".mkv", {"codec": "ffv1", "pixels": "gray", "sound": "flac"}),
            ("a.avi", ".mkv", {"codec": "mpeg4", "sound": "mp3", "time_base": Fraction(1, RATE)}),
            ("a.webm", ".mkv", {"codec": "libvpx-vp9", "sound": "libopus"}),
            ("a.ts", ".mp4", {"codec": "mpeg2video", "sound": "mp2"}),
            ("a.mpg", ".mov", {"codec": "mpeg2video", "sound": "mp2"}),
            ("a.wmv", ".mkv", {"codec": "wmv2", "sound": "mp3"}),
            ("silent.mp4", ".mp4", {"sound": None}),
            ("наш 映画 video.mp4", ".mp4", {}),
        ],
    )
    def test_frames_times_and_sound_of_any_video(self, tmp_path, name, suffix, options):
        time_base = {} if options.get("codec") != "mpeg2video" else {"time_base": Fraction(1, RATE)}
        source = write_video(tmp_path / name, images(FRAMES), **{**time_base, **options})
        before = source.read_bytes()
        result = colorize(source, suffix)
        assert result.frames == len(frames_of(result.target)) == len(frames_of(source)) == FRAMES
        assert since_the_first(result.target) == pytest.approx(since_the_first(source), abs=0.0011)
        assert packets_of(result.target, "audio") == packets_of(source, "audio")
        assert bool(packets_of(source, "audio")) == (options.get("sound", "aac") is not None)
        assert source.read_bytes() == before
        assert sorted(tmp_path.iterdir()) == sorted([source, result.target])

    def test_images_and_sound_start_as_far_apart_as_before(self, tmp_path):
        source = write_video(
            tmp_path / "a.ts",
            images(8),
            codec="mpeg2video",
            sound="mp2",
            time_base=Fraction(1, RATE),
        )
        expected = lead_of_images(source)
        for suffix in (".mp4", ".mkv"):
            result = colorize(source, suffix)
            assert lead_of_images(result.target) == pytest.approx(expected, abs=0.0011)
            assert times_of(result.target)[0] < 0.1

    def test_uneven_times_to_the_last_digit(self, tmp_path):
        times = [0, 512, 700, 2000, 2001, 3000, 5000, 9000, 9100, 20000]
        source = write_video(tmp_path / "a.mp4", images(len(times)), times=times)
        expected = times_of(source)
        assert expected == [Fraction(time, 12800) for time in times]
        assert times_of(colorize(source, ".mp4").target) == expected
        assert times_of(colorize(source, ".mov").target) == expected

    @pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
    def test_the_rate(self, video, tmp_path, suffix):
        colorize_video(video, tmp_path / f"result{suffix}", Painter())
        with av.open(str(tmp_path / f"result{suffix}")) as result:
            assert result.streams.video[0].average_rate == RATE

    def test_the_length_of_the_last_frame(self, tmp_path):
        source = write_video(tmp_path / "a.mp4", images(10), sound=None)
        target = colorize(source).target
        with av.open(str(source)) as before, av.open(str(target)) as after:
            assert after.duration == before.duration

    @pytest.mark.parametrize("turned", [None, (90, False, False)])
    def test_the_shape_of_pixels(self, tmp_path, turned):
        aspect = Fraction(16, 11)
        source = write_video(tmp_path / "a.mp4", images(3), aspect=aspect, turned=turned)
        with av.open(str(colorize(source).target)) as result:
            assert result.streams.video[0].sample_aspect_ratio == (1 / aspect if turned else aspect)

    def test_several_sounds_subtitles_titles_and_chapters(self, tmp_path):
        source = tmp_path / "a.mkv"
        with av.open(str(write_video(tmp_path / "b.mkv", images(8)))) as inner:
            add_tracks(inner, source)
        target = colorize(source, ".mkv").target
        with av.open(str(source)) as before, av.open(str(target)) as after:
            kinds = [[stream.type for stream in video.streams] for video in (before, after)]
            assert kinds[0] == kinds[1] == ["video", "audio", "audio", "subtitle"]
            assert after.streams[2].metadata["language"] == "deu"
            assert after.metadata["title"] == "A video"
            assert after.chapters() == before.chapters() != []
        for kind in ("audio", "subtitle"):
            assert packets_of(target, kind) == packets_of(source, kind) != []

    def test_a_cover_is_not_the_video(self, tmp_path):
        source = tmp_path / "a.mp4"
        with av.open(str(write_video(tmp_path / "b.mp4", images(6)))) as inner:
            add_cover(inner, source)
        assert colorize(source).frames == 6


def since_the_first(video: Path) -> list[Fraction]:
    """Seconds from the first frame to every frame."""
    times = times_of(video)
    return [time - times[0] for time in times]


def lead_of_images(video: Path) -> Fraction:
    """Seconds from the first frame to the first sound."""
    with av.open(str(video)) as container:
        tone = next(packet for packet in container.demux(audio=0) if packet.pts is not None)
        return tone.pts * tone.time_base - times_of(video)[0]


def add_tracks(inner, path: Path) -> None:
    """Copy a video with its sound twice, a line of text, a title and a chapter."""
    with av.open(str(path), "w") as video:
        copies = [video.add_stream_from_template(stream) for stream in inner.streams]
        second = video.add_stream_from_template(inner.streams.audio[0])
        second.metadata["language"] = "deu"
        text = video.add_mux_stream("subrip")
        video.metadata["title"] = "A video"
        video.set_chapters(
            [{"id": 1, "start": 0, "end": 200, "time_base": Fraction(1, 1000), "metadata": {}}]
        )
        video.start_encoding()
        line = av.Packet(b"Once upon a time")
        line.stream, line.time_base = text, Fraction(1, 1000)
        line.pts = line.dts = 100
        line.duration = 100
        for packet in inner.demux():
            if packet.dts is None and packet.pts is None:
                continue
            original = packet.stream
            packet.stream = copies[original.index]
            video.mux(packet)
        video.mux(line)
        inner.seek(0)
        for packet in inner.demux(audio=0):
            if packet.dts is not None:
                packet.stream = second
                video.mux(packet)


def add_cover(inner, path: Path) -> None:
    """Copy a video, behind an image that is its cover."""
    with av.open(str(path), "w") as video:
        cover = video.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 32, 32, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        copy = video.add_stream_from_template(inner.streams.video[0])
        frame = av.VideoFrame.from_image(Image.new("L", (32, 32))).reformat(format="yuvj420p")
        frame.pts = 0
        video.mux(cover.encode(frame))
        video.mux(cover.encode(None))
        for packet in inner.demux(video=0):
            if packet.dts is not None:
                packet.stream = copy
                video.mux(packet)


class TestImages:
    @pytest.mark.parametrize(
        ("degrees", "flips"),
        [
            *((degrees, (False, False)) for degrees in (0, 90, 180, 270)),
            *((degrees, flips) for degrees in (0, 90) for flips in ((True, False), (False, True))),
        ],
    )
    def test_frames_are_upright(self, tmp_path, degrees, flips):
        corner = np.zeros((32, 48), dtype=np.uint8)
        corner[:8, :16] = 255
        stored = Image.fromarray(corner)
        source = write_video(
            tmp_path / "a.mp4", [stored] * 3, turned=(degrees, *flips), sound=None, crf="1"
        )
        painter = Painter()
        colorize(source, painter=painter)
        horizontal, vertical = flips
        shown = stored.rotate(degrees, expand=True)
        if horizontal:
            shown = shown.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if vertical:
            shown = shown.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        assert painter.seen[0].size == shown.size
        difference = np.asarray(painter.seen[0].convert("L"), float) - np.asarray(shown, float)
        assert np.abs(difference).mean() < 3

    @pytest.mark.parametrize(
        ("codec", "pixels"),
        [("ffv1", "gray"), ("ffv1", "gray10le"), ("ffv1", "yuv444p"), ("mjpeg", "yuvj444p")],
    )
    def test_black_and_white_stay_so_whatever_the_range(self, tmp_path, codec, pixels):
        ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (16, 1)))
        source = write_video(
            tmp_path / "a.mkv", [ramp] * 2, codec=codec, pixels=pixels, sound=None, qmax="2"
        )
        painter = Painter()
        colorize(source, ".mkv", painter)
        seen = np.asarray(painter.seen[0], int)
        assert np.abs(seen - np.arange(256)[:, None]).max() <= 3

    def test_colors_survive_and_are_tagged(self, tmp_path, video):
        patches = np.array(
            [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 150, 90]],
            dtype=np.uint8,
        )
        painted = Image.fromarray(patches[None]).resize((96, 32), Image.Resampling.NEAREST)
        target = tmp_path / "result.mp4"
        colorize_video(video, target, Painter(lambda _: painted))
        frame = frames_of(target)[0]
        tags = (frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range)
        assert tags == (1, 1, 1, 1)  # BT.709, and 16 to 235
        assert frame.format.name == "yuv420p"
        middles = levels_of(target)[-1][16, 8::16].astype(int)
        assert np.abs(middles - patches).max() <= 3

    @pytest.mark.parametrize("size", [(47, 31), (48, 31), (47, 32), (1, 1)])
    def test_an_odd_side_gets_its_last_pixels_twice(self, tmp_path, video, size):
        painted = Image.fromarray(np.tile(np.uint8([[[200], [40]]]), (1, 1, 3))).resize(size)
        target = tmp_path / "result.mp4"
        result = colorize_video(video, target, Painter(lambda _: painted))
        width, height = size
        assert result.size == (width + width % 2, height + height % 2)
        levels = levels_of(target)[0].astype(int)
        assert levels.shape[1::-1] == result.size
        assert np.abs(levels[:height, :width] - np.asarray(painted, int)).max() <= 12
        assert np.abs(levels[-1, -1] - levels[height - 1, width - 1]).max() <= 3

    def test_later_frames_fit_the_first(self, tmp_path, video):
        sizes = iter([(32, 32), (64, 64)] * FRAMES)
        result = colorize_video(
            video, tmp_path / "result.mp4", Painter(lambda image: image.resize(next(sizes)))
        )
        assert {frame.width for frame in frames_of(result.target)} == {32}

    def test_better_quality_takes_more_bytes_and_is_closer(self, tmp_path, video):
        results = [
            colorize_video(video, tmp_path / f"{quality}.mp4", Painter(), quality=quality).target
            for quality in (1, 50, None, 100)
        ]
        sizes = [result.stat().st_size for result in results]
        assert sizes == sorted(sizes)
        sources = np.stack(levels_of(video)).astype(float)
        errors = [np.abs(np.stack(levels_of(result)) - sources).mean() for result in results]
        assert errors == sorted(errors, reverse=True)
        assert errors[-1] < 1

    def test_interlaced_videos_are_reported(self, tmp_path):
        source = write_video(tmp_path / "a.mp4", images(4), flags="+ildct")
        assert colorize(source).interlaced
        assert not colorize(write_video(tmp_path / "b.mp4", images(4))).interlaced


class TestProgress:
    def test_every_frame_is_reported_with_their_number(self, video, tmp_path):
        calls = []
        colorize_video(
            video, tmp_path / "result.mp4", Painter(), progress=lambda *call: calls.append(call)
        )
        assert calls == [(done, FRAMES) for done in range(FRAMES + 1)]

    def test_frames_are_estimated_where_the_file_does_not_count_them(self, tmp_path):
        path = write_video(tmp_path / "a.mkv", images(40))
        with open_video(path) as video:
            assert video.expected_frames == pytest.approx(40, abs=2)

    def test_frames_are_read_one_at_a_time(self, video, tmp_path):
        """Nothing is read ahead, so memory does not grow with the video."""
        with open_video(video) as opened:
            frames = opened.frames()
            assert [next(frames).time for _ in range(3)] == [0, 512, 1024]


class TestDamage:
    def test_what_can_be_decoded_is_kept(self, tmp_path):
        source = write_video(tmp_path / "a.mp4", images(FRAMES), codec="mjpeg", pixels="yuvj420p")
        with av.open(str(source)) as video:
            packets = [packet for packet in video.demux(video=0) if packet.size]
        content = bytearray(source.read_bytes())
        for packet in packets[5:8]:
            content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
        source.write_bytes(content)
        result = colorize(source)
        assert (result.frames, result.damaged) == (FRAMES - 3, 3)
        expected = [index / RATE for index in range(FRAMES) if not 5 <= index < 8]
        assert times_of(result.target) == pytest.approx(expected)
        assert packets_of(result.target, "audio") == packets_of(source, "audio")

    def test_a_hole_in_a_video(self, tmp_path):
        source = write_video(tmp_path / "a.mkv", images(FRAMES), codec="ffv1", sound="flac")
        content = bytearray(source.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 2000] = bytes(2000)
        source.write_bytes(content)
        result = colorize(source, ".mkv")
        assert FRAMES // 2 < result.frames < FRAMES
        assert len(frames_of(result.target)) == result.frames

    def test_a_video_that_is_cut_off_gives_what_is_there(self, tmp_path):
        source = write_video(tmp_path / "a.mkv", images(FRAMES))
        content = source.read_bytes()
        source.write_bytes(content[: len(content) * 2 // 3])
        assert 0 < colorize(source, ".mkv").frames < FRAMES

    @pytest.mark.parametrize("seed", range(3))
    def test_random_damage_ends_in_a_video_or_in_one_line(self, tmp_path, seed):
        source = write_video(tmp_path / "a.mp4", images(FRAMES))
        content = bytearray(source.read_bytes())
        chance = random.Random(seed)
        for _ in range(30):
            content[chance.randrange(40, len(content))] = chance.randrange(256)
        source.write_bytes(content)
        try:
            result = colorize(source)
        except (ValueError, OSError) as error:
            assert "\n" not in str(error)
        else:
            assert len(frames_of(result.target)) == result.frames

    @pytest.mark.parametrize("content", [b"", b"not a video" * 100])
    def test_what_is_no_video(self, tmp_path, content):
        source = tmp_path / "a.mp4"
        source.write_bytes(content)
        with pytest.raises(VideoError, match=r"a\.mp4"):
            colorize(source)
        assert list(tmp_path.iterdir()) == [source]

    def test_a_video_without_index(self, tmp_path, video):
        source = tmp_path / "a.mp4"
        source.write_bytes(video.read_bytes()[:-2000])
        with pytest.raises(VideoError, match=r"a\.mp4"):
            colorize(source)

    def test_sound_alone_is_no_video(self, tmp_path):
        source = tmp_path / "a.m4a"
        with av.open(str(source), "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=48000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 48000, 0
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with pytest.raises(VideoError, match="has no video stream"):
            colorize(source)

    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(OSError, match="nowhere"):
            colorize(tmp_path / "nowhere.mp4")


class TestRefusals:
    @pytest.mark.parametrize("name", ["a.txt", "a", "a.avi", "a.webm"])
    def test_suffixes_that_are_not_written(self, video, tmp_path, name):
        with pytest.raises(ValueError, match=r"written as \.m4v \.mkv \.mov \.mp4"):
            colorize_video(video, tmp_path / name, Painter())

    def test_suffixes_that_are_written_can_be_read(self):
        assert WRITABLE_VIDEO_SUFFIXES <= VIDEO_SUFFIXES

    def test_the_source_is_not_overwritten(self, video):
        with pytest.raises(ValueError, match="overwrite"):
            colorize_video(video, video.parent / "." / video.name, Painter())

    @pytest.mark.parametrize("quality", [0, 101, -3])
    def test_quality_has_a_range(self, video, tmp_path, quality):
        with pytest.raises(ValueError, match="1 to 100"):
            colorize_video(video, tmp_path / "a.mp4", Painter(), quality=quality)

    def test_without_pyav(self, video, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "av", None)
        for name in ("reading", "writing"):
            monkeypatch.delitem(sys.modules, f"scsnet_hf.video.{name}")
        from scsnet_hf import colorize_video

        with pytest.raises(ImportError, match=r"pip install 'scsnet_hf\[video\]'"):
            colorize_video(video, tmp_path / "a.mp4", Painter())

    def test_pyav_is_not_imported_before_there_is_a_video(self):
        code = "import sys; from scsnet_hf import colorize_video; sys.exit('av' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0

    def test_the_result_that_was_there_stays_until_the_new_one_is_whole(self, video, tmp_path):
        target = tmp_path / "a.mp4"
        target.write_bytes(b"the one before")

        def fail(image):
            raise RuntimeError("no more memory")

        with pytest.raises(RuntimeError):
            colorize_video(video, target, Painter(fail))
        assert target.read_bytes() == b"the one before"
        colorize_video(video, target, Painter())
        assert len(frames_of(target)) == FRAMES


class TestResuming:
    @pytest.fixture
    def source(self, tmp_path):
        """Three segments and a bit; a cut in the second; a rest that is not whole."""
        frames = images(30) + images(3 * SEGMENT_FRAMES - 23, seed=5)
        return write_video(tmp_path / "source.mp4", frames)

    @pytest.mark.slow
    def test_killed_anywhere_it_ends_with_the_same_file(self, tmp_path, source, tiny_checkpoint):
        whole, killed = tmp_path / "whole" / "video.mp4", tmp_path / "killed" / "video.mp4"
        assert colorize_in_process(source, whole, tiny_checkpoint) == 0
        chance = random.Random(1)
        frames = [
            chance.randint(1 + i * SEGMENT_FRAMES, (i + 1) * SEGMENT_FRAMES) for i in (0, 1, 2)
        ]
        for dies_at in ["segment", frames[0], "state", *frames[1:], 3 * SEGMENT_FRAMES + 7, "join"]:
            assert colorize_in_process(source, killed, tiny_checkpoint, dies_at) == -9
            assert not killed.exists()
        assert colorize_in_process(source, killed, tiny_checkpoint) == 0
        assert killed.read_bytes() == whole.read_bytes()
        assert list(killed.parent.iterdir()) == [killed]

    def test_what_is_finished_is_not_colorized_again(self, tmp_path, source):
        target = tmp_path / "video.mp4"
        last = 2 * SEGMENT_FRAMES + 3

        def until_the_last(done: int, total: int) -> None:
            if done == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            colorize_video(source, target, Painter(), progress=until_the_last)
        painter, calls = Painter(), []
        result = colorize_video(
            source, target, painter, progress=lambda done, total: calls.append(done)
        )
        assert result.resumed == calls[0] == 2 * SEGMENT_FRAMES
        assert len(painter.seen) == result.frames - result.resumed
        assert len(frames_of(target)) == result.frames

    def test_other_arguments_do_not_resume(self, tmp_path, source, video, tiny_pipe):
        target = tmp_path / "video.mp4"

        def stop(done: int, total: int) -> None:
            if done == SEGMENT_FRAMES + 1:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            colorize_video(source, target, Series(tiny_pipe, scale=1), progress=stop)
        for changed, series, arguments in [
            ("source", Series(tiny_pipe, scale=1), {"source": video}),
            ("quality", Series(tiny_pipe, scale=1), {"quality": 5}),
            ("arguments", Series(tiny_pipe, scale=2), {}),
            ("reference", Series(tiny_pipe, "first", scale=1), {}),
        ]:
            call = {"source": source, "target": target, "series": series, **arguments}
            with pytest.raises(ValueError, match=rf"video.mp4.parts: .*{changed}"):
                colorize_video(**call)
        assert colorize_video(source, target, Series(tiny_pipe, scale=1)).resumed == SEGMENT_FRAMES

    def test_a_video_whose_segments_are_complete(self, tmp_path, video, monkeypatch):
        def fail(*args):
            raise OSError("no space left")

        target = tmp_path / "video.mp4"
        with monkeypatch.context() as patch:
            patch.setattr(Segments, "finish", fail)
            with pytest.raises(OSError, match="no space"):
                colorize_video(video, target, Painter())
        painter = Painter()
        result = colorize_video(video, target, painter)
        assert result.resumed == result.frames == FRAMES
        assert painter.seen == []

    def test_a_series_starts_over_with_every_video(self, tmp_path, video, tiny_pipe):
        series = Series(tiny_pipe, "first", propagate=True, scale=1)
        results = [
            colorize_video(video, tmp_path / name, series).target.read_bytes()
            for name in ("a.mp4", "b.mp4")
        ]
        assert results[0] == results[1]
