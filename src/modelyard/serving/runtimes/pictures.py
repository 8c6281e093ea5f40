"""Pictures out of strangers' bytes.

Decoders are native code: they run in the process of a replica, in its sandbox, and never in a
gateway. What a file claims is held to bounds before a pixel is decoded. Nothing is ever fetched.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Final

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

from modelyard.core.errors import Invalid
from modelyard.serving.runtimes.function import describe

MAX_FILE: Final = 32 << 20
"""Bytes of one file."""
MAX_PIXELS: Final = 64_000_000
"""Of one picture: 260 MB with an alpha channel."""
MAX_SCANS: Final = 64
"""Of a progressive JPEG. Each is a pass over all of the picture, and some ten are usual."""
FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
"""As Pillow calls them. Of one that moves, the first frame counts."""

_SCAN: Final = b"\xff\xda"
_ORIENTATION: Final = 0x0112
"""The EXIF tag that says how the camera was held."""
_TURNS: Final[Mapping[int, Transpose]] = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What brings a picture upright, by that tag."""
_WHITE: Final = (255, 255, 255, 255)


def decode(data: bytes, *, least: int = 0, grey: bool = False) -> Image.Image:
    """The picture, upright, in RGB or in shades of `grey`; what shows through is white.

    A JPEG that is far larger than wanted is decoded at a fraction of its size, with shorter sides
    of at least twice `least` pixels.

    Raises:
        Invalid: no picture of a known format, damaged or cut off, or over the bounds.
    """
    if len(data) > MAX_FILE:
        raise Invalid(f"the picture's file has {len(data)} bytes; at most {MAX_FILE} are taken")
    try:
        with warnings.catch_warnings():
            # Its own bounds are wider than ours; what else it warns of is only a file's oddity.
            warnings.simplefilter("ignore")
            image = _open(data)
            _check(image, data)
            if least:
                image.draft(None, _reduced(image.size, 2 * least))
            image.load()
            return _upright(_plain(image, grey=grey), _orientation(image))
    except Invalid:
        raise
    except Image.DecompressionBombError:
        raise Invalid(f"the picture has more than {MAX_PIXELS} pixels") from None
    except Exception as error:  # noqa: BLE001 - of a damaged file, its parsers raise anything
        raise Invalid(f"the picture cannot be decoded: {describe(error)}") from None


def _open(data: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        what = "is empty" if not data else f"begins with {data[:8].hex(' ')}"
        raise Invalid(
            f"no picture: JPEG, PNG, WebP, GIF and BMP are taken, and the file {what}"
        ) from None


def _check(image: Image.Image, data: bytes) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Invalid(f"the picture has {width} x {height} pixels; at most {MAX_PIXELS} are taken")
    if image.format == "JPEG" and data.count(_SCAN) > MAX_SCANS:
        raise Invalid(f"the picture is a JPEG of more than {MAX_SCANS} scans")


def _reduced(size: tuple[int, int], least: int) -> tuple[int, int]:
    """The same shape with a shorter side of `least`."""
    width, height = size
    short = max(min(size), 1)
    return max(width * least // short, 1), max(height * least // short, 1)


def _plain(image: Image.Image, *, grey: bool) -> Image.Image:
    """In RGB or L, of eight bits, and opaque."""
    if image.mode.startswith("I"):
        # Sixteen bits of grey, which a plain conversion would cut off at 255.
        wide = np.asarray(image).astype(np.int64).clip(0, 65_535)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode in ("LA", "PA", "RGBA", "RGBa", "La") or "transparency" in image.info:
        over = image.convert("RGBA")
        under = Image.new("RGBA", over.size, _WHITE)
        under.alpha_composite(over)
        image = under
    wanted = "L" if grey else "RGB"
    return image if image.mode == wanted else image.convert(wanted)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - whatever is wrong with what stands beside the picture
        return 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)
