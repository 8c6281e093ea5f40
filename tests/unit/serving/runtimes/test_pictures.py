"""Decoding of pictures: every kind of file, and what a hostile one cannot do.

`MODELYARD_TEST_MUTANTS` says how many mutants there are of each file; a thousand is the full
measure.
"""

from __future__ import annotations

import io
import os
import random
import resource
import struct
import time
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.core.errors import Invalid
from modelyard.serving.runtimes import pictures
from modelyard.serving.runtimes.pictures import decode
from tests.image_classifiers import encoded, picture

MUTANTS = int(os.environ.get("MODELYARD_TEST_MUTANTS", "60"))
RED, BLUE = (255, 0, 0), (0, 0, 255)
SCENE = (
    np.random.default_rng(5).integers(0, 255, (6, 8, 3), dtype=np.uint8).repeat(9, 0).repeat(9, 1)
)
"""72 x 54 pixels."""


def close(image: Image.Image, wanted: Any, within: float) -> bool:
    """Whether the colours differ by so much on average, of 255."""
    difference = np.asarray(image).astype(int) - np.asarray(wanted).astype(int)
    return image.mode == "RGB" and float(np.abs(difference).mean()) <= within


@pytest.mark.parametrize(
    ("format_", "options", "within"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 12),
        ("JPEG", {"quality": 98, "subsampling": 0}, 3),
        ("JPEG", {"quality": 98, "subsampling": 0, "progressive": True}, 3),
        ("GIF", {}, 12),
    ],
)
def test_each_format_is_decoded(format_: str, options: dict[str, Any], within: int) -> None:
    data = encoded(Image.fromarray(SCENE), format_, **options)

    assert close(decode(data), SCENE, within)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_each_mode_becomes_eight_bits_of_rgb(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((4, 4), 0xC000, dtype=np.uint16))
        wanted = (192, 192, 192)
    else:
        image = Image.new("RGB", (4, 4), "white").convert(mode)
        wanted = (255, 255, 255)

    found = decode(encoded(image, "PNG"))

    assert (found.mode, found.getpixel((1, 1))) == ("RGB", wanted)


def test_print_colours_become_those_of_a_screen() -> None:
    data = encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG")

    assert close(decode(data), np.full((8, 8, 3), RED), 6)


def test_what_shows_through_is_white() -> None:
    half = Image.new("RGBA", (4, 4), (*RED, 0))
    half.paste((*BLUE, 255), (0, 0, 2, 4))
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([*RED, *BLUE])
    palette.paste(1, (0, 0, 2, 4))

    for data in (encoded(half, "PNG"), encoded(palette, "GIF", transparency=0)):
        found = decode(data)
        assert [found.getpixel((x, 0)) for x in (0, 3)] == [BLUE, (255, 255, 255)]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_as_the_camera_was_held(orientation: int) -> None:
    turned = {
        1: lambda one: one,
        2: np.fliplr,
        3: lambda one: np.rot90(one, 2),
        4: np.flipud,
        5: lambda one: one.transpose(1, 0, 2),
        6: lambda one: np.rot90(one, 1),
        7: lambda one: np.rot90(one, 2).transpose(1, 0, 2),
        8: lambda one: np.rot90(one, 3),
    }[orientation](SCENE)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(np.ascontiguousarray(turned)), "PNG", exif=exif)

    assert close(decode(data), SCENE, 0)


def test_of_what_moves_the_first_frame_counts() -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    for format_ in ("GIF", "WEBP", "PNG"):
        options = {"lossless": True} if format_ == "WEBP" else {}
        data = encoded(frames[0], format_, save_all=True, append_images=frames[1:], **options)

        assert decode(data).getpixel((4, 4)) == RED


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size() -> None:
    data = picture("red", (1600, 1200), "JPEG")

    assert decode(data, least=100).size == (400, 300)
    assert decode(data, least=1000).size == (1600, 1200)
    assert decode(data).size == (1600, 1200)


def test_grey_is_one_channel() -> None:
    assert decode(picture("white"), grey=True).mode == "L"


def refusal(data: bytes) -> str | None:
    """What is said against a file; None if it is a picture within bounds."""
    try:
        image = decode(data)
    except Invalid as error:
        return error.message
    assert image.mode == "RGB"
    assert image.width * image.height <= pictures.MAX_PIXELS
    return None


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"", *before: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", head),
            *before,
            chunk(b"IDAT", data),
            chunk(b"IEND", b""),
        ]
    )


def scans(count: int) -> bytes:
    """A progressive JPEG with more scans of the same than it has."""
    data = encoded(Image.fromarray(SCENE), "JPEG", progressive=True)
    start = data.index(b"\xff\xda")
    end = data.index(b"\xff\xda", start + 2)
    return data[:start] + data[start:end] * count + data[end:]


WHOLE = encoded(Image.fromarray(SCENE), "PNG")
WIDE_GIF = bytearray(picture("red", format_="GIF"))
WIDE_GIF[6:10] = struct.pack("<HH", 65535, 65535)
WIDE_BMP = b"BM" + struct.pack("<IIIIiiHHIIiiII", 60, 0, 54, 40, 2**30, 2**30, 1, 24, *(0,) * 6)
INFLATED = b"x\0\0" + zlib.compress(b"\0" * (64 << 20))
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
BLACK = zlib.compress(b"\0" * 200)
BOMBS = {
    "wide and high": (png(60_000, 60_000), "60000 x 60000 pixels; at most|more than 64000000"),
    "just too large": (png(8_001, 8_000), "8001 x 8000 pixels; at most 64000000"),
    "one of two thousand million": (png(2**31 - 1, 2**31 - 1), "pixels"),
    "gif": (bytes(WIDE_GIF), "pixels"),
    "bmp": (WIDE_BMP, "pixels"),
    "colour profile": (png(8, 8, BLACK, chunk(b"iCCP", INFLATED)), None),
    "text": (png(8, 8, BLACK, chunk(b"zTXt", INFLATED)), None),
    "scans": (scans(3000), "JPEG of more than 64 scans"),
    "empty": (b"", "is empty"),
    "cut off": (encoded(Image.fromarray(SCENE), "JPEG")[:-200], "truncated"),
    "cut off at once": (WHOLE[:40], "cannot be decoded|no picture"),
    "svg": (SVG, "no picture"),
    "tiff": (encoded(Image.new("RGB", (4, 4)), "TIFF"), "no picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(x) run", "no picture"),
    "a file of thirty megabytes": (b"\x89PNG" + b"\0" * (33 << 20), "at most 33554432"),
}
"""Files, and what is said of them; None where nothing need be."""


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_soon_and_takes_no_memory(name: str) -> None:
    data, said = BOMBS[name]
    peak, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()

    if said is None:
        # What stands beside the pixels may be left aside as well.
        assert refusal(data) is None or "cannot be decoded" in str(refusal(data))
    else:
        with pytest.raises(Invalid, match=said):
            decode(data)

    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 64 << 10  # KiB
    assert time.monotonic() - began < 10


def test_no_plugin_of_another_format_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    whole = Image.open

    def watched(file: io.BytesIO, **options: Any) -> Image.Image:
        opened.append(options["formats"])
        return whole(file, **options)

    monkeypatch.setattr(Image, "open", watched)
    decode(picture("red"))

    assert opened == [("BMP", "GIF", "JPEG", "PNG", "WEBP")]


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_mutants_are_decoded_or_refused(format_: str) -> None:
    whole = encoded(Image.fromarray(SCENE), format_)
    chance = random.Random(1)
    refused = 0
    for _ in range(MUTANTS):
        mutant = bytearray(whole)
        for _ in range(chance.choice((1, 2, 8, 40))):
            # Most of what decides stands at the beginning.
            end = chance.choice((64, len(mutant)))
            mutant[chance.randrange(min(end, len(mutant)))] = chance.randrange(256)
        if chance.random() < 0.2:
            del mutant[chance.randrange(len(mutant)) :]
        said = refusal(bytes(mutant))
        if said is not None:
            refused += 1
            assert 10 < len(said) < 500
    assert refused > MUTANTS // 20
