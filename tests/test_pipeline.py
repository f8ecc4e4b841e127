"""The task `scs-colorize-sr`, called as its users call it."""

import copy
import inspect
import io
import os
import re
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import Dataset
from transformers import pipeline
from transformers.pipelines.pt_utils import KeyDataset

from helpers.images import make_image
from helpers.tiny_models import build_tiny_model
from scsnet_hf import (
    ImageError,
    ScsColorizeSrPipeline,
    SCSNetForImageToImage,
    SCSNetImageProcessor,
    tiling,
)
from scsnet_hf.pixel_mapping import PixelGrid
from scsnet_hf.tiling import decode_window

NAN, INFINITY = float("nan"), float("inf")


def pixels(image) -> np.ndarray:
    return np.asarray(image).astype(int)


def equal(one, other) -> bool:
    return one.size == other.size and one.mode == other.mode and one.tobytes() == other.tobytes()


def largest_difference(one, other) -> int:
    return np.abs(pixels(one) - pixels(other)).max()


def gray_level(image) -> np.ndarray:
    """The level of the gray that is as light as each pixel (IEC 61966-2-1)."""
    srgb = np.asarray(image.convert("RGB")) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    light = linear @ [0.2126, 0.7152, 0.0722]
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def png(image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def image():
    return make_image(24, 16)


@pytest.fixture(scope="module")
def references():
    """Two images of different colors and sizes."""
    return [make_image(32, 24, seed=1), Image.new("RGB", (16, 20), (250, 120, 10))]


@pytest.fixture(scope="module")
def mixed():
    """Four images in three sizes; the first two run together."""
    sizes = (24, 16), (24, 16), (16, 24), (9, 13)
    return [make_image(*size, seed=seed) for seed, size in enumerate(sizes)]


@pytest.fixture(scope="module")
def one_by_one(tiny_pipe, mixed):
    return [tiny_pipe(image, scale=2) for image in mixed]


def assert_same_images(results, expected):
    """Equal but for rounding: a batch may add up in another order."""
    results = list(results)
    assert [result.size for result in results] == [image.size for image in expected]
    assert all(largest_difference(*pair) <= 1 for pair in zip(results, expected, strict=True))


class TestOutputSize:
    @pytest.mark.parametrize(
        ("arguments", "size"),
        [
            ({"scale": 2.7}, (273, 181)),
            ({"size": (640, 361)}, (640, 361)),
            ({"size": [31, 200]}, (31, 200)),
            ({"scale": 0.5}, (50, 34)),
            ({"scale": 1}, (101, 67)),
            ({}, (404, 268)),
            ({"long_side": 333}, (333, 221)),
            ({"long_side": 50}, (50, 33)),
        ],
    )
    def test_it_is_exactly_what_was_asked_for(self, tiny_pipe, arguments, size):
        assert tiny_pipe(make_image(101, 67), **arguments).size == size

    @pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (37, 41)])
    def test_odd_and_narrow_images_work(self, tiny_pipe, size):
        width, height = size
        assert tiny_pipe(make_image(*size)).size == (4 * width, 4 * height)

    def test_long_side_is_the_height_of_a_tall_image(self, tiny_pipe):
        assert tiny_pipe(make_image(10, 30), long_side=77).height == 77

    def test_half_of_one_pixel_is_one_pixel(self, tiny_pipe):
        assert tiny_pipe(make_image(1, 1), scale=0.5).size == (1, 1)

    @pytest.mark.parametrize("scale", [0.5, 1])
    def test_a_gray_image_that_is_not_enlarged_gets_colors(self, tiny_pipe, image, scale):
        channels = pixels(tiny_pipe(image.convert("L"), scale=scale))
        assert np.ptp(channels, axis=2).max() > 0


class TestLook:
    def test_source_luminance_at_scale_one_keeps_the_lightness(self, tiny_pipe):
        image = make_image(40, 32)
        result = tiny_pipe(image, scale=1, luminance="source")
        assert np.abs(gray_level(result) - gray_level(image)).max() <= 1

    def test_source_luminance_keeps_the_lightness_of_a_gray_image(self, tiny_pipe):
        image = make_image(40, 32, "L")
        result = tiny_pipe(image, scale=1, luminance="source")
        assert np.abs(gray_level(result) - pixels(image)).max() <= 1

    def test_saturation_zero_is_gray(self, tiny_pipe, image):
        red, green, blue = tiny_pipe(image, saturation=0).split()
        assert red.tobytes() == green.tobytes() == blue.tobytes()

    def test_saturation_makes_more_color(self, tiny_pipe, image):
        chroma = [
            np.ptp(pixels(tiny_pipe(image, saturation=s)), axis=2).mean() for s in (0.5, 1, 2)
        ]
        assert chroma == sorted(chroma)
        assert chroma[0] < chroma[2]

    def test_the_colors_of_the_input_do_not_matter(self, tiny_pipe):
        gray = Image.new("L", (12, 12), 77)
        assert equal(tiny_pipe(gray), tiny_pipe(gray.convert("RGB")))

    @pytest.mark.parametrize("arguments", [{}, {"reference": "modern"}])
    def test_the_same_call_gives_the_same_image(self, tiny_pipe, image, references, arguments):
        arguments = dict.fromkeys(arguments, references[0])
        assert equal(tiny_pipe(image, **arguments), tiny_pipe(image, **arguments))

    def test_the_callers_image_is_left_as_it_was(self, tiny_pipe, image, references):
        before = [one.tobytes() for one in (image, references[0])]
        tiny_pipe(image, reference=references[0], scale=0.5)
        assert [one.tobytes() for one in (image, references[0])] == before


@pytest.fixture(scope="module")
def folder(tmp_path_factory, image):
    folder = tmp_path_factory.mktemp("inputs")
    image.save(folder / "image.png")
    return folder


@pytest.fixture(scope="module")
def url(folder):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/image.png"
    server.shutdown()
    server.server_close()


class TestInputs:
    @pytest.mark.parametrize(
        "convert",
        [
            pytest.param(png, id="bytes"),
            pytest.param(np.array, id="array"),
            pytest.param(lambda p: (np.array(p) / 255).astype("float32"), id="float_array"),
            pytest.param(lambda p: torch.from_numpy(np.array(p)).permute(2, 0, 1), id="tensor"),
            pytest.param(lambda p: p.convert("RGBA").convert("RGB"), id="other_PIL"),
            pytest.param(lambda p: {"image": p}, id="row"),
        ],
    )
    def test_every_kind_in_memory_is_the_same_image(self, tiny_pipe, image, convert):
        assert equal(tiny_pipe(convert(image), scale=2), tiny_pipe(image, scale=2))

    @pytest.mark.parametrize("kind", [str, lambda path: path])
    def test_a_path_is_read(self, tiny_pipe, folder, image, kind):
        path = kind(folder / "image.png")
        assert equal(tiny_pipe(path, scale=2), tiny_pipe(image, scale=2))

    def test_a_url_is_read(self, tiny_pipe, image, url):
        assert equal(tiny_pipe(url, scale=2), tiny_pipe(image, scale=2))

    @pytest.mark.parametrize("kind", [str, lambda path: path, lambda path: path.read_bytes()])
    def test_a_reference_is_read_like_an_image(self, tiny_pipe, image, tmp_path, kind):
        modern = make_image(20, 20, seed=5)
        modern.save(tmp_path / "modern.png")
        result = tiny_pipe(image, reference=kind(tmp_path / "modern.png"))
        assert equal(result, tiny_pipe(image, reference=modern))

    @pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "I;16"])
    def test_opaque_modes_give_rgb(self, tiny_pipe, mode):
        source = make_image(12, 8, "L" if mode == "I;16" else "RGB").convert(mode)
        result = tiny_pipe(source)
        assert (result.mode, result.size) == ("RGB", (48, 32))

    @pytest.mark.parametrize("mode", ["RGBA", "LA"])
    @pytest.mark.parametrize("scale", [0.5, 3.3])
    def test_transparency_is_kept(self, tiny_pipe, mode, scale):
        source = make_image(20, 10, mode)
        mask = Image.new("L", (20, 10), 255)
        mask.paste(0, (0, 0, 10, 10))
        source.putalpha(mask)
        result = tiny_pipe(source, scale=scale)
        assert (result.mode, result.size) == ("RGBA", (round(20 * scale), round(10 * scale)))
        alpha = pixels(result.getchannel("A"))
        assert (alpha[:, 0] == 0).all()
        assert (alpha[:, -1] == 255).all()

    def test_hidden_colors_do_not_matter(self, tiny_pipe):
        source = make_image(24, 16, "RGBA")
        mask = Image.new("L", (24, 16), 255)
        mask.paste(0, (0, 0, 12, 16))
        results = []
        for hidden in ("black", "white"):
            colors = source.copy()
            colors.paste(hidden, (0, 0, 12, 16))
            colors.putalpha(mask)
            results.append(tiny_pipe(colors, reference=colors, scale=2))
        assert equal(*results)

    @pytest.mark.parametrize("scale", [0.5, 1, 2.7])
    def test_even_transparency_stays_exact(self, tiny_pipe, scale):
        source = make_image(20, 10, "RGBA")
        source.putalpha(77)
        assert tiny_pipe(source, scale=scale).getchannel("A").getextrema() == (77, 77)


class TestDepth:
    def test_deep_gray_has_more_levels_than_eight_bits(self, tiny_pipe):
        ramp = np.linspace(20_000, 21_000, 64 * 8).astype(np.uint16).reshape(8, 64)
        result = tiny_pipe(Image.fromarray(ramp), scale=1, luminance="source", depth=16)
        assert (result.shape, result.dtype) == ((8, 64, 3), np.uint16)
        gray = tiny_pipe(ramp, scale=1, luminance="source", saturation=0, depth=16)
        assert np.abs(gray[..., 0].astype(int) - ramp).max() <= 8
        assert len(np.unique(gray)) > 200

    def test_eight_bits_are_the_same_image(self, tiny_pipe, image):
        deep, usual = tiny_pipe(image, depth=16), tiny_pipe(image, depth=8)
        assert np.abs(deep / 257 - pixels(usual)).max() <= 0.51

    def test_transparency_is_the_fourth_channel(self, tiny_pipe):
        source = make_image(20, 10, "LA")
        source.putalpha(77)
        result = tiny_pipe(source, scale=2, depth=16)
        assert result.shape == (20, 40, 4)
        assert (result[..., 3] == 77 * 257).all()


class TestMany:
    def test_list_in_list_out(self, tiny_pipe, mixed, one_by_one):
        results = tiny_pipe(mixed, scale=2)
        assert isinstance(results, list)
        assert_same_images(results, one_by_one)

    @pytest.mark.parametrize("kind", [list, tuple])
    def test_a_list_of_one_gives_a_list_of_one(self, tiny_pipe, mixed, one_by_one, kind):
        results = tiny_pipe(kind(mixed[:1]), scale=2)
        assert isinstance(results, list)
        assert_same_images(results, one_by_one[:1])

    def test_an_empty_list_gives_an_empty_list(self, tiny_pipe):
        assert tiny_pipe([]) == []

    @pytest.mark.parametrize("batch_size", [2, 4])
    def test_mixed_sizes_in_batches_equal_one_by_one(
        self, tiny_pipe, mixed, one_by_one, batch_size
    ):
        assert_same_images(tiny_pipe(mixed, scale=2, batch_size=batch_size), one_by_one)

    def test_a_generator_is_read_lazily(self, tiny_pipe, mixed, one_by_one):
        taken = []

        def endless():
            while True:
                taken.append(True)
                yield mixed[0]

        assert_same_images([next(iter(tiny_pipe(endless(), scale=2)))], one_by_one[:1])
        assert len(taken) < 5

    @pytest.mark.parametrize(
        "wrap",
        [
            pytest.param(lambda rows: (row for row in rows), id="generator"),
            pytest.param(
                lambda rows: KeyDataset([{"image": row} for row in rows], "image"),
                id="KeyDataset",
            ),
            pytest.param(lambda rows: _TorchDataset(rows), id="torch"),
            pytest.param(
                lambda rows: datasets.Dataset.from_dict(
                    {"image": rows}, features=datasets.Features(image=datasets.Image())
                ),
                id="datasets",
            ),
            pytest.param(
                lambda rows: datasets.IterableDataset.from_generator(
                    lambda: ({"image": row} for row in rows)
                ),
                id="streaming_datasets",
            ),
        ],
    )
    @pytest.mark.parametrize("batch_size", [1, 2])
    def test_every_data_set_equals_one_by_one(self, tiny_pipe, mixed, one_by_one, wrap, batch_size):
        results = tiny_pipe(wrap(mixed), scale=2, batch_size=batch_size)
        assert_same_images(results, one_by_one)

    def test_two_threads_equal_one_after_the_other(self, tiny_pipe, image, references):
        def colorize(reference):
            return tiny_pipe(image, reference=reference, scale=2)

        jobs = references * 3
        expected = [colorize(reference) for reference in jobs]
        with ThreadPoolExecutor(2) as pool:
            results = list(pool.map(colorize, jobs))
        assert all(map(equal, results, expected))


class _TorchDataset(Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]


class TestReferences:
    def test_a_reference_changes_the_image(self, tiny_pipe, image, references):
        automatic, *guided = (tiny_pipe(image, reference=r) for r in (None, *references))
        assert not equal(guided[0], automatic)
        assert not equal(guided[0], guided[1])

    def test_strength_zero_is_the_automatic_image(self, tiny_pipe, image, references):
        result = tiny_pipe(image, reference=references[0], reference_strength=0)
        assert equal(result, tiny_pipe(image))

    def test_strength_one_is_the_default(self, tiny_pipe, image, references):
        result = tiny_pipe(image, reference=references[0], reference_strength=1.0)
        assert equal(result, tiny_pipe(image, reference=references[0]))

    @pytest.mark.parametrize("batch_size", [1, 3])
    def test_one_reference_serves_all_images(self, tiny_pipe, mixed, references, batch_size):
        results = tiny_pipe(mixed, reference=references[0], scale=2, batch_size=batch_size)
        expected = [tiny_pipe(one, reference=references[0], scale=2) for one in mixed]
        assert_same_images(results, expected)

    @pytest.mark.parametrize("batch_size", [1, 4])
    def test_each_image_gets_its_own_entry(self, tiny_pipe, mixed, references, batch_size):
        own = [references[0], None, references, references[1]]
        results = tiny_pipe(mixed, reference=own, scale=2, batch_size=batch_size)
        expected = [
            tiny_pipe(one, reference=reference, scale=2)
            for one, reference in zip(mixed, own, strict=True)
        ]
        assert_same_images(results, expected)

    @pytest.mark.parametrize("wrap", [list, lambda rows: (row for row in rows)])
    def test_rows_bring_their_own_references(self, tiny_pipe, mixed, references, wrap):
        rows = [
            {"image": one, "reference": own}
            for one, own in zip(mixed, [*references, None, references[0]], strict=True)
        ]
        expected = [tiny_pipe(r["image"], reference=r["reference"], scale=2) for r in rows]
        assert_same_images(tiny_pipe(wrap(rows), scale=2, batch_size=2), expected)

    @pytest.mark.parametrize("own_first", [True, False])
    def test_rows_without_their_own_get_the_common_reference(
        self, tiny_pipe, mixed, references, own_first
    ):
        own, common = references
        with_own, without = {"image": mixed[0], "reference": own}, {"image": mixed[1]}
        order = 1 if own_first else -1
        results = tiny_pipe([with_own, without][::order], reference=common, scale=2)[::order]
        expected = [
            tiny_pipe(mixed[0], reference=own, scale=2),
            tiny_pipe(mixed[1], reference=common, scale=2),
        ]
        assert_same_images(results, expected)

    def test_the_order_of_several_references_does_not_matter(self, tiny_pipe, image, references):
        results = [tiny_pipe(image, reference=references[::step]) for step in (1, -1)]
        assert largest_difference(*results) <= 1

    def test_the_same_reference_twice_is_one_reference(self, tiny_pipe, image, references):
        once, twice = (tiny_pipe(image, reference=[references[0]] * n) for n in (1, 2))
        assert largest_difference(once, twice) <= 1

    def test_both_of_two_references_count(self, tiny_pipe, image, references):
        both, first, second = (tiny_pipe(image, reference=one) for one in (references, *references))
        assert not equal(both, first)
        assert not equal(both, second)

    @pytest.mark.parametrize("images", [1, 3])
    def test_another_number_of_references_than_images_is_refused(
        self, tiny_pipe, image, references, images
    ):
        with pytest.raises(ValueError, match=f"2 references for {images} images"):
            tiny_pipe([image] * images, reference=references)

    def test_attention_maps_come_with_the_image(self, tiny_pipe, image, references):
        result = tiny_pipe(image, reference=references[0], return_attention=True)
        assert equal(result["image"], tiny_pipe(image, reference=references[0]))
        assert len(result["attentions"]) == len(result["valves"]) == 3
        for attention in result["attentions"]:
            assert torch.allclose(attention.sum(-1), torch.ones(1), atol=1e-4)
        for valves in result["valves"]:
            assert 0 <= valves.min() <= valves.max() <= 1

    def test_without_a_reference_there_are_no_attention_maps(self, tiny_pipe, image):
        result = tiny_pipe(image, return_attention=True)
        assert set(result) == {"image", "attentions", "valves"}
        assert not result["attentions"]

    def test_tokens_of_an_encoded_reference_are_the_reference(self, tiny_pipe, image, references):
        tokens = tiny_pipe.encode_reference(references)
        result = tiny_pipe(image, reference_tokens=tokens)
        assert equal(result, tiny_pipe(image, reference=references))

    def test_a_reference_and_tokens_together_are_refused(self, tiny_pipe, image, references):
        tokens = tiny_pipe.encode_reference(references[0])
        with pytest.raises(ValueError, match="only one of reference and reference_tokens"):
            tiny_pipe(image, reference=references[0], reference_tokens=tokens)


class TestEncodedImages:
    """What zoom, attention maps and the gallery build on."""

    def test_a_window_is_what_the_network_computes_there(self, tiny_pipe, image, references):
        encoded = tiny_pipe.encode_color(image, references[0], reference_strength=0.5)
        grid = PixelGrid((16, 24), (32, 48), (4, 8), (20, 30))
        window = tiny_pipe.decode_window(encoded, grid)
        pixel_values = tiny_pipe.image_processor.source_tensor(image)
        tokens = tiny_pipe.encode_reference(references[0])
        with torch.no_grad():
            color = tiny_pipe.model.encode_color(pixel_values, tokens, reference_strength=0.5)
            expected = decode_window(tiny_pipe.model, pixel_values, color.features, grid)
        assert torch.equal(window, expected)

    def test_gray_keeps_its_16_bits(self, tiny_pipe):
        ramp = Image.fromarray(np.linspace(20_000, 20_250, 64).astype(np.uint16).reshape(8, 8))
        assert len(tiny_pipe.encode_color(ramp).pixel_values.unique()) > 8
        assert torch.equal(
            tiny_pipe.embed_image(ramp),
            tiny_pipe.model.embed_images(tiny_pipe.image_processor.source_tensor(ramp))[0],
        )

    def test_hidden_colors_do_not_matter(self, tiny_pipe):
        mask = Image.new("L", (24, 16), 255)
        mask.paste(0, (0, 0, 12, 16))
        sources = []
        for hidden in ("black", "white"):
            source = make_image(24, 16, "RGBA")
            source.paste(hidden, (0, 0, 12, 16))
            source.putalpha(mask)
            sources.append(source)
        features = [tiny_pipe.encode_color(source).features for source in sources]
        assert torch.equal(*features)
        assert torch.equal(*map(tiny_pipe.embed_image, sources))

    def test_what_half_precision_cannot_hold_is_computed_in_float32(self, image, references):
        half, single = overflowing_pipes()
        encoded = [
            pipe.encode_color(image, references[0], return_attention=True)
            for pipe in (half, single)
        ]
        assert torch.equal(*(one.features for one in encoded))
        assert torch.equal(*(one.attentions[0] for one in encoded))
        grid = PixelGrid.whole((16, 24), (32, 48))
        windows = [
            pipe.decode_window(one, grid) for pipe, one in zip((half, single), encoded, strict=True)
        ]
        assert torch.equal(*windows)
        assert torch.equal(*(pipe.embed_image(image) for pipe in (half, single)))

    def test_a_wrong_strength_is_refused(self, tiny_pipe, image):
        with pytest.raises(ValueError, match="reference_strength=2"):
            tiny_pipe.encode_color(image, reference_strength=2)


def overflowing_pipes():
    """Pipelines of a network that half precision cannot compute, in float16 and in float32."""
    model = build_tiny_model()
    with torch.no_grad():
        for stem in (model.stem, model.reference_stem):
            stem.weight.mul_(4e4)  # its output exceeds 65504
    model = model.half()
    return [
        pipeline("scs-colorize-sr", model=m, image_processor=SCSNetImageProcessor(), device="cpu")
        for m in (model, copy.deepcopy(model).float())
    ]


class TestSignature:
    def test_arguments_are_written_out_with_their_defaults(self):
        parameters = inspect.signature(ScsColorizeSrPipeline.__call__).parameters
        assert "reference_strength: float = 1.0" in str(parameters["reference_strength"])
        assert "tile_size: int | str | None = 'auto'" in str(parameters["tile_size"])
        assert {"reference", "scale", "size", "long_side", "depth"} <= parameters.keys()
        assert all(p.kind is not p.VAR_KEYWORD for p in parameters.values())

    def test_defaults_of_a_pipeline_hold_until_a_call_says_otherwise(self, tiny_pipe, image):
        pipe = pipeline(
            "scs-colorize-sr",
            model=tiny_pipe.model,
            image_processor=SCSNetImageProcessor(),
            device="cpu",
            saturation=0,
            scale=2,
        )
        assert equal(pipe(image), tiny_pipe(image, saturation=0, scale=2))
        assert equal(pipe(image, saturation=1.0), tiny_pipe(image, scale=2))
        assert pipe(image, long_side=50).width == 50


class TestTiles:
    @pytest.mark.parametrize("arguments", [{"scale": 2.7}, {"size": (100, 131)}])
    def test_tiles_leave_no_trace(self, tiny_pipe, arguments):
        image = make_image(70, 50)
        tiled, whole = (tiny_pipe(image, tile_size=t, **arguments) for t in (16, None))
        assert largest_difference(tiled, whole) <= 1

    @pytest.mark.parametrize(("tile_size", "runs"), [(None, 1), ("auto", 3), (150, 4)])
    def test_tile_size_says_how_often_the_network_runs(self, tiny_pipe, tile_size, runs):
        calls = []
        hook = tiny_pipe.model.texture_encoder.register_forward_hook(lambda *_: calls.append(1))
        try:
            tiny_pipe(make_image(600, 8), scale=1, tile_size=tile_size)
        finally:
            hook.remove()
        assert len(calls) == runs


ALLOCATIONS_APART = int(os.environ.get("SCSNET_ALLOCATIONS_APART", "13"))  # 1 takes minutes


class OutOfMemoryOnce(TorchDispatchMode):
    """Lets the nth allocation of PyTorch fail; `done` counts them."""

    def __init__(self, nth: int | None = None):
        super().__init__()
        self.nth, self.done = nth, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        allocates = all(made.alias_info is None for made in function._schema.returns)
        self.done += allocates
        if allocates and self.done == self.nth:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return function(*args, **(kwargs or {}))


class TestTooLittleMemory:
    def test_at_whatever_step_ends_in_the_right_image_or_a_clear_error(
        self, tiny_pipe, monkeypatch
    ):
        monkeypatch.setattr(tiling, "_SMALLEST_TILE", 8)
        image = make_image(20, 24)
        with OutOfMemoryOnce() as counter:
            expected = tiny_pipe(image, scale=2, tile_size=None)
        right, refused = 0, 0
        for nth in range(1, counter.done + 1, ALLOCATIONS_APART):
            try:
                with OutOfMemoryOnce(nth):
                    result = tiny_pipe(image, scale=2, tile_size=None)
            except MemoryError as error:
                assert re.search("not enough memory .*smaller result", str(error))
                refused += 1
            else:
                assert largest_difference(result, expected) <= 1
                right += 1
        assert right > 10
        assert refused > 10


class TestStrips:
    @pytest.mark.parametrize(
        "arguments",
        [{"scale": 2.7, "saturation": 2.0}, {"scale": 1, "luminance": "source"}, {"tile_size": 20}],
        ids=str,
    )
    @pytest.mark.parametrize("mode", ["L", "LA"])
    def test_strips_are_the_result_of_a_call(self, tiny_pipe, arguments, mode):
        image = make_image(30, 50, mode)
        strips = tiny_pipe.strips(image, **arguments)
        expected = tiny_pipe(image, **arguments)
        assert strips.size == expected.size
        assert equal(strips.to_image(), expected)

    def test_depth_and_references_are_those_of_a_call(self, tiny_pipe, references):
        image = make_image(30, 50)
        strips = tiny_pipe.strips(image, references[:2], depth=16, reference_strength=0.5)
        expected = tiny_pipe(image, references[:2], depth=16, reference_strength=0.5)
        assert strips.dtype == np.uint16
        assert np.array_equal(strips.to_image(), expected)

    def test_computed_while_they_are_taken(self, tiny_pipe):
        calls = []
        hook = tiny_pipe.model.texture_encoder.register_forward_hook(lambda *_: calls.append(1))
        try:
            strips = tiny_pipe.strips(make_image(8, 200), scale=1, tile_size=50)
            assert calls == []
            next(strips.arrays)
            assert 0 < len(calls) < 4
        finally:
            hook.remove()

    def test_maps_are_refused(self, tiny_pipe, image):
        with pytest.raises(TypeError, match="return_attention"):
            tiny_pipe.strips(image, return_attention=True)

    def test_a_wrong_argument_is_refused_at_once(self, tiny_pipe, image):
        with pytest.raises(ValueError, match="scale"):
            tiny_pipe.strips(image, scale=100)


class TestRefusals:
    @pytest.mark.parametrize("scale", [0, -1, NAN, INFINITY, 100, 0.49, "2", True])
    def test_scale_is_a_number_from_a_half_to_16(self, tiny_pipe, image, scale):
        with pytest.raises(ValueError, match="scale"):
            tiny_pipe(image, scale=scale)

    @pytest.mark.parametrize(
        "arguments",
        [
            {"scale": 2, "size": (10, 10)},
            {"scale": 2, "long_side": 10},
            {"size": (10, 10), "long_side": 10},
        ],
    )
    def test_only_one_says_how_large(self, tiny_pipe, image, arguments):
        with pytest.raises(ValueError, match=r"(?s)only one of .*" + " and ".join(arguments)):
            tiny_pipe(image, **arguments)

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("size", (0, 10)),
            ("size", (10, -1)),
            ("size", (10,)),
            ("size", (1, 2, 3)),
            ("size", (10.5, 10)),
            ("size", "10x10"),
            ("long_side", 0),
            ("long_side", 2.5),
            ("saturation", -0.1),
            ("saturation", 4.1),
            ("saturation", NAN),
            ("saturation", "1"),
            ("reference_strength", -0.1),
            ("reference_strength", 1.1),
            ("reference_strength", NAN),
            ("luminance", "mine"),
            ("tile_size", 0),
            ("tile_size", -3),
            ("tile_size", 1.5),
            ("tile_size", "large"),
            ("tile_size", True),
        ],
    )
    def test_values_out_of_range_are_named(self, tiny_pipe, image, name, value):
        with pytest.raises(ValueError, match=name):
            tiny_pipe(image, **{name: value})

    def test_an_unknown_argument_is_named(self, tiny_pipe, image):
        with pytest.raises(TypeError, match="magnification"):
            tiny_pipe(image, magnification=2)

    @pytest.mark.parametrize("content", [b"", b"no image", png(Image.new("L", (64, 64), 9))[:60]])
    def test_a_bad_file_is_named(self, tiny_pipe, tmp_path, content):
        (tmp_path / "bad.png").write_bytes(content)
        with pytest.raises(ImageError, match=r"bad\.png"):
            tiny_pipe(str(tmp_path / "bad.png"))

    def test_a_file_that_claims_a_billion_pixels_is_named(self, tiny_pipe, tmp_path):
        header = bytearray(png(Image.new("L", (1, 1))))
        header[16:24] = (40_000).to_bytes(4, "big") * 2
        (tmp_path / "bomb.png").write_bytes(_with_checksum(header))
        with pytest.raises(ImageError, match=r"bomb\.png"):
            tiny_pipe(str(tmp_path / "bomb.png"))

    @pytest.mark.parametrize("cut", [9, 20, 30, 45])
    def test_a_file_cut_off_in_its_header_is_named(self, tiny_pipe, tmp_path, cut):
        (tmp_path / "cut.png").write_bytes(png(make_image(9, 9))[:cut])
        with pytest.raises(ImageError, match=r"cut\.png"):
            tiny_pipe(str(tmp_path / "cut.png"))

    def test_a_missing_file_in_a_list_is_named(self, tiny_pipe, image, tmp_path):
        with pytest.raises(ImageError, match=r"lost\.png"):
            tiny_pipe([image, tmp_path / "lost.png"])

    def test_a_bad_reference_is_named(self, tiny_pipe, image, tmp_path):
        with pytest.raises(ImageError, match=r"lost\.png"):
            tiny_pipe(image, reference=str(tmp_path / "lost.png"))

    def test_a_row_without_an_image_is_refused(self, tiny_pipe, image):
        with pytest.raises(ValueError, match="image"):
            tiny_pipe([{"photo": image}])

    @pytest.mark.parametrize("nothing", [None, 7])
    def test_what_is_no_image_is_refused(self, tiny_pipe, nothing):
        with pytest.raises(TypeError, match="image"):
            tiny_pipe(nothing)


def _with_checksum(content: bytearray) -> bytes:
    """A PNG whose changed header gets the right checksum."""
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    return bytes(content)


class TestLoading:
    def test_a_folder_loads_without_trusting_its_code(self, tiny_checkpoint, tiny_pipe, image):
        pipe = pipeline("scs-colorize-sr", model=str(tiny_checkpoint), device="cpu")
        assert equal(pipe(image), tiny_pipe(image))

    def test_weights_stay_what_they_are_in_another_order(self):
        model = build_tiny_model()
        before = copy.deepcopy(model.state_dict())
        pipeline("scs-colorize-sr", model=model, image_processor=SCSNetImageProcessor(), device=-1)
        for name, value in model.state_dict().items():
            assert torch.equal(value, before[name])
            assert value.ndim != 4 or value.is_contiguous(memory_format=torch.channels_last)

    def test_bfloat16_is_close(self, tiny_checkpoint, tiny_pipe, image, references):
        pipe = pipeline(
            "scs-colorize-sr", model=str(tiny_checkpoint), dtype=torch.bfloat16, device="cpu"
        )
        assert pipe.model.dtype == torch.bfloat16
        result = pipe(image, reference=references[0])
        expected = tiny_pipe(image, reference=references[0])
        assert np.abs(pixels(result) - pixels(expected)).mean() < 4

    def test_what_half_precision_cannot_hold_is_computed_in_float32(self, image, references):
        pipes = overflowing_pipes()
        half, single = (pipe(image, reference=references[0]) for pipe in pipes)
        assert equal(half, single)
        assert pipes[0].model.dtype == torch.float16

    @pytest.mark.parametrize("arguments", [{}, {"reference": "modern"}])
    def test_damaged_weights_never_make_an_image(self, image, references, arguments):
        model = build_tiny_model()
        with torch.no_grad():
            part = model.reference_stem if arguments else model.stem
            part.weight.fill_(NAN)
        pipe = pipeline(
            "scs-colorize-sr", model=model, image_processor=SCSNetImageProcessor(), device="cpu"
        )
        with pytest.raises(ArithmeticError, match="not finite"):
            pipe(image, **dict.fromkeys(arguments, references[0]))

    @pytest.mark.parametrize("part", [0.0, 0.01, 0.5, 0.99])
    def test_weights_that_were_cut_off_are_recognized(self, tiny_checkpoint, part):
        weights = tiny_checkpoint / "model.safetensors"
        content = weights.read_bytes()
        weights.write_bytes(content[: int(len(content) * part)])
        with pytest.raises(OSError, match=f"{tiny_checkpoint}.*damaged or cut off"):
            SCSNetForImageToImage.from_pretrained(tiny_checkpoint)

    def test_pickled_weights_are_refused(self, tiny_checkpoint, tiny_model):
        (tiny_checkpoint / "model.safetensors").unlink()
        torch.save(tiny_model.state_dict(), tiny_checkpoint / "pytorch_model.bin")
        with pytest.raises(OSError, match="safetensors"):
            SCSNetForImageToImage.from_pretrained(tiny_checkpoint)

    def test_a_model_and_a_processor_make_a_pipeline(self, tiny_pipe, image):
        pipe = pipeline(
            "scs-colorize-sr", model=tiny_pipe.model, image_processor=SCSNetImageProcessor()
        )
        assert pipe(image).size == (96, 64)
