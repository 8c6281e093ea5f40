"""From a picture to a network's numbers, as Hugging Face's `preprocessor_config.json` says it.

The steps are those of its image processors, in their order: resize, crop, scale, normalise. What
the file asks for and is not done here is refused when the model is imported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
from PIL.Image import Image

from modelyard.core.errors import Invalid
from modelyard.core.tensors import Tensor
from modelyard.serving.runtimes.contract import CannotLoad
from modelyard.serving.runtimes.pictures import decode

PREPROCESSOR_FILE: Final = "preprocessor_config.json"
MAX_SIDE: Final = 2048
"""Pixels of what a network looks at."""
MAX_RESIZED: Final = 16_000_000
"""Pixels of a picture before it is cropped: one that is very narrow would become very long."""
_MAX_FACTOR: Final = 1e6
_WHOLE_FROM: Final = 384
"""From this size on, pictures with a `crop_pct` are not cropped."""
_FILTERS: Final = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""By their numbers in Pillow."""
_BICUBIC: Final = 3
_DONE: Final = frozenset(
    {
        "do_resize",
        "do_center_crop",
        "do_rescale",
        "do_normalize",
        "do_convert_rgb",
        "do_flip_channel_order",
    }
)


class Preparation(msgspec.Struct, frozen=True):
    """What is done to each picture. Sizes are (height, width) in pixels.

    It is brought to the size `resize`, or with `shortest` so that its shorter side has as many
    pixels; then the middle of the size `crop` is cut out. Each colour is multiplied and added to
    by its `factors` and `terms`, in the order of the network's channels; with `flipped` that is
    blue, green, red. One channel is grey.
    """

    crop: tuple[int, int]
    factors: tuple[float, ...]
    terms: tuple[float, ...]
    resample: int = _BICUBIC
    resize: tuple[int, int] | None = None
    shortest: int = 0
    flipped: bool = False

    @property
    def channels(self) -> int:
        """How many numbers a pixel has."""
        return len(self.factors)

    def told(self) -> str:
        """In a sentence, for the model's card."""
        size = "{1} x {0}".format(*self.crop)
        if self.shortest:
            how = f"resized to a shorter side of {self.shortest} ({_FILTERS[self.resample]}) and "
            how += f"cropped to {size}"
        elif self.resize is not None:
            how = "resized to {1} x {0} ".format(*self.resize) + f"({_FILTERS[self.resample]})"
            how += "" if self.resize == self.crop else f" and cropped to {size}"
        else:
            how = f"cropped to {size}"
        colours = "grey" if self.channels == 1 else "BGR" if self.flipped else "RGB"
        return f"Pictures are {how}, {colours}."

    def apply(self, data: bytes) -> Tensor:
        """The picture in this file as numbers [height, width, channels], FP32.

        Raises:
            Invalid: it cannot be decoded, or is too narrow or too small.
        """
        image = decode(data, least=self._least(), grey=self.channels == 1)
        pixels = np.asarray(self._cropped(self._resized(image)), dtype=np.float32)
        if self.channels == 1:
            pixels = pixels[:, :, None]
        elif self.flipped:
            pixels = pixels[:, :, ::-1]
        factors = np.array(self.factors, dtype=np.float32)
        numbers: Tensor = pixels * factors + np.array(self.terms, dtype=np.float32)
        return numbers

    def _least(self) -> int:
        """The shorter side below which a picture must not be reduced while it is decoded."""
        return self.shortest or (0 if self.resize is None else max(self.resize))

    def _resized(self, image: Image) -> Image:
        width, height = image.size
        if self.shortest:
            short, long = sorted(image.size)
            other = max(self.shortest, int(self.shortest * long / short))
            if self.shortest * other > MAX_RESIZED:
                raise Invalid(f"the picture is too narrow: it has {width} x {height} pixels")
            size = (self.shortest, other) if width <= height else (other, self.shortest)
        elif self.resize is not None:
            size = (self.resize[1], self.resize[0])
        else:
            return image
        return image if size == image.size else image.resize(size, self.resample)

    def _cropped(self, image: Image) -> Image:
        height, width = self.crop
        left, top = (image.width - width) // 2, (image.height - height) // 2
        if left < 0 or top < 0:
            raise Invalid(
                f"the picture has {image.width} x {image.height} pixels; the model looks at "
                f"{width} x {height} and does not resize"
            )
        if (width, height) == image.size:
            return image
        return image.crop((left, top, left + width, top + height))


def read_preparation(config: Mapping[str, Any], channels: int) -> Preparation:
    """The preparation for a network of so many channels.

    Raises:
        CannotLoad: the file asks for what is not done here, or says nothing sensible.
    """
    for name, value in config.items():
        if name.startswith("do_") and value is True and name not in _DONE:
            raise CannotLoad(f"{PREPROCESSOR_FILE} asks for '{name}', which is not done here")
    crop, resize, shortest = _sizes(config)
    factors, terms = _colours(config, channels)
    resample = config.get("resample", _BICUBIC)
    if not isinstance(resample, int) or not 0 <= resample < len(_FILTERS):
        raise _wrong("resample", resample, f"a number from 0 to {len(_FILTERS) - 1}")
    return Preparation(
        crop=crop,
        factors=factors,
        terms=terms,
        resample=resample,
        resize=resize,
        shortest=shortest,
        flipped=config.get("do_flip_channel_order") is True,
    )


def _sizes(config: Mapping[str, Any]) -> tuple[tuple[int, int], tuple[int, int] | None, int]:
    """Sizes after the crop and after resizing to a fixed size, and the shorter side otherwise."""
    crops = config.get("do_center_crop", "crop_size" in config) is True
    crop = _size("crop_size", config.get("crop_size")) if crops else None
    if config.get("do_resize", "size" in config) is not True:
        if crop is None:
            raise _wrong("size", config.get("size"), "the size that pictures are brought to")
        return crop, None, 0
    size = config.get("size")
    if isinstance(size, Mapping) and "shortest_edge" in size:
        shortest = _side("size.shortest_edge", size["shortest_edge"])
    elif isinstance(size, int) and (crop is not None or "crop_pct" in config):
        # The form of old files: with a crop, the shorter side; without one, both.
        shortest = _side("size", size)
    else:
        fixed = _size("size", size)
        return _within(crop or fixed, fixed), fixed, 0
    if "crop_pct" in config and crop is None:
        return _by_share(shortest, config["crop_pct"])
    if crop is None:
        raise CannotLoad(
            f"{PREPROCESSOR_FILE} resizes by the shorter side alone, so that pictures keep "
            "different shapes: add do_center_crop and crop_size, or a size of height and width"
        )
    return _within(crop, (shortest, shortest)), None, shortest


def _by_share(size: int, share: Any) -> tuple[tuple[int, int], tuple[int, int] | None, int]:
    """ConvNeXT's way: the middle of that share, but of large pictures the whole."""
    if size >= _WHOLE_FROM:
        return (size, size), (size, size), 0
    if not isinstance(share, int | float) or not 0.1 <= share <= 1:
        raise _wrong("crop_pct", share, "a share from 0.1 to 1")
    return (size, size), None, _side("size", int(size / share))


def _within(crop: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
    if crop[0] > size[0] or crop[1] > size[1]:
        raise CannotLoad(
            f"{PREPROCESSOR_FILE}: crop_size {list(crop)} is larger than what pictures are "
            f"resized to, {list(size)}"
        )
    return crop


def _size(name: str, value: Any) -> tuple[int, int]:
    if isinstance(value, Mapping) and {"height", "width"} <= value.keys():
        return _side(f"{name}.height", value["height"]), _side(f"{name}.width", value["width"])
    if isinstance(value, Sequence) and len(value) == 2 and not isinstance(value, str):
        return _side(name, value[0]), _side(name, value[1])
    side = _side(name, value)
    return side, side


def _side(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_SIDE:
        raise _wrong(name, value, f"a number of pixels, 1 to {MAX_SIDE}")
    return value


def _colours(
    config: Mapping[str, Any], channels: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """What each colour is multiplied by, and what is added then: all steps in one."""
    factor, term = 1.0, 0.0
    if config.get("do_rescale", True) is True:
        factor = _number("rescale_factor", config.get("rescale_factor", 1 / 255))
        term = -1.0 if config.get("rescale_offset") is True else 0.0
    factors, terms = np.full(channels, factor), np.full(channels, term)
    if config.get("do_normalize", "image_mean" in config) is True:
        mean = _numbers("image_mean", config.get("image_mean"), channels)
        spread = _numbers("image_std", config.get("image_std"), channels)
        if (np.abs(spread) < 1 / _MAX_FACTOR).any():
            raise _wrong("image_std", config.get("image_std"), "other than zero")
        factors, terms = factors / spread, (terms - mean) / spread
        if config.get("include_top") is True:
            # EfficientNet's own: its networks were trained on what was divided twice.
            factors, terms = factors / spread, terms / spread
    return tuple(factors.tolist()), tuple(terms.tolist())


def _numbers(name: str, value: Any, channels: int) -> Tensor:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    if len(values) not in (1, channels):
        raise _wrong(name, value, f"{channels} numbers, as many as the network has channels")
    return np.array([_number(name, each) for each in values] * (channels // len(values)))


def _number(name: str, value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    # A comparison with NaN is false.
    if not number or not -_MAX_FACTOR <= value <= _MAX_FACTOR:
        raise _wrong(name, value, "a number of moderate size")
    return float(value)


def _wrong(name: str, value: Any, wanted: str) -> CannotLoad:
    if value is None:
        return CannotLoad(f"{PREPROCESSOR_FILE} does not say '{name}': {wanted}")
    return CannotLoad(f"{PREPROCESSOR_FILE}: '{name}' is {value!r:.60}, and must be {wanted}")
