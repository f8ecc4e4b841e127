"""Streams of folders, parquet and .tar files, and the decoding of their images."""

import contextlib
import io
import random
import tarfile

import datasets
import numpy as np
import pyarrow.parquet
import pytest
from datasets.distributed import split_dataset_by_node
from PIL import Image

from helpers.images import make_image
from scsnet_hf.data.photographs import (
    damaged_shards,
    encoded_size,
    iterate_photographs,
    open_photograph,
    stream_photographs,
)
from scsnet_hf.data.selection import Selection
from scsnet_hf.data.sources import DataSource


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)


def encoded(image: Image.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def write_parquet(path, widths, column="image", row_group_size=3, images=None):
    images = images or [make_image(width, 40, seed=width) for width in widths]
    features = datasets.Features({column: datasets.Image(), "title": datasets.Value("string")})
    rows = [{"bytes": encoded(image), "path": None} for image in images]
    table = pyarrow.Table.from_pydict(
        {column: rows, "title": ["" for _ in rows]}, schema=features.arrow_schema
    )
    pyarrow.parquet.write_table(table, path, row_group_size=row_group_size)
    return str(path)


def write_tar(path, widths, suffix="png"):
    with tarfile.open(path, "w") as archive:
        for index, width in enumerate(widths):
            for ending, content in ((suffix, encoded(make_image(width, 40))), ("json", b"{}")):
                member = tarfile.TarInfo(f"{index:03}.{ending}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return str(path)


def widths_of(stream) -> list[int]:
    return [open_photograph(row["image"]).width for row in stream]


@pytest.fixture
def folder(tmp_path):
    """Five images of different sizes, two of them in a folder of their own."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for index in range(5):
        place = folder if index < 3 else folder / "more"
        make_image(40 + index, 40, seed=index).save(place / f"{index}.png")
    return folder


@pytest.fixture
def parquet(tmp_path):
    return write_parquet(tmp_path / "photos.parquet", range(40, 50))


@pytest.fixture
def two_files(tmp_path):
    """Sixteen images; every other one is a small file."""
    for number in range(2):
        images = [
            make_image(40 + 8 * number + index, 40) if index % 2 else Image.new("RGB", (8, 8))
            for index in range(8)
        ]
        write_parquet(tmp_path / f"{number}.parquet", None, images=images)
    return str(tmp_path / "*.parquet")


class TestStreams:
    def test_a_folder_is_streamed_with_its_subfolders(self, folder):
        assert set(widths_of(stream_photographs(str(folder)))) == {40, 41, 42, 43, 44}

    def test_a_path_is_taken_like_a_string(self, folder):
        assert len(widths_of(stream_photographs(folder))) == 5

    def test_a_parquet_file_is_streamed_in_order(self, parquet):
        assert widths_of(stream_photographs(parquet)) == list(range(40, 50))

    def test_its_images_are_the_ones_written(self, parquet):
        first = open_photograph(next(iter(stream_photographs(parquet)))["image"])
        assert first.tobytes() == make_image(40, 40, seed=40).tobytes()

    def test_a_list_of_parquet_files_is_streamed(self, parquet):
        assert len(list(stream_photographs([parquet, parquet]))) == 20

    def test_a_pattern_is_streamed_in_the_order_of_names(self, tmp_path):
        for name, width in (("b", 42), ("c", 43), ("a", 41)):
            write_parquet(tmp_path / f"{name}.parquet", [width])
        assert widths_of(stream_photographs(str(tmp_path / "*.parquet"))) == [41, 42, 43]

    def test_a_folder_of_parquet_files_is_streamed(self, parquet, tmp_path):
        assert widths_of(stream_photographs(tmp_path)) == list(range(40, 50))

    def test_another_split_in_a_folder_is_left_alone(self, tmp_path):
        write_parquet(tmp_path / "train-0.parquet", [41])
        write_parquet(tmp_path / "validation-0.parquet", [42])
        write_parquet(tmp_path / "more.parquet", [43])
        assert widths_of(stream_photographs(tmp_path)) == [43, 41]
        assert widths_of(stream_photographs(DataSource(tmp_path, split="validation"))) == [42]

    def test_names_of_images_mean_nothing(self, folder):
        for name, width in (("train station", 45), ("test", 46), ("val/metadata", 47)):
            (folder / name).parent.mkdir(exist_ok=True)
            make_image(width, 40).save(folder / f"{name}.jpg")
        assert sorted(widths_of(stream_photographs(folder))) == list(range(40, 48))

    def test_other_files_in_a_folder_are_passed_over(self, folder):
        for name in ("notes.txt", "state.json", "metadata.csv", ".hidden.png", "no_suffix"):
            (folder / name).write_text("file_name,x\n1.png,2\n")
        assert sorted(widths_of(stream_photographs(folder))) == list(range(40, 45))

    def test_other_files_beside_parquet_are_passed_over(self, parquet, tmp_path):
        for name in ("notes.txt", "state.json", ".hidden.parquet", "a.png"):
            (tmp_path / name).write_text("x")
        assert len(widths_of(stream_photographs(tmp_path))) == 10

    def test_a_tar_file_is_streamed_in_order(self, tmp_path):
        path = write_tar(tmp_path / "photos.tar", [40, 41, 42])
        assert widths_of(stream_photographs(path)) == [40, 41, 42]

    @pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "webp"])
    def test_the_images_of_a_tar_file_may_have_any_suffix(self, tmp_path, suffix):
        write_tar(tmp_path / "photos.tar", [40], suffix)
        assert widths_of(stream_photographs(tmp_path)) == [40]

    @pytest.mark.parametrize("name", ["a[1]", "a*", "a b"])
    def test_odd_names_are_read(self, tmp_path, name):
        (tmp_path / name).mkdir()
        path = write_parquet(tmp_path / name / "b[2].parquet", [41])
        (tmp_path / name / "[p]").mkdir()
        make_image(42, 40).save(tmp_path / name / "[p]" / "c[1].png")
        assert widths_of(stream_photographs(path)) == [41]
        assert widths_of(stream_photographs(tmp_path / name)) == [41]
        assert widths_of(stream_photographs(tmp_path / name / "[p]")) == [42]

    def test_only_the_undecoded_image_is_streamed(self, parquet):
        row = next(iter(stream_photographs(parquet)))
        assert set(row) == {"image"}
        assert set(row["image"]) == {"bytes", "path"}

    def test_a_row_group_is_a_shard(self, parquet):
        assert stream_photographs(parquet).num_shards == 4

    @pytest.mark.parametrize("choice", [None, "img"])
    def test_a_column_of_another_name_is_found(self, tmp_path, choice):
        path = write_parquet(tmp_path / "a.parquet", [41], column="img")
        assert widths_of(stream_photographs(path, image_column=choice)) == [41]

    def test_images_are_iterated_in_order(self, parquet):
        assert [image.width for image in iterate_photographs(parquet)] == list(range(40, 50))

    def test_iterating_in_a_random_order_follows_the_seed(self, parquet):
        def widths(seed):
            return [image.width for image in iterate_photographs(parquet, shuffle_seed=seed)]

        assert widths(0) == widths(0) != widths(1)
        assert sorted(widths(0)) == list(range(40, 50))


class TestRandomChoice:
    @pytest.fixture
    def many(self, tmp_path):
        """2,000 images, numbered by their level, in row groups of 50."""
        images = [
            Image.new("RGB", (2, 1), (number // 256, number % 256, 0)) for number in range(2000)
        ]
        return write_parquet(tmp_path / "a.parquet", None, row_group_size=50, images=images)

    @staticmethod
    def choose(source, seed, limit=100):
        pixels = (one.getpixel((0, 0)) for one in iterate_photographs(source, seed, limit))
        return [256 * high + low for high, low, _ in pixels]

    def test_it_is_of_the_whole_set(self, many):
        numbers = self.choose(many, seed=0)
        assert len(set(numbers)) == 100
        assert all(number >= 12 for number in np.histogram(numbers, 4, (0, 2000))[0])
        assert len({number // 50 for number in numbers}) > 30  # of 40 row groups

    def test_it_follows_the_seed(self, many):
        assert self.choose(many, 0) == self.choose(many, 0) != self.choose(many, 1)

    def test_its_order_is_random(self, many):
        numbers = self.choose(many, 0)
        assert abs(np.corrcoef(numbers, range(100))[0, 1]) < 0.4

    def test_images_that_are_not_selected_are_replaced(self, tmp_path):
        images = [Image.new("RGB", (4, 4), "gray" if n % 2 else "red") for n in range(60)]
        path = write_parquet(tmp_path / "a.parquet", None, images=images)
        source = DataSource(path, selection=Selection(min_colorfulness=5))
        assert len(list(iterate_photographs(source, 0, 20))) == 20
        assert len(list(iterate_photographs(source, 0, 40))) == 30

    def test_without_a_seed_the_first_are_taken(self, parquet):
        assert [one.width for one in iterate_photographs(parquet, limit=3)] == [40, 41, 42]


class TestResuming:
    """`datasets` gives the means; these hold that nothing here takes them away."""

    FEW = Selection(min_bytes=500)

    def stream(self, source):
        return stream_photographs(source, selection=self.FEW)

    def shuffled(self, source):
        return self.stream(source).shuffle(seed=1, max_buffer_input_shards=1, buffer_size=1)

    def test_the_selection_leaves_half(self, two_files):
        assert widths_of(self.stream(two_files)) == list(range(41, 56, 2))

    @pytest.mark.parametrize("order", ["stream", "shuffled"])
    @pytest.mark.parametrize("place", [0, 1, 3, 4, 5, 8])
    def test_a_stream_goes_on_where_its_state_was_taken(self, two_files, place, order):
        make = getattr(self, order)
        expected = widths_of(make(two_files))
        stream = make(two_files)
        rows = iter(stream)
        for _ in range(place):
            next(rows)
        again = make(two_files)
        again.load_state_dict(stream.state_dict())
        assert widths_of(again) == expected[place:]

    @pytest.mark.parametrize("place", [1, 4, 11])
    def test_so_does_an_endless_stream(self, two_files, place):
        def take(stream, count):
            return widths_of(row for _, row in zip(range(count), stream, strict=False))

        expected = take(self.shuffled(two_files).repeat(None), 20)
        stream, again = (self.shuffled(two_files).repeat(None) for _ in range(2))
        rows = iter(stream)
        take(rows, place)
        again.load_state_dict(stream.state_dict())
        assert take(again, 20 - place) == expected[place:]

    @pytest.mark.parametrize("kind", ["folder", "tar"])
    def test_so_do_folders_and_tar_files(self, folder, tmp_path, kind):
        source = folder if kind == "folder" else write_tar(tmp_path / "a.tar", range(40, 45))
        stream, again = (stream_photographs(source, selection=Selection(1)) for _ in range(2))
        rows = iter(stream)
        first = widths_of(next(rows) for _ in range(2))
        again.load_state_dict(stream.state_dict())
        assert sorted(first + widths_of(again)) == list(range(40, 45))

    @pytest.mark.parametrize("world", [2, 3])
    def test_processes_share_the_images(self, two_files, world):
        parts = (
            split_dataset_by_node(self.stream(two_files), rank=rank, world_size=world)
            for rank in range(world)
        )
        assert sorted(width for part in parts for width in widths_of(part)) == list(
            range(41, 56, 2)
        )

    def test_batches_can_be_mapped(self, two_files):
        def measure(rows):
            return {"width": [open_photograph(image).width for image in rows["image"]]}

        mapped = self.stream(two_files).map(
            measure, batched=True, batch_size=3, remove_columns=["image"]
        )
        assert [row["width"] for row in mapped] == list(range(41, 56, 2))


class TestOpening:
    def test_every_mode_is_opened_as_rgb(self):
        content = encoded(make_image(9, 7, "L"))
        assert open_photograph({"bytes": content, "path": None}).mode == "RGB"

    def test_an_image_is_turned_upright(self):
        exif = Image.Exif()
        exif[0x0112] = 6  # orientation: a quarter turn clockwise
        content = encoded(make_image(9, 7), "JPEG", exif=exif)
        assert open_photograph({"bytes": content, "path": None}).size == (7, 9)

    def test_a_path_is_opened(self, folder):
        assert open_photograph({"bytes": None, "path": str(folder / "1.png")}).width == 41

    def test_a_url_is_opened(self):
        import fsspec

        with fsspec.open("memory://photo.png", "wb") as file:
            file.write(encoded(make_image(9, 7)))
        image = {"bytes": None, "path": "memory://photo.png"}
        assert open_photograph(image).size == (9, 7)
        assert encoded_size(image) == len(encoded(make_image(9, 7)))

    @pytest.mark.parametrize(
        ("content", "reason"),
        [(b"", "0 bytes: is empty"), (b"no image", "8 bytes: is not an image")],
    )
    def test_what_is_no_image_is_refused(self, content, reason):
        with pytest.raises(ValueError, match=reason):
            open_photograph({"bytes": content, "path": None})

    def test_formats_that_start_other_programs_are_refused(self):
        content = encoded(make_image(9, 7), "EPS")
        with pytest.raises(ValueError, match="is not an image"):
            open_photograph({"bytes": content, "path": None})

    def test_gray_of_16_bits_is_scaled_by_its_depth(self):
        levels = np.full((4, 5), 30_000, dtype=np.uint16)
        image = open_photograph({"bytes": encoded(Image.fromarray(levels)), "path": None})
        assert image.getpixel((0, 0)) == (116,) * 3  # 30000 / 257

    def test_what_is_transparent_has_the_colors_around_it(self):
        image = make_image(9, 7).convert("RGBA")
        image.putpixel((4, 3), (0, 0, 0, 0))
        result = open_photograph({"bytes": encoded(image), "path": None})
        assert result.mode == "RGB"
        assert max(result.getpixel((4, 3))) > 30

    @pytest.mark.parametrize("image", [None, {"bytes": None, "path": None}])
    def test_a_row_without_image_is_refused(self, image):
        assert encoded_size(image) == 0
        with pytest.raises(ValueError, match="no image"):
            open_photograph(image)

    @pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF"])
    def test_damage_of_any_kind_is_a_value_error(self, kind):
        exif = Image.Exif()
        exif[0x0112] = 6
        content = encoded(make_image(40, 30), kind, **({"exif": exif} if kind != "GIF" else {}))
        rng = random.Random(0)
        for _ in range(150):
            damaged = bytearray(content)
            for _ in range(4):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            with contextlib.suppress(ValueError):
                open_photograph({"bytes": bytes(damaged), "path": None})


class TestSelection:
    def test_small_files_are_left_out_of_a_folder(self, folder):
        (folder / "empty.png").write_bytes(b"")
        Image.new("RGB", (500, 500)).save(folder / "black.jpg", quality=1)
        sizes = {path: path.stat().st_size for path in folder.rglob("*.*")}
        least = sorted(sizes.values())[3]
        kept = list(stream_photographs(folder, selection=Selection(min_bytes=least)))
        assert len(kept) == sum(size >= least for size in sizes.values()) < len(sizes)

    def test_size_does_not_take_decoding(self, folder):
        (folder / "bad.png").write_bytes(b"no image" * 10_000)
        kept = list(stream_photographs(folder, selection=Selection(min_bytes=50_000)))
        assert [row["image"]["path"].endswith("bad.png") for row in kept] == [True]

    def test_iterating_leaves_gray_out(self, folder):
        Image.new("RGB", (77, 77), "gray").save(folder / "gray.png")
        source = DataSource(folder, selection=Selection(min_colorfulness=5))
        assert sorted(image.width for image in iterate_photographs(source)) == [*range(40, 45)]

    def test_a_data_source_carries_its_selection(self, two_files):
        source = DataSource(two_files, selection=Selection(min_bytes=500))
        assert len(widths_of(stream_photographs(source))) == 8


class TestErrors:
    def test_a_table_without_images_is_refused(self, tmp_path):
        path = tmp_path / "table.parquet"
        datasets.Dataset.from_dict({"title": ["a"]}).to_parquet(path)
        with pytest.raises(ValueError, match=r"no column 'image' .*'title'"):
            stream_photographs(str(path))

    def test_an_unknown_column_is_refused_with_those_there_are(self, parquet):
        with pytest.raises(ValueError, match=r"no column 'photo' .*'image', 'title'"):
            stream_photographs(parquet, image_column="photo")

    @pytest.mark.parametrize("source", ["nothing", "./nothing", "a/b/c", "photo.jpg"])
    def test_what_is_nothing_is_refused(self, source):
        with pytest.raises(ValueError, match="neither a folder"):
            stream_photographs(source)

    @pytest.mark.parametrize("pattern", ["*.parquet", "a.parquet", "*.tar"])
    def test_a_pattern_without_files_is_refused(self, tmp_path, pattern):
        with pytest.raises(ValueError, match="no such file"):
            stream_photographs(str(tmp_path / pattern))

    @pytest.mark.parametrize("files", [["a.parquet", "b.tar"], ["a.png"], []])
    def test_a_list_of_other_files_is_refused(self, files):
        with pytest.raises(ValueError, match=r"either \.parquet files or \.tar files"):
            stream_photographs(files)

    def test_a_folder_without_images_is_refused(self, tmp_path):
        (tmp_path / "notes.txt").write_text("")
        with pytest.raises(ValueError, match="there are no images"):
            stream_photographs(tmp_path)

    def test_a_missing_split_is_refused(self, parquet, tmp_path):
        with pytest.raises(ValueError, match="none of the split 'test'"):
            stream_photographs(DataSource(tmp_path, split="test"))

    @pytest.mark.parametrize("length", [0, 3, 200])
    @pytest.mark.parametrize("as_folder", [True, False])
    def test_a_truncated_parquet_file_is_named(self, tmp_path, length, as_folder):
        path = write_parquet(tmp_path / "a.parquet", range(40, 44))
        bad = tmp_path / "b.parquet"
        bad.write_bytes((tmp_path / "a.parquet").read_bytes()[:length])
        with pytest.raises(ValueError, match=r"b\.parquet: damaged"):
            stream_photographs(tmp_path if as_folder else [path, str(bad)])

    def test_a_parquet_file_without_rows_is_named(self, tmp_path):
        path = write_parquet(tmp_path / "a.parquet", [])
        with pytest.raises(ValueError, match=r"a\.parquet: has no rows"):
            stream_photographs(path)

    @pytest.mark.parametrize("length", [0, 3, 512 * 8, 5000])
    def test_a_truncated_tar_file_is_named(self, tmp_path, length):
        path = write_tar(tmp_path / "a.tar", range(40, 50))
        bad = tmp_path / "b.tar"
        bad.write_bytes((tmp_path / "a.tar").read_bytes()[:length])
        with pytest.raises(ValueError, match=r"b\.tar: truncated"):
            stream_photographs([path, str(bad)])

    def test_damage_inside_a_file_is_not_skipped_in_silence(self, tmp_path):
        path = tmp_path / "a.parquet"
        write_parquet(path, range(40, 50))
        content = bytearray(path.read_bytes())
        content[4:60] = b"\xff" * 56
        path.write_bytes(content)
        with pytest.raises((OSError, ValueError)):
            list(stream_photographs(str(path)))

    def test_the_damaged_file_can_be_found(self, tmp_path):
        write_parquet(tmp_path / "a.parquet", range(40, 50))
        bad = tmp_path / "b.parquet"
        content = bytearray((tmp_path / "a.parquet").read_bytes())
        content[4:60] = b"\xff" * 56
        bad.write_bytes(content)
        for path in (
            tmp_path,
            str(tmp_path / "*.parquet"),
            [str(tmp_path / "a.parquet"), str(bad)],
        ):
            assert damaged_shards(DataSource(path)) == [bad]

    def test_offline_the_hub_is_refused_with_the_reason(self):
        with pytest.raises(ValueError, match="HF_HUB_OFFLINE is set"):
            stream_photographs("owner/name")

    @pytest.mark.parametrize("source", ["owner/name", "imagenet-c"])
    def test_a_missing_or_gated_data_set_is_refused_with_what_to_do(self, monkeypatch, source):
        def refuse(*args, **kwargs):
            raise datasets.exceptions.DatasetNotFoundError("it is gated")

        monkeypatch.setattr(datasets, "load_dataset", refuse)
        with pytest.raises(
            ValueError, match=r"accept the terms at https://.*hf auth login"
        ) as info:
            stream_photographs(source)
        assert isinstance(info.value.__cause__, datasets.exceptions.DatasetNotFoundError)
