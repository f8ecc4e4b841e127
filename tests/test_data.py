"""Training pairs: what one photograph becomes, which photographs there are, and distortion."""

import io
import random
from itertools import islice

import datasets
import numpy as np
import pytest
import torch
from conftest import make_picture
from PIL import Image

from scsnet_hf.data import (
    PairMaker,
    collate,
    elastic_distortion,
    iterate_photographs,
    normalized_lab_of,
    open_photograph,
    stream_photographs,
    training_stream,
)

SMALL = PairMaker(source_size=16, label_size=12, reference_size=20)


def encoded(picture: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind)
    return buffer.getvalue()


def sample(make_pair=SMALL, seed=0, size=(80, 60)):
    return make_pair(make_picture(*size, seed=seed), random.Random(seed))


def equal(one: dict, other: dict) -> bool:
    return all(np.array_equal(one[name], other[name]) for name in one)


class TestPairMaker:
    @pytest.mark.parametrize(("name", "side"), [("source", 16), ("labels", 12), ("reference", 20)])
    def test_pictures_are_uint8_of_the_asked_size(self, name, side):
        made = sample()[name]
        assert made.dtype == np.uint8
        assert made.shape == (3, side, side)

    @pytest.mark.parametrize("name", ["output_size", "output_start"])
    def test_positions_are_two_whole_numbers(self, name):
        made = sample()[name]
        assert made.dtype == np.int64
        assert made.shape == (2,)

    def test_nothing_else_is_made(self):
        names = {"source", "labels", "reference", "output_size", "output_start"}
        assert set(sample()) == names

    def test_the_output_lies_in_the_scale_range(self):
        make_pair = PairMaker(16, 12, 16, scale_range=(1.5, 2.5))
        sizes = {tuple(sample(make_pair, seed)["output_size"]) for seed in range(60)}
        assert all(24 <= height == width <= 40 for height, width in sizes)
        assert len(sizes) > 5

    def test_a_picture_is_never_enlarged(self):
        for seed in range(30):
            assert max(sample(seed=seed, size=(90, 20))["output_size"]) <= 20

    def test_one_scale_gives_one_size(self):
        make_pair = PairMaker(8, 8, 8, scale_range=(4, 4), view_range=(1, 1))
        assert {tuple(sample(make_pair, s)["output_size"]) for s in range(10)} == {(32, 32)}

    def test_the_window_lies_inside_the_output(self):
        for seed in range(60):
            made = sample(seed=seed)
            assert (made["output_start"] >= 0).all()
            assert (made["output_start"] + 12 <= made["output_size"]).all()

    @pytest.mark.parametrize("scale_range", [(1, 1), (2, 2), (4, 4), (1, 4)])
    @pytest.mark.parametrize("axis", [0, 1], ids=["vertical", "horizontal"])
    def test_source_and_labels_lie_on_one_ramp(self, axis, scale_range):
        """Nothing shifts: on a ramp, a level is a position."""
        ramp = np.broadcast_to(np.arange(256, dtype=np.uint8), (256, 256))
        picture = Image.fromarray(np.ascontiguousarray(ramp if axis else ramp.T)).convert("RGB")
        make_pair = PairMaker(64, 64, 32, scale_range, view_range=(1, 1))
        for seed in range(8):
            made = make_pair(picture, random.Random(seed))
            source, labels = (
                np.moveaxis(made[name][0], axis, 0).mean(axis=1) for name in ("source", "labels")
            )
            size, start = made["output_size"][axis], made["output_start"][axis]
            centres = (start + np.arange(64) + 0.5) * 64 / size - 0.5  # of labels, in the source
            inside = (centres > 3) & (centres < 60)  # the kernel bends the ramp at the border
            expected = np.interp(centres, np.arange(64), source)
            assert np.abs(labels - expected)[inside].max(initial=0) < 1

    def test_the_reference_is_the_whole_output_and_not_a_window(self):
        picture = make_picture(64, 64)
        make_pair = PairMaker(64, 8, 64, (1, 1), view_range=(1, 1))
        made = make_pair(picture, random.Random(0))
        assert np.array_equal(made["reference"], made["source"])

    def test_about_half_of_the_pictures_are_mirrored(self):
        ramp = Image.linear_gradient("L").rotate(90).convert("RGB").resize((32, 32))
        make_pair = PairMaker(32, 8, 8, (1, 1))
        slopes = [
            np.diff(make_pair(ramp, random.Random(seed))["source"][0].astype(int)).mean() > 0
            for seed in range(60)
        ]
        assert 15 < sum(slopes) < 45

    def test_the_same_random_numbers_make_the_same_sample(self):
        assert equal(sample(), sample())

    def test_other_random_numbers_make_another_sample(self):
        picture = make_picture(80, 60)
        one, other = (SMALL(picture, random.Random(seed)) for seed in (0, 1))
        assert not equal(one, other)

    def test_the_picture_is_left_as_it_was(self):
        picture = make_picture(40, 40)
        before = picture.tobytes()
        SMALL(picture, random.Random(0))
        assert picture.tobytes() == before

    @pytest.mark.parametrize("size", [(31, 100), (100, 31), (1, 1)])
    def test_a_picture_that_is_too_small_is_refused(self, size):
        make_pair = PairMaker(16, 16, 16, scale_range=(2, 4))
        with pytest.raises(ValueError, match=f"{size[0]}x{size[1]} is too small"):
            make_pair(make_picture(*size), random.Random(0))

    def test_a_picture_just_large_enough_is_taken(self):
        make_pair = PairMaker(16, 16, 16, scale_range=(2, 4))
        made = make_pair(make_picture(32, 32), random.Random(0))
        assert tuple(made["output_size"]) == (32, 32)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"scale_range": (0.5, 4)},
            {"scale_range": (3, 2)},
            {"scale_range": (float("nan"), 2)},
            {"source_size": 16, "label_size": 17},
            {"view_range": (0.5, 1.5)},
            {"view_range": (1.0, 0.5)},
            {"source_size": 0, "label_size": 0},
        ],
    )
    def test_arguments_that_cannot_be_are_refused(self, arguments):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            PairMaker(**arguments)


@pytest.fixture
def folder(tmp_path):
    """Five pictures of different sizes, two of them in a folder of their own."""
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for index in range(5):
        place = folder if index < 3 else folder / "more"
        make_picture(40 + index, 40, seed=index).save(place / f"{index}.png")
    return folder


@pytest.fixture
def parquet(tmp_path):
    rows = {"image": [make_picture(40 + i, 40, seed=i) for i in range(3)], "title": list("abc")}
    features = datasets.Features(image=datasets.Image(), title=datasets.Value("string"))
    path = tmp_path / "photos.parquet"
    datasets.Dataset.from_dict(rows, features=features).to_parquet(path)
    return str(path)


class TestPhotographs:
    def test_a_folder_is_streamed_with_its_subfolders(self, folder):
        widths = {open_photograph(row["image"]).width for row in stream_photographs(str(folder))}
        assert widths == {40, 41, 42, 43, 44}

    def test_a_parquet_file_is_streamed(self, parquet):
        pictures = [open_photograph(row["image"]) for row in stream_photographs(parquet)]
        assert [picture.width for picture in pictures] == [40, 41, 42]
        assert pictures[0].tobytes() == make_picture(40, 40).tobytes()

    def test_a_list_of_parquet_files_is_streamed(self, parquet):
        assert len(list(stream_photographs([parquet, parquet]))) == 6

    def test_only_the_undecoded_picture_is_streamed(self, parquet):
        row = next(iter(stream_photographs(parquet)))
        assert set(row) == {"image"}
        assert set(row["image"]) == {"bytes", "path"}

    def test_every_mode_is_opened_as_rgb(self):
        content = encoded(make_picture(9, 7, "L"))
        assert open_photograph({"bytes": content, "path": None}).mode == "RGB"

    def test_a_table_without_pictures_is_refused(self, tmp_path):
        path = tmp_path / "table.parquet"
        datasets.Dataset.from_dict({"title": ["a"]}).to_parquet(path)
        with pytest.raises(ValueError, match="no column 'image'"):
            stream_photographs(str(path))

    def test_pictures_are_iterated_in_order(self, parquet):
        assert [picture.width for picture in iterate_photographs(parquet)] == [40, 41, 42]


class TestTrainingStream:
    def take(self, source, count, **arguments):
        photographs = stream_photographs(str(source))
        return list(islice(training_stream(photographs, SMALL, **arguments), count))

    def test_samples_are_those_of_the_pair_maker(self, folder):
        made = self.take(folder, 1)[0]
        expected = sample()
        assert made.keys() == expected.keys()
        for name, array in expected.items():
            assert np.asarray(made[name]).shape == array.shape
            assert np.asarray(made[name]).dtype == array.dtype

    def test_it_never_ends(self, folder):
        assert len(self.take(folder, 20)) == 20

    def test_a_parquet_file_never_ends(self, parquet, monkeypatch):
        monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)
        assert len(self.take(parquet, 20)) == 20

    def test_a_second_pass_cuts_other_samples(self, folder):
        samples = self.take(folder, 15)
        assert len({made["source"].tobytes() for made in samples}) > 5

    def test_the_seed_decides(self, folder):
        one, same, other = (self.take(folder, 6, seed=seed) for seed in (0, 0, 1))
        assert all(map(equal, one, same))
        assert not all(map(equal, one, other))

    def test_it_makes_batches(self, folder):
        batch = collate(self.take(folder, 4))
        assert batch["source"].shape == (4, 3, 16, 16)

    @pytest.mark.parametrize("content", [b"no picture", encoded(make_picture(40, 40))[:200], b""])
    def test_a_corrupt_picture_is_left_out_with_a_warning(self, folder, caplog, content):
        (folder / "bad.png").write_bytes(content)
        assert len(self.take(folder, 12)) == 12
        assert any("bad.png" in message for message in caplog.messages)

    def test_a_picture_too_small_is_left_out_with_a_warning(self, folder, caplog):
        make_picture(5, 5).save(folder / "tiny.png")
        assert len(self.take(folder, 12)) == 12
        assert any("tiny.png" in m and "too small" in m for m in caplog.messages)

    def test_many_corrupt_pictures_in_a_row_are_left_out(self, tmp_path):
        make_picture(40, 40).save(tmp_path / "good.png")
        for index in range(30):
            (tmp_path / f"bad{index}.png").write_bytes(b"no picture")
        assert len(self.take(tmp_path, 3)) == 3


class TestCollate:
    def test_samples_are_stacked(self):
        samples = [sample(seed=seed) for seed in range(3)]
        batch = collate(samples)
        assert batch.keys() == samples[0].keys()
        assert batch["labels"].shape == (3, 3, 12, 12)
        assert torch.equal(batch["source"][1], torch.from_numpy(samples[1]["source"]))

    @pytest.mark.parametrize(
        ("name", "dtype"), [("source", torch.uint8), ("output_size", torch.int64)]
    )
    def test_types_are_kept(self, name, dtype):
        assert collate([sample()])[name].dtype == dtype

    @pytest.mark.parametrize(("level", "lightness"), [(0, -1), (255, 1)])
    def test_black_and_white_are_the_ends_of_normalized_lab(self, level, lightness):
        gray = torch.full((2, 3, 4, 4), level, dtype=torch.uint8)
        expected = torch.tensor([lightness, 0.0, 0.0]).view(1, 3, 1, 1).expand(2, 3, 4, 4)
        assert torch.allclose(normalized_lab_of(gray), expected, atol=1e-5)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class TestElasticDistortion:
    @pytest.fixture
    def pictures(self):
        return torch.rand(6, 3, 24, 36, generator=generator(9))

    def test_without_amplitude_it_is_the_picture_or_its_mirror_image(self, pictures):
        results = elastic_distortion(pictures, amplitude=0, generator=generator())
        same, mirrored = (
            torch.tensor(
                [torch.allclose(*pair, atol=1e-4) for pair in zip(results, p, strict=True)]
            )
            for p in (pictures, pictures.flip(-1))
        )
        assert (same ^ mirrored).all()
        assert same.any()
        assert mirrored.any()

    def test_a_constant_stays_constant(self):
        constant = torch.full((2, 3, 16, 16), 0.3)
        assert torch.allclose(elastic_distortion(constant, amplitude=0.1), constant, atol=1e-6)

    def test_the_same_generator_gives_the_same_result(self, pictures):
        results = [elastic_distortion(pictures, generator=generator(3)) for _ in range(2)]
        assert torch.equal(*results)

    def test_another_generator_gives_another_result(self, pictures):
        results = [elastic_distortion(pictures, generator=generator(seed)) for seed in (1, 2)]
        assert not torch.equal(*results)

    @pytest.mark.parametrize("shape", [(1, 1, 8, 8), (2, 3, 20, 7), (3, 4, 1, 9), (1, 3, 2, 2)])
    def test_the_shape_is_kept(self, shape):
        result = elastic_distortion(torch.rand(shape))
        assert result.shape == shape
        assert result.isfinite().all()

    def test_colours_stay_in_their_range(self, pictures):
        result = elastic_distortion(pictures, amplitude=0.2)
        assert pictures.min() - 1e-6 <= result.min() <= result.max() <= pictures.max() + 1e-6

    def test_the_input_is_left_as_it_was(self, pictures):
        before = pictures.clone()
        elastic_distortion(pictures)
        assert torch.equal(pictures, before)

    @staticmethod
    def displacement(amplitude: float) -> float:
        """Root mean square of the shift of both coordinates, as a share of the side."""
        y, x = torch.meshgrid(*[(torch.arange(64) + 0.5) / 64] * 2, indexing="ij")
        positions = torch.stack((x, y)).expand(8, -1, -1, -1)
        moved, still = (
            elastic_distortion(positions, a, generator=generator()) for a in (amplitude, 0)
        )
        return (moved - still).square().mean().sqrt().item()

    def test_displacement_grows_with_the_amplitude(self):
        shifts = [self.displacement(amplitude) for amplitude in (0.005, 0.01, 0.02, 0.04)]
        assert shifts == sorted(shifts)
        assert shifts[-1] > 5 * shifts[0]

    def test_the_amplitude_is_the_root_mean_square_of_the_displacement(self):
        assert self.displacement(0.01) == pytest.approx(0.01, rel=0.15)
