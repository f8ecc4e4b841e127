"""Every mode of Pillow, format, orientation and depth: size, orientation, levels and alpha."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags, Image, features

from helpers.image_checks import encoded
from helpers.image_files import (
    as_stored,
    exif_block,
    heic_bytes,
    png_bytes,
    tiff_12_bits,
    tiff_bytes,
)
from scsnet_hf.decoding import split_alpha
from scsnet_hf.image_io import load_image

HEIGHT, WIDTH = 16, 48
ORIENTATIONS = range(1, 9)

GRAY_MODES = {"1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
DEEP_MODES = {"I;16", "I;16L", "I;16B", "I;16N", "I", "F"}
ALPHA_MODES = {"LA", "La", "PA", "RGBA", "RGBa"}
EVERY_MODE = sorted(GRAY_MODES | ALPHA_MODES | {"P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"})


def quarters(*values: int) -> np.ndarray:
    """(HEIGHT, WIDTH): values of the upper left, upper right, lower left and lower right."""
    small = np.array(values).reshape(2, 2)
    return small.repeat(HEIGHT // 2, axis=0).repeat(WIDTH // 2, axis=1)


# In 16 bits and not multiples of 257, so that a reduction to 8 bits on the way is noticed.
LEVELS = quarters(10000, 28001, 45003, 60007)
BITS = quarters(0, 65535, 65535, 65535)
ALPHA = quarters(255, 200, 128, 64)
ONE_HIDDEN = quarters(255, 255, 0, 255)


@dataclass(frozen=True)
class Case:
    """An image file, or a PIL image, and the image expected when it is loaded.

    Attributes:
        make: takes an orientation.
        mode: of the loaded image.
        levels: of 16 bits.
        alpha: of 8 bits, None if opaque.
        within: levels of 8 bits by which an encoder may be off; 0 for all 16 bits exactly.
    """

    name: str
    make: Callable[[int], bytes | Image.Image]
    mode: str
    levels: np.ndarray
    alpha: np.ndarray | None = None
    within: float = 0
    orientation: int = 1

    def __str__(self):
        return f"{self.name} {self.orientation}"


def image_in(mode: str, orientation: int, alpha: np.ndarray = ALPHA) -> Image.Image:
    """The four quarters in a mode, as a camera stores them under an orientation."""
    levels = as_stored(BITS if mode == "1" else LEVELS, orientation)
    deep = {"I": np.int32, "I;16B": ">u2"}
    if mode == "F":
        return Image.fromarray((levels / 257).astype(np.float32))
    if mode in DEEP_MODES:
        raw = np.ascontiguousarray(levels, dtype=deep.get(mode, "<u2"))
        return Image.frombytes(mode, levels.shape[::-1], raw.tobytes())
    gray = Image.fromarray((levels // 257).astype(np.uint8))
    if mode in ALPHA_MODES:
        gray.putalpha(Image.fromarray(as_stored(alpha, orientation).astype(np.uint8)))
        return gray.convert(mode) if mode in GRAY_MODES else gray.convert("RGBA").convert(mode)
    if mode == "P":
        return gray.quantize(4)
    return gray.convert(mode) if mode in ("1", "L") else gray.convert("RGB").convert(mode)


def loaded_mode(mode: str) -> str:
    if mode in DEEP_MODES:
        return "I;16"
    return ("L" if mode in GRAY_MODES else "RGB") + ("A" if mode in ALPHA_MODES else "")


def expected_levels(mode: str) -> np.ndarray:
    if mode in DEEP_MODES or mode == "1":
        return BITS if mode == "1" else LEVELS
    return LEVELS // 257 * 257


def case(name: str, kind: str, make: Callable, within: float = 0, **changes) -> Case:
    """A case that loads as an image of the mode `kind` does, but for `changes`."""
    usual = {"mode": loaded_mode(kind), "levels": expected_levels(kind), "within": within}
    if kind in ALPHA_MODES:
        usual["alpha"] = ALPHA
    return Case(name, make, **(usual | changes))


# What a conversion of Pillow may be off by, whatever the file.
MODE_WITHIN = {"F": 1 / 257, "La": 2, "RGBa": 2, "YCbCr": 1, "LAB": 2, "HSV": 1}


def held(mode: str, orientation: int) -> Image.Image:
    image = image_in(mode, orientation)
    image.getexif()[ExifTags.Base.Orientation] = orientation
    return image


def written(image_format: str, mode: str, **options) -> Callable[[int], bytes]:
    """Makes a file with an orientation, by Pillow."""

    def make(orientation: int) -> bytes:
        exif = {} if orientation == 1 else {"exif": exif_block(orientation)}
        return encoded(image_in(mode, orientation), image_format, **exif, **options)

    return make


def turned_cases() -> Iterator[Case]:
    """Everything that holds an orientation."""
    for mode in EVERY_MODE:
        yield case(
            f"PIL {mode}",
            mode,
            lambda orientation, mode=mode: held(mode, orientation),
            MODE_WITHIN.get(mode, 0),
        )
    for mode in ("1", "L", "RGB", "RGBX", "CMYK", "YCbCr"):
        yield case(f"JPEG {mode}", mode, written("JPEG", mode, quality=95), 3)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"):
        yield case(f"PNG {mode}", mode, written("PNG", mode))
    for mode in ("1", "L", "LA", "P", "PA", "RGB", "RGBX", "RGBA", "CMYK", "YCbCr", "LAB"):
        for compression in ("raw", "tiff_lzw"):
            if (mode, compression) != ("YCbCr", "raw"):  # Pillow cannot read its own
                yield case(
                    f"TIFF {mode} {compression}",
                    mode,
                    written("TIFF", mode, compression=compression),
                    MODE_WITHIN.get(mode, 0),
                )
    for mode in ("I;16", "I;16B", "F"):
        yield case(f"TIFF {mode}", mode, written("TIFF", mode), MODE_WITHIN.get(mode, 0))
    for mode in ("L", "RGB", "YCbCr"):
        make = written("TIFF", mode, compression="jpeg", quality=95)
        yield case(f"TIFF {mode} jpeg", mode, make, 3)
    if features.check("webp"):
        for mode in ("L", "RGB", "RGBX", "RGBA", "P"):
            make = written("WEBP", mode, lossless=True)
            yield case(f"WebP {mode}", mode, make, mode=loaded_mode(mode).replace("L", "RGB"))
    if features.check("avif"):
        for mode in ("L", "RGB", "RGBA"):
            make = written("AVIF", mode, quality=95, speed=10)
            decoded = Image.open(BytesIO(make(1))).mode  # gray is RGB before Pillow 12.3
            yield case(f"AVIF {mode}", mode, make, 3, mode=decoded)
    for mode in ("L", "RGB", "RGBA", "I;16"):
        yield case(
            f"HEIC {mode}",
            mode,
            lambda orientation, mode=mode: heic_bytes(
                image_in(mode, orientation), exif=exif_block(orientation), quality=95
            ),
            3,
        )


def upright_cases() -> Iterator[Case]:
    """Formats and kinds of file that hold no orientation, or that Pillow does not write."""
    for mode in ("L", "P", "RGB"):
        yield case(f"GIF {mode}", mode, written("GIF", mode), mode="RGB")
    yield case(
        "GIF RGBA",
        "RGBA",
        lambda _: encoded(image_in("RGBA", 1, ONE_HIDDEN), "GIF"),
        alpha=ONE_HIDDEN,
    )
    for mode in ("1", "L", "P", "RGB"):
        yield case(f"BMP {mode}", mode, written("BMP", mode))
    for mode in ("1", "L", "RGB", "I;16", "I"):
        yield case(f"PPM {mode}", mode, written("PPM", mode))

    def add(name: str, kind: str, content: bytes, **changes) -> Case:
        return case(name, kind, lambda _: content, **changes)

    deep, gray = LEVELS.astype(np.uint16), (LEVELS // 257).astype(np.uint8)
    black = {"photometric": "minisblack"}
    for order in "<>":
        yield add(f"TIFF 16 bits {order}", "I;16", tiff_bytes(deep, byteorder=order, **black))
        signed = (LEVELS // 2).astype(np.int16)
        yield add(
            f"TIFF 16 bits signed {order}",
            "I;16",
            tiff_bytes(signed, byteorder=order, **black),
            within=2 / 257,
        )
        floating = (LEVELS / 257).astype(np.float32)
        yield add(
            f"TIFF float {order}",
            "F",
            tiff_bytes(floating, byteorder=order, **black),
            within=1 / 257,
        )
    yield add("TIFF 32 bits", "I;16", tiff_bytes(LEVELS.astype(np.uint32) * 65537, **black))
    yield add(
        "TIFF 32 bits signed",
        "I;16",
        tiff_bytes((LEVELS * 2**15).astype(np.int32), **black),
        within=1 / 257,
    )
    yield add("TIFF 16 bits deflate", "I;16", tiff_bytes(deep, compression="zlib", **black))
    yield add("TIFF 16 bits tiled", "I;16", tiff_bytes(deep, tile=(16, 16), **black))
    yield add("TIFF 16 bits big", "I;16", tiff_bytes(deep, bigtiff=True, **black))
    white = {"photometric": "miniswhite"}
    yield add("TIFF 8 bits, white is 0", "L", tiff_bytes(255 - gray, **white))
    yield add("TIFF 16 bits, white is 0", "I;16", tiff_bytes(65535 - deep, **white))
    twelve = np.round(LEVELS / 65535 * 4095)
    yield add("TIFF 12 bits", "I;16", tiff_12_bits(twelve), within=9 / 257)
    colors, opacity = np.dstack([deep] * 3), (ALPHA * 257).astype(np.uint16)
    for options in ({}, {"byteorder": ">"}, {"compression": "zlib"}, {"planarconfig": "separate"}):
        stored = np.stack([deep] * 3) if "planarconfig" in options else colors
        content = tiff_bytes(stored, photometric="rgb", **options)
        yield add(f"TIFF RGB 16 bits {options}", "I;16", content)
    yield add("PNG RGB 16 bits", "I;16", png_bytes(colors, 16))
    for name, channels in (("LA", (deep, opacity)), ("RGBA", (deep, deep, deep, opacity))):
        content = png_bytes(np.dstack(channels), 16)
        yield add(f"PNG {name} 16 bits", "I;16", content, alpha=ALPHA)
    for name, array in (("float 0 to 1", LEVELS / 65535), ("float 0 to 65535", LEVELS)):
        content = tiff_bytes(array.astype(np.float32), **black)
        yield add(f"TIFF {name}", "I;16", content, within=1 / 257)
    for dtype in (np.float64, np.float16):
        content = tiff_bytes((LEVELS / 65535).astype(dtype), **black)
        yield add(f"TIFF {dtype.__name__}", "I;16", content, within=16 / 257)
    content = tiff_bytes((colors / 65535).astype(np.float32), photometric="rgb")
    yield add("TIFF RGB float", "I;16", content, within=1 / 257)
    for kind in ("assoc", "unass"):
        share = ALPHA / 255 if kind == "assoc" else 1
        channels = (np.round(LEVELS * share).astype(np.uint16), opacity)
        content = tiff_bytes(np.dstack(channels), extrasamples=[f"{kind}alpha"], **black)
        yield add(f"TIFF LA 16 bits {kind}", "I;16", content, alpha=ALPHA, within=3 / 257)
    signed = (LEVELS // 514).astype(np.int8)
    yield add("TIFF 8 bits signed", "L", tiff_bytes(signed, **black), within=2)
    # One of the quarters is declared transparent.
    hidden = {"alpha": ONE_HIDDEN}
    yield add("PNG 16 bits, transparent level", "I;16", png_bytes(deep, 16, (45003,)), **hidden)
    yield add("PNG 8 bits, transparent level", "LA", png_bytes(gray, 8, (175,)), **hidden)
    colors8 = np.dstack([gray] * 3)
    for depth, mode, content in (
        (8, "RGBA", png_bytes(colors8, 8, (175,) * 3)),
        (16, "I;16", png_bytes(colors, 16, (45003,) * 3)),
    ):
        yield add(f"PNG RGB {depth} bits, transparent color", mode, content, **hidden, within=1)
    for depth, steps in ((2, (0, 1, 2, 3)), (4, (2, 5, 11, 14))):
        levels = quarters(*steps)
        yield add(
            f"PNG {depth} bits, transparent level",
            "LA",
            png_bytes(levels, depth, (steps[2],)),
            levels=levels * 65535 // (2**depth - 1),
            **hidden,
        )
    palette = image_in("P", 1)
    index = palette.getpixel((0, HEIGHT - 1))
    some = bytes(0 if entry == index else 255 for entry in range(4))
    for image_format in ("PNG", "GIF"):
        content = encoded(palette, image_format, transparency=index)
        yield add(f"{image_format} P, transparent entry", "RGBA", content, **hidden)
    content = encoded(palette, transparency=some)
    yield add("PNG P, alpha of all entries", "RGBA", content, **hidden)
    held_palette = image_in("RGBA", 1).quantize(4)
    yield case("PIL P with alpha", "RGBA", lambda _: held_palette, within=1)


# Each way to store an orientation, in one mode; all eight in one format.
ORIENTED_FORMATS = {"PIL", "PNG", "TIFF", "WebP", "AVIF", "HEIC"}
CASES = [
    *turned_cases(),
    *upright_cases(),
    *(
        replace(case, orientation=orientation)
        for case in turned_cases()
        for orientation in ORIENTATIONS[1:]
        if case.name == "JPEG RGB"
        or (
            orientation == 6
            and case.name.partition(" ")[0] in ORIENTED_FORMATS
            and case.name.split()[1] in ("RGB", "I;16")
        )
    ),
]


def test_there_are_enough_cases():
    assert len(CASES) >= 110


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_image_is_loaded_as_it_is_seen(case):
    image = load_image(case.make(case.orientation), keep_16_bits=True)
    assert image.size == (WIDTH, HEIGHT)
    assert image.mode == case.mode
    colors, alpha = split_alpha(image)
    colors = np.asarray(colors).astype(int).reshape(HEIGHT, WIDTH, -1)
    assert (alpha is None) == (case.alpha is None)
    if case.alpha is not None:
        assert np.abs(np.asarray(alpha).astype(int) - case.alpha).max() <= np.ceil(case.within)
    shown = case.alpha > 0 if case.alpha is not None else np.ones_like(LEVELS, dtype=bool)
    levels = colors if case.mode == "I;16" else colors * 257
    off = np.abs(levels - case.levels[..., None])[shown]
    assert off.max() <= case.within * 257


# One file for each kind of loaded image and each kind of image of Pillow: what comes after loading
# is the same for all files.
@pytest.mark.parametrize(
    "case", [case for case in CASES if case.name.startswith(("PIL", "PNG"))], ids=str
)
def test_every_image_keeps_lightness_alpha_and_depth_through_the_pipeline(case, tiny_pipe):
    depth = 16 if case.mode == "I;16" else 8
    result = tiny_pipe(
        case.make(case.orientation), scale=1, luminance="source", saturation=0, depth=depth
    )
    assert isinstance(result, Image.Image) == (depth == 8)
    values = np.asarray(result).astype(int)
    assert values.shape == (HEIGHT, WIDTH, 3 if case.alpha is None else 4)
    assert values.dtype == int
    unit = 1 if depth == 16 else 257  # of the result, in levels of 16 bits
    if case.alpha is not None:
        alpha = values[..., 3] // (257 if depth == 16 else 1)
        assert np.abs(alpha - case.alpha).max() <= np.ceil(case.within)
    shown = case.alpha > 0 if case.alpha is not None else np.ones_like(LEVELS, dtype=bool)
    off = np.abs(values[..., :3] * unit - case.levels[..., None])[shown]
    assert off.max() <= case.within * 257 + (16 if depth == 16 else 257)
