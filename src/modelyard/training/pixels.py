"""Pixels: pictures' files as numbers, in the same steps as the served model takes.

Files are decoded in the task's process only, within the bounds of `serving/runtimes/pictures.py`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from modelyard.core.errors import Invalid, NotInstalled
from modelyard.training.dataset import Picture

if TYPE_CHECKING:
    import polars as pl

    from modelyard.serving.runtimes.picture_preparation import Preparation

USUAL_SIDE: Final = 64
"""Pixels of the longer side that pictures are brought to unless they are smaller, or it is set."""
MAX_BYTES: Final = 1 << 30
"""Of all pixels together: they are all in memory."""
BILINEAR: Final = 2
"""By its number in Pillow."""
_LOOKED_AT: Final = 1000
"""Pictures that are looked at to tell what they are like."""
_GREY: Final = frozenset({"1", "L", "LA", "La", "I", "I;16", "I;16B"})


class PictureSize(msgspec.Struct, frozen=True):
    """What pictures are brought to before they are learned from: pixels, and 1 channel or 3."""

    height: int
    width: int
    channels: int

    @property
    def numbers(self) -> int:
        """How many numbers a picture is: channel by channel, row by row."""
        return self.channels * self.height * self.width

    def preparation(self) -> Preparation:
        """As the served model prepares pictures, but with numbers from 0 to 255."""
        from modelyard.serving.runtimes.picture_preparation import Preparation

        size, ones = (self.height, self.width), (1.0,) * self.channels
        zeros = (0.0,) * self.channels
        return Preparation(size, ones, zeros, resample=BILINEAR, resize=size)


def size_of(picture: Picture, side: int | None, *, grey: bool | None) -> PictureSize:
    """The size for pictures like these. `side` is that of the longer side."""
    longer = max(picture.width, picture.height)
    side = min(longer, USUAL_SIDE) if side is None else side
    channels = picture.channels if grey is None else 1 if grey else 3
    height = max(1, round(picture.height * side / longer))
    return PictureSize(height, max(1, round(picture.width * side / longer)), channels)


def pixels_of(files: pl.Series, size: PictureSize) -> pl.Series:
    """Each picture's numbers, UINT8: an array of `size.numbers` in each row.

    Raises:
        Invalid: too many pictures of this size, or one that cannot be decoded.
        NotInstalled: there is no decoder here.
    """
    import polars as pl

    if len(files) * size.numbers > MAX_BYTES:
        raise Invalid(
            f"{len(files)} pictures of {size.width} x {size.height} pixels and {size.channels} "
            f"channels take {len(files) * size.numbers >> 20} MiB; at most {MAX_BYTES >> 20} MiB "
            "are learned from: set a smaller image_size"
        )
    check_decoder()
    preparation = size.preparation()
    pixels = np.empty((len(files), size.numbers), np.uint8)
    for place, file in enumerate(files):
        try:
            numbers = preparation.apply(file)
        except Invalid as error:
            raise Invalid(f"picture {place + 1} of '{files.name}': {error.message}") from None
        pixels[place] = numbers.astype(np.uint8).transpose(2, 0, 1).reshape(-1)
    return pl.Series(files.name, pixels, dtype=pl.Array(pl.UInt8, size.numbers))


def check_decoder() -> None:
    """Raises NotInstalled where pictures cannot be decoded."""
    try:
        import PIL.Image  # noqa: F401 - only whether it is there
    except ImportError:
        raise NotInstalled(
            "pictures need a library that this server does not have: "
            "pip install 'modelyard[vision]'"
        ) from None


def picture_of(files: pl.Series) -> Picture:
    """What these pictures are like, by the heads of the first thousand files."""
    heads = [_head(file) for file in files.head(_LOOKED_AT)]
    widths, heights, modes = zip(*heads, strict=True)
    channels = 1 if set(modes) <= _GREY else 3
    return Picture(_middle(widths), _middle(heights), channels)


def told_picture(file: bytes) -> str:
    """One picture in words, for a preview."""
    width, height, _ = _head(file)
    return f"{width} x {height} pixels, {len(file)} bytes"


def _head(file: bytes) -> tuple[int, int, str]:
    from PIL import Image

    from modelyard.serving.runtimes.pictures import FORMATS

    with Image.open(io.BytesIO(file), formats=FORMATS) as image:
        mode = image.mode
        if mode == "P" and image.palette is not None:
            # A palette of greys counts as grey: GIF knows nothing else.
            colours = np.array(image.getpalette() or [], np.uint8).reshape(-1, 3)
            mode = "L" if (colours == colours[:, :1]).all() else "RGB"
        return image.width, image.height, mode


def _middle(sides: Sequence[Any]) -> int:
    return int(np.median(np.asarray(sides)))
