"""Endless samples and their loader: order, parts of several processes, position, what is left out.

Most images here have one level, their number, which identifies the image of a sample.
"""

import io
import json
import os
import random
import re
from itertools import islice

import datasets
import numpy as np
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from helpers.images import make_image
from scsnet_hf.data import (
    PairMaker,
    Selection,
    SkippedImages,
    collate,
    open_photograph,
    stream_photographs,
    training_loader,
    training_stream,
)

PAIRS = PairMaker(source_size=8, label_size=8, reference_size=8)


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)


def encoded(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def level(number: int) -> bytes:
    return encoded(Image.new("RGB", (12, 12), (number, number, number)))


def write_parquet(path, contents: list[bytes], names=None, row_group_size: int = 1000) -> str:
    """Encoded images to a file whose row groups are shards."""
    names = names or [f"{path.stem}-{index}" for index in range(len(contents))]
    rows = [{"bytes": content, "path": name} for content, name in zip(contents, names, strict=True)]
    features = datasets.Features(image=datasets.Image(decode=False))
    table = pyarrow.Table.from_pydict({"image": rows}, schema=features.arrow_schema)
    pyarrow.parquet.write_table(table, path, row_group_size=row_group_size)
    return str(path)


def write_levels(folder, shards: int, each: int):
    """`shards` files of `each` images, numbered from 0."""
    for shard in range(shards):
        numbers = range(shard * each, (shard + 1) * each)
        write_parquet(folder / f"{shard}.parquet", [level(number) for number in numbers])
    return folder


def stream_of(source, make_pair=PAIRS, block_size: int = 8, min_shards: int = 1, **arguments):
    photographs = stream_photographs(str(source))
    sizes = {"block_size": block_size, "min_shards": min_shards}
    return training_stream(photographs, make_pair, **sizes, **arguments)


def take(source, count: int, make_pair=PAIRS, **arguments) -> list[dict]:
    return list(islice(stream_of(source, make_pair, **arguments), count))


def numbers_of(samples, name="source") -> list[int]:
    return [int(sample[name][0, 0, 0]) for sample in samples]


def seeds_of(samples) -> list[int]:
    return [int(sample["seed"]) for sample in samples]


class TestSamples:
    @pytest.fixture
    def twelve(self, tmp_path):
        return write_levels(tmp_path, shards=1, each=12)

    def test_they_are_those_of_the_pair_maker(self, twelve):
        made = take(twelve, 1)[0]
        expected = PAIRS(make_image(20, 20), random.Random(0))
        assert made.keys() == expected.keys()
        for name, array in expected.items():
            assert np.asarray(made[name]).shape == array.shape
            assert np.asarray(made[name]).dtype == array.dtype

    def test_a_parquet_file_never_ends(self, twelve):
        assert len(take(twelve, 40)) == 40

    def test_a_folder_of_images_never_ends(self, tmp_path):
        for index in range(3):
            make_image(20 + index, 20, seed=index).save(tmp_path / f"{index}.png")
        assert len(take(tmp_path, 20)) == 20

    def test_a_second_pass_cuts_other_samples(self, tmp_path):
        write_parquet(tmp_path / "a.parquet", [encoded(make_image(40, 30))])
        assert len({made["source"].tobytes() for made in take(tmp_path, 10)}) > 5

    def test_no_two_samples_have_the_same_seed(self, twelve):
        assert len(set(seeds_of(take(twelve, 60)))) == 60

    def test_the_seed_of_the_stream_decides(self, twelve):
        one, same, other = (seeds_of(take(twelve, 6, seed=seed)) for seed in (3, 3, 4))
        assert one == same
        assert not set(one) & set(other)


class TestDataSets:
    """Photographs that are already in a data set of `datasets`."""

    @pytest.fixture
    def table(self):
        features = datasets.Features(image=datasets.Image(), label=datasets.Value("int64"))
        images = [{"bytes": level(number), "path": None} for number in range(12)]
        return datasets.Dataset.from_dict({"image": images, "label": [0] * 12}, features=features)

    @pytest.mark.parametrize("kind", ["Dataset", "IterableDataset"])
    def test_they_are_taken(self, table, kind):
        photographs = table if kind == "Dataset" else table.to_iterable_dataset(num_shards=3)
        samples = list(islice(training_stream(photographs, PAIRS, block_size=4), 12))
        numbers = numbers_of(samples)
        assert numbers != sorted(numbers)
        assert sorted(numbers) == list(range(12))

    def test_loader_processes_share_a_dataset(self, table):
        assert training_stream(table, PAIRS).num_shards == 12

    def test_another_column_is_named(self, table):
        with pytest.raises(ValueError, match="no column 'image', only photo, label: rename one"):
            training_stream(table.rename_column("image", "photo"), PAIRS)

    def test_a_stream_has_the_features_of_its_samples(self, table):
        stream = training_stream(table, PAIRS)
        sample = next(iter(stream))
        assert sample.keys() == stream.features.keys()
        for name, array in sample.items():
            feature = stream.features[name]
            shape = getattr(feature, "shape", (2,) if "output" in name else ())
            dtype = getattr(feature, "dtype", None) or feature.feature.dtype
            assert (array.shape, array.dtype) == (shape, np.dtype(dtype))
        formatted = next(iter(stream.with_format("torch")))
        assert torch.equal(formatted["labels"], torch.tensor(sample["labels"]))
        assert formatted["seed"] == sample["seed"]


class TestShuffling:
    @pytest.fixture
    def twelve(self, tmp_path):
        return write_levels(tmp_path, shards=1, each=12)

    def test_the_order_is_not_that_of_the_file(self, twelve):
        numbers = numbers_of(take(twelve, 12, block_size=12))
        assert numbers != sorted(numbers)
        assert sorted(numbers) == list(range(12))

    def test_the_seed_decides(self, twelve):
        one, same, other = (
            numbers_of(take(twelve, 12, seed=seed, block_size=12)) for seed in (3, 3, 4)
        )
        assert one == same
        assert one != other

    def test_it_is_done_block_by_block(self, twelve):
        numbers = numbers_of(take(twelve, 12, block_size=4))
        blocks = [numbers[start : start + 4] for start in range(0, 12, 4)]
        assert [sorted(block) for block in blocks] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
        assert any(block != sorted(block) for block in blocks)

    def test_blocks_of_one_keep_the_order(self, twelve):
        assert numbers_of(take(twelve, 12, block_size=1)) == list(range(12))

    def test_each_pass_has_an_order_of_its_own(self, twelve):
        numbers = numbers_of(take(twelve, 36, block_size=12))
        passes = {tuple(numbers[start : start + 12]) for start in (0, 12, 24)}
        assert len(passes) == 3

    def test_shards_come_in_random_order(self, tmp_path):
        write_levels(tmp_path, shards=6, each=2)
        orders = set()
        for seed in range(4):
            shards = [
                number // 2 for number in numbers_of(take(tmp_path, 12, seed=seed, block_size=1))
            ]
            assert shards[::2] == shards[1::2]
            assert sorted(shards[::2]) == list(range(6))
            orders.add(tuple(shards))
        assert len(orders) > 1


class TestWholeList:
    """Forty classes of a hundred images, in the order of classes."""

    CLASSES, EACH = 40, 100

    @pytest.fixture(scope="class")
    @classmethod
    def sources(cls, tmp_path_factory):
        """The same as a folder of classes, as small row groups, and as a single row group."""
        folders = {
            kind: tmp_path_factory.mktemp(kind) for kind in ("files", "row-groups", "row-group")
        }
        levels = [level(number) for number in range(cls.CLASSES)]
        for number, content in enumerate(levels):
            (folders["files"] / f"class-{number:02}").mkdir()
            for index in range(cls.EACH):
                (folders["files"] / f"class-{number:02}" / f"{index}.png").write_bytes(content)
        contents = [content for content in levels for _ in range(cls.EACH)]
        write_parquet(folders["row-groups"] / "a.parquet", contents, row_group_size=10)
        write_parquet(folders["row-group"] / "a.parquet", contents, row_group_size=4000)
        return folders

    @pytest.mark.parametrize(("kind", "classes"), [("files", 35), ("row-group", 35)])
    def test_the_first_block_has_nearly_all_classes(self, sources, kind, classes):
        samples = take(sources[kind], 256, block_size=256, min_shards=32)
        assert len(set(numbers_of(samples))) >= classes

    @pytest.mark.parametrize("kind", ["files", "row-groups", "row-group"])
    def test_a_pass_has_each_image_once(self, sources, kind):
        numbers = numbers_of(take(sources[kind], 4000, block_size=250, min_shards=32))
        assert np.bincount(numbers).tolist() == 40 * [100]


class TestOtherReference:
    @pytest.fixture
    def shares(self, tmp_path):
        """Share -> 24 samples of as many images."""
        write_levels(tmp_path, shards=2, each=12)
        return {
            share: take(
                tmp_path,
                24,
                PairMaker(8, 8, 8, other_reference_probability=share),
                seed=2,
                block_size=24,
            )
            for share in (0.0, 0.5, 1.0)
        }

    @staticmethod
    def others(samples) -> int:
        pairs = zip(numbers_of(samples), numbers_of(samples, "reference"), strict=True)
        return sum(source != reference for source, reference in pairs)

    def test_at_0_the_reference_shows_the_same_image(self, shares):
        assert self.others(shares[0.0]) == 0

    def test_at_1_it_shows_another(self, shares):
        assert self.others(shares[1.0]) == 24

    def test_between_it_does_so_now_and_then(self, shares):
        assert 4 < self.others(shares[0.5]) < 20

    def test_the_rest_of_the_sample_stays(self, shares):
        for name in ("source", "labels", "output_size", "output_start", "seed"):
            own, other = ([sample[name] for sample in shares[share]] for share in (0.0, 1.0))
            assert np.array_equal(own, other)

    def test_at_1_no_reference_is_lost(self, shares):
        own, other = (sorted(numbers_of(shares[share], "reference")) for share in (0.0, 1.0))
        assert own == other


@pytest.fixture
def skipped(tmp_path):
    return SkippedImages(tmp_path / "run" / "skipped.jsonl")


class TestUnusableImages:
    REASONS = {
        "damaged": (encoded(make_image(40, 40))[:200], "truncated"),
        "no image": (b"no image", "not an image"),
        "empty": (b"", "0 bytes: is empty"),
        "too small": (encoded(make_image(7, 7)), "7x7 is too small"),
        "not selected": (level(1), "colorfulness 0.0 is below 5"),
    }

    @pytest.fixture(params=REASONS)
    def case(self, request, tmp_path):
        """A source of six good images and a bad one, and why it is left out."""
        content, reason = self.REASONS[request.param]
        contents = [encoded(make_image(20, 20, seed=index)) for index in range(6)]
        names = [f"good{index}.png" for index in range(6)]
        folder = tmp_path / "photographs"
        folder.mkdir()
        write_parquet(folder / "a.parquet", [content, *contents], ["bad.png", *names])
        return folder, reason

    SELECTION = Selection(min_colorfulness=5)

    def test_it_is_noted_with_the_reason(self, case, skipped):
        folder, reason = case
        take(folder, 12, selection=self.SELECTION, skipped=skipped)
        noted = skipped.read()
        assert noted.keys() == {"bad.png"}
        assert re.search(reason, noted["bad.png"])

    def test_over_several_passes_it_is_noted_once(self, case, skipped, caplog):
        take(case[0], 30, selection=self.SELECTION, skipped=skipped)
        assert len(skipped.path.read_text().splitlines()) == 1
        assert sum("bad.png" in message for message in caplog.messages) == 1

    def test_the_others_go_on(self, case):
        samples = take(case[0], 20, selection=self.SELECTION)
        assert len(set(seeds_of(samples))) == 20

    def test_an_image_without_a_name_is_noted_by_its_content(self, tmp_path, skipped):
        contents = [b"bad", b"worse", level(1)]
        write_parquet(tmp_path / "a.parquet", contents, [None] * 3)
        take(tmp_path, 6, skipped=skipped)
        assert len(skipped.read()) == 2
        assert all(name.startswith("image with CRC-32 ") for name in skipped.read())

    def test_a_row_without_image_is_skipped(self, tmp_path, skipped):
        table = datasets.Dataset.from_dict(
            {"image": [{"bytes": level(1), "path": None}, None]},
            features=datasets.Features(image=datasets.Image(decode=False)),
        )
        table.to_parquet(tmp_path / "a.parquet")
        assert numbers_of(take(tmp_path, 4, skipped=skipped)) == [1] * 4
        assert list(skipped.read().values()) == ["the row has no image"]

    def test_hundreds_in_a_row_are_skipped(self, tmp_path):
        write_parquet(tmp_path / "a.parquet", [b"bad"] * 900 + [level(1)])
        assert numbers_of(take(tmp_path, 3, block_size=1)) == [1] * 3

    def test_more_than_a_thousand_in_a_row_are_refused(self, tmp_path):
        write_parquet(tmp_path / "a.parquet", [level(1)] + [b"bad"] * 1001)
        with pytest.raises(ValueError, match=r"1001 images .* not an image"):
            take(tmp_path, 2, block_size=1)

    def test_a_data_set_without_a_usable_image_is_refused(self, tmp_path):
        write_parquet(tmp_path / "a.parquet", [level(1)] * 101)
        with pytest.raises(ValueError, match=r"colorfulness 0\.0 is below 5"):
            take(tmp_path, 1, selection=self.SELECTION)

    @pytest.mark.parametrize("workers", [0, 2])
    def test_a_shard_damaged_in_the_middle_is_not_skipped(self, tmp_path, workers):
        noise = np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), dtype=np.uint8)
        contents = [encoded(Image.fromarray(pixels)) for pixels in noise]
        for name in "ab":
            write_parquet(tmp_path / f"{name}.parquet", contents)
        path = tmp_path / "b.parquet"
        content = bytearray(path.read_bytes())
        third = len(content) // 3
        content[third : 2 * third] = bytes(third)
        path.write_bytes(content)
        batches = iter(training_loader(stream_of(tmp_path), 4, workers))
        with pytest.raises(OSError):
            list(islice(batches, 30))


class TestSkippedImages:
    def test_nothing_is_skipped_at_first(self, skipped):
        assert skipped.read() == {}

    def test_each_image_has_its_reason(self, skipped):
        skipped.add("a.png", "it is [too] small")
        skipped.add("b\n.png", 'ä "quoted" reason')
        assert skipped.read() == {"a.png": "it is [too] small", "b\n.png": 'ä "quoted" reason'}

    def test_the_same_again_changes_nothing(self, skipped):
        for _ in range(3):
            skipped.add("a.png", "it is damaged")
        assert skipped.read() == {"a.png": "it is damaged"}

    def test_several_processes_share_the_file(self, skipped):
        other = SkippedImages(skipped.path)
        skipped.add("a.png", "damaged")
        other.add("b.png", "damaged")
        assert skipped.read().keys() == other.read().keys() == {"a.png", "b.png"}

    @pytest.mark.parametrize("length", range(1, len('["b.png", "[too] small"]')))
    def test_a_line_that_was_cut_off_is_ignored(self, skipped, length):
        skipped.add("a.png", "damaged")
        with skipped.path.open("a") as file:
            file.write(json.dumps(["b.png", "[too] small"])[:length])
        assert skipped.read() == {"a.png": "damaged"}

    def test_so_it_is_when_the_file_goes_on_after_it(self, skipped):
        skipped.add("a.png", "damaged")
        with skipped.path.open("a") as file:
            file.write('["b.png", "dam')
        for name in ("c.png", "d.png"):
            skipped.add(name, "damaged")
        assert {"a.png", "d.png"} <= skipped.read().keys() <= {"a.png", "c.png", "d.png"}


class TestLoader:
    def test_it_makes_batches_of_tensors(self, tmp_path):
        write_levels(tmp_path, shards=1, each=6)
        batch = next(iter(training_loader(stream_of(tmp_path), batch_size=4)))
        assert batch["source"].shape == (4, 3, 8, 8)
        assert batch["source"].dtype == torch.uint8
        assert batch["seed"].shape == (4,)

    def test_without_workers_it_gives_the_samples_of_the_stream(self, tmp_path):
        write_levels(tmp_path, shards=2, each=6)
        batches = islice(training_loader(stream_of(tmp_path), batch_size=5), 4)
        assert torch.cat([batch["seed"] for batch in batches]).tolist() == seeds_of(
            take(tmp_path, 20)
        )

    @pytest.mark.parametrize(
        ("shards", "world_size", "asked", "given"),
        [(4, 1, 2, 2), (1, 1, 2, 1), (4, 2, 8, 2), (3, 2, 8, 2), (1, 2, 8, 1), (4, 1, 0, 0)],
    )
    def test_no_worker_is_without_a_shard(self, tmp_path, shards, world_size, asked, given):
        write_levels(tmp_path, shards, each=1)
        loader = training_loader(stream_of(tmp_path), 2, asked, world_size=world_size)
        assert loader.num_workers == given

    def test_workers_share_the_images(self, tmp_path):
        write_levels(tmp_path, shards=4, each=3)
        loader = training_loader(stream_of(tmp_path, block_size=3), batch_size=3, workers=2)
        numbers = torch.cat([batch["source"][:, 0, 0, 0] for batch in islice(loader, 4)])
        assert sorted(numbers.tolist()) == list(range(12))


class TestSeveralProcesses:
    @staticmethod
    def parts(source, world_size: int, batches: int, batch_size: int, name: str, workers=0):
        """What each process gets of `name`, the level or seed of every sample."""
        parts = []
        for rank in range(world_size):
            stream = stream_of(source, block_size=2)
            loader = training_loader(stream, batch_size, workers, rank, world_size)
            values = [batch[name] for batch in islice(loader, batches)]
            parts.append(torch.cat([value.reshape(batch_size, -1)[:, 0] for value in values]))
        return [part.tolist() for part in parts]

    SHARES = [(1, 12, 2), (1, 12, 3), (2, 6, 2), (6, 2, 2), (6, 2, 3), (2, 6, 3)]

    @pytest.mark.parametrize(("shards", "each", "world_size"), SHARES)
    def test_together_they_get_each_image_of_a_pass_once(self, tmp_path, shards, each, world_size):
        write_levels(tmp_path, shards, each)
        parts = self.parts(tmp_path, world_size, 12 // world_size // 2, 2, "source")
        assert sorted(number for part in parts for number in part) == list(range(12))

    @pytest.mark.parametrize(("shards", "each", "world_size"), [*SHARES, (3, 4, 2), (5, 2, 3)])
    def test_over_many_passes_no_sample_is_had_twice(self, tmp_path, shards, each, world_size):
        write_levels(tmp_path, shards, each)
        parts = self.parts(tmp_path, world_size, 10, 4, "seed")
        assert len({seed for part in parts for seed in part}) == 40 * world_size

    @pytest.mark.parametrize(("shards", "world_size"), [(3, 2), (5, 2), (5, 3)])
    def test_of_an_uneven_number_of_shards_none_is_skipped(self, tmp_path, shards, world_size):
        write_levels(tmp_path, shards, each=2)
        parts = self.parts(tmp_path, world_size, 10, 2, "source")
        assert {number for part in parts for number in part} == set(range(2 * shards))
        assert sum(len(set(part)) for part in parts) == 2 * shards

    @pytest.mark.parametrize(("shards", "each"), [(2, 6), (6, 2)])
    def test_so_they_do_with_workers(self, tmp_path, shards, each):
        write_levels(tmp_path, shards, each)
        parts = self.parts(tmp_path, 3, 2, 2, "source", workers=2)
        assert sorted(number for part in parts for number in part) == list(range(12))

    @pytest.mark.slow
    @pytest.mark.parametrize("kind", ["files", "one row group"])
    def test_each_of_two_workers_of_two_processes_decodes_only_its_share(
        self, tmp_path, monkeypatch, kind
    ):
        source, log = tmp_path / "photographs", tmp_path / "decoded"
        source.mkdir()
        contents = [level(number) for number in range(64)]
        if kind == "files":
            for number, content in enumerate(contents):
                (source / f"{number}.png").write_bytes(content)
        else:
            write_parquet(source / "a.parquet", contents)

        def open_and_log(row):
            image = open_photograph(row)
            with log.open("a") as file:
                file.write(f"{os.getpid()} {image.getpixel((0, 0))[0]}\n")
            return image

        monkeypatch.setattr("scsnet_hf.data.stream.open_photograph", open_and_log)
        received = []
        for rank in range(2):
            stream = stream_of(source, block_size=4, min_shards=32)
            loader = training_loader(stream, 4, workers=2, rank=rank, world_size=2)
            received += [batch["source"][:, 0, 0, 0] for batch in islice(loader, 8)]
        assert sorted(torch.cat(received).tolist()) == list(range(64))
        decoded = {tuple(map(int, line.split())) for line in log.read_text().splitlines()}
        assert len({process for process, _ in decoded}) == 4
        assert len(decoded) == 64  # no image in two processes

    def test_of_one_shard_they_get_what_one_process_gets(self, tmp_path):
        write_levels(tmp_path, shards=1, each=12)
        two = self.parts(tmp_path, 2, 1, 3, "seed")
        one = self.parts(tmp_path, 1, 1, 6, "seed")
        assert sorted(two[0] + two[1]) == sorted(one[0])


class TestResuming:
    """The loader's state goes through a file, and a new loader continues with the same samples."""

    BATCH, CHAIN, AFTER = 3, (1, 3, 2, 5, 7), 4
    PAIRS = PairMaker(8, 8, 8, other_reference_probability=0.5)

    @pytest.fixture(scope="class")
    @classmethod
    def photographs(cls, tmp_path_factory):
        """Folders of 20 images and a damaged one, in three files and in one."""
        several, one = (tmp_path_factory.mktemp(name) for name in ("several", "one"))
        contents = [level(number) for number in range(20)]
        contents.insert(9, b"damaged")
        for shard in range(3):
            write_parquet(several / f"{shard}.parquet", contents[7 * shard : 7 * shard + 7])
        write_parquet(one / "0.parquet", contents)
        images = tmp_path_factory.mktemp("images")
        for number, content in enumerate(contents):
            (images / f"{number}.png").write_bytes(content)
        return {"three files": several, "one file": one, "images": images}

    @pytest.fixture
    def make_loader(self, photographs, tmp_path):
        def make(files="three files", workers=0, rank=0, world_size=1, min_shards=1):
            stream = stream_of(
                photographs[files],
                self.PAIRS,
                seed=5,
                skipped=SkippedImages(tmp_path / "skipped.jsonl"),
                block_size=8,
                min_shards=min_shards,
            )
            return training_loader(stream, self.BATCH, workers, rank, world_size)

        return make

    @staticmethod
    def marks(batches) -> list[tuple[list[int], list[int]]]:
        """The seeds of the samples and the levels of their references, a batch each."""
        return [
            (batch["seed"].tolist(), batch["reference"][:, 0, 0, 0].tolist()) for batch in batches
        ]

    @staticmethod
    def through_a_file(state: dict, path) -> dict:
        torch.save(state, path)
        return torch.load(path, weights_only=True)

    SETTINGS = {
        "three files": ("three files",),
        "one file": ("one file",),
        "three files, two workers": ("three files", 2),
        "three files, first of two processes": ("three files", 0, 0, 2),
        "three files, first of two processes, two workers": ("three files", 2, 0, 2),
        "one file, second of two processes": ("one file", 0, 1, 2),
        "images": ("images",),
        "images, first of two processes, two workers": ("images", 2, 0, 2),
        "divided file": ("one file", 0, 0, 1, 6),
        "divided file, second of two processes, two workers": ("one file", 2, 1, 2, 6),
    }

    @pytest.mark.parametrize(
        "setting",
        [
            pytest.param(setting, id=name, marks=pytest.mark.slow if "workers" in name else ())
            for name, setting in SETTINGS.items()
        ],
    )
    def test_a_chain_of_runs_equals_one_uninterrupted_run(self, make_loader, setting, tmp_path):
        expected = self.marks(islice(make_loader(*setting), sum(self.CHAIN) + self.AFTER))
        assert len(expected) * self.BATCH > 3 * 20  # several passes, of one process at least

        got, state = [], None
        for count in (*self.CHAIN, self.AFTER):
            loader = make_loader(*setting)
            if state is not None:
                loader.load_state_dict(state)
            got += self.marks(islice(loader, count))
            state = self.through_a_file(loader.state_dict(), tmp_path / "loader.pt")
        assert got == expected

    def test_saving_does_not_disturb_the_run(self, make_loader):
        expected = self.marks(islice(make_loader(), 12))
        loader, got = make_loader(), []
        for batch in islice(loader, 12):
            got += self.marks([batch])
            loader.state_dict()
        assert got == expected

    def test_one_state_can_be_gone_on_from_twice(self, make_loader, tmp_path):
        loader = make_loader()
        list(islice(loader, 5))
        state = self.through_a_file(loader.state_dict(), tmp_path / "loader.pt")
        runs = []
        for _ in range(2):
            again = make_loader()
            again.load_state_dict(state)
            runs.append(self.marks(islice(again, 5)))
        assert runs[0] == runs[1]

    def test_the_damaged_image_is_logged(self, make_loader, tmp_path):
        list(islice(make_loader(), 20))
        assert len(SkippedImages(tmp_path / "skipped.jsonl").read()) == 1


def batch_of(count: int = 3) -> dict[str, torch.Tensor]:
    make_pair = PairMaker(16, 12, 20)
    return collate(
        [make_pair(make_image(80, 60, seed=seed), random.Random(seed)) for seed in range(count)]
    )


class TestCollate:
    def test_samples_are_stacked_in_their_order(self):
        samples = [{"source": np.full((3, 2, 2), n, dtype=np.uint8)} for n in range(4)]
        batch = collate(samples)
        assert batch["source"].shape == (4, 3, 2, 2)
        assert batch["source"][:, 0, 0, 0].tolist() == [0, 1, 2, 3]

    @pytest.mark.parametrize(
        ("name", "shape", "dtype"),
        [
            ("source", (3, 3, 16, 16), torch.uint8),
            ("labels", (3, 3, 12, 12), torch.uint8),
            ("reference", (3, 3, 20, 20), torch.uint8),
            ("output_size", (3, 2), torch.int64),
            ("output_start", (3, 2), torch.int64),
            ("seed", (3,), torch.int64),
        ],
    )
    def test_shapes_and_types_are_those_of_the_samples(self, name, shape, dtype):
        tensor = batch_of()[name]
        assert tensor.shape == shape
        assert tensor.dtype == dtype
