"""From a picture to numbers: each step of `preprocessor_config.json`, and what it may not say."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modelyard.core.errors import Invalid
from modelyard.serving.runtimes.contract import CannotLoad
from modelyard.serving.runtimes.picture_preparation import Preparation, read_preparation
from tests.image_classifiers import encoded, picture

NOISE = np.random.default_rng(3).integers(0, 255, (60, 90, 3), dtype=np.uint8)
FILE = encoded(Image.fromarray(NOISE), "PNG")
MEANS, SPREADS = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def prepared(config: dict[str, Any], channels: int = 3) -> Preparation:
    return read_preparation(config, channels)


def test_resized_cropped_scaled_and_normalised() -> None:
    """As Hugging Face's image processors do it, step by step."""
    found = prepared(
        {
            "do_resize": True,
            "size": {"shortest_edge": 40},
            "resample": 3,
            "do_center_crop": True,
            "crop_size": {"height": 32, "width": 36},
            "do_rescale": True,
            "rescale_factor": 0.00392156862745098,
            "do_normalize": True,
            "image_mean": MEANS,
            "image_std": SPREADS,
            "image_processor_type": "BitImageProcessor",
        }
    ).apply(FILE)

    resized = np.asarray(Image.fromarray(NOISE).resize((60, 40), Image.Resampling.BICUBIC))
    cropped = resized[4:36, 12:48]
    wanted = (cropped / 255 - MEANS) / SPREADS
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_a_size_of_both_sides_needs_no_crop() -> None:
    found = prepared({"size": {"height": 20, "width": 30}, "resample": 2, "do_normalize": False})

    wanted = np.asarray(Image.fromarray(NOISE).resize((30, 20), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(found.apply(FILE), wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"size": 224}, "resized to 224 x 224 (bicubic), RGB"),
        (
            {"size": 256, "crop_size": 224, "do_center_crop": True, "resample": 2},
            "resized to a shorter side of 256 (bilinear) and cropped to 224 x 224, RGB",
        ),
        (
            {"size": {"shortest_edge": 224}, "crop_pct": 0.875},
            "resized to a shorter side of 256 (bicubic) and cropped to 224 x 224, RGB",
        ),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.9}, "resized to 384 x 384 (bicubic), RGB"),
        (
            {"size": [64, 48], "do_flip_channel_order": True},
            "resized to 48 x 64 (bicubic), BGR",
        ),
        ({"do_resize": False, "crop_size": 24}, "cropped to 24 x 24, RGB"),
    ],
)
def test_the_sizes_of_old_files_are_understood(config: dict[str, Any], told: str) -> None:
    assert prepared(config).told() == f"Pictures are {told}."


def test_scaling_by_an_offset_and_normalising_twice() -> None:
    config = {
        "size": 16,
        "rescale_factor": 1 / 127.5,
        "rescale_offset": True,
        "image_mean": [0.1, 0.2, 0.3],
        "image_std": [0.5, 0.25, 0.2],
        "include_top": True,
    }

    found = prepared(config).apply(picture((255, 0, 51)))

    wanted = [(1 - 0.1) / 0.5 / 0.5, (-1 - 0.2) / 0.25 / 0.25, (-0.6 - 0.3) / 0.2 / 0.2]
    assert found[3, 3] == pytest.approx(wanted, rel=1e-4)


def test_grey_networks_get_one_channel() -> None:
    config = {"size": 28, "image_mean": [0.5], "image_std": [0.5]}

    found = prepared(config, channels=1).apply(picture("white"))

    assert found.shape == (28, 28, 1)
    assert found.max() == found.min() == pytest.approx(1.0)


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1)])
def test_what_is_too_narrow_is_refused_before_it_is_resized(size: tuple[int, int]) -> None:
    preparation = prepared({"size": {"shortest_edge": 400}, "crop_size": 300})

    with pytest.raises(Invalid, match="too narrow"):
        preparation.apply(picture("red", size))


def test_what_is_not_resized_may_be_too_small() -> None:
    with pytest.raises(Invalid, match="16 x 12 pixels; the model looks at 20 x 20"):
        prepared({"do_resize": False, "crop_size": 20}).apply(picture("red"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "does not say 'size'"),
        ({"size": 0}, "'size' is 0"),
        ({"size": -5}, "'size' is -5"),
        ({"size": 10**9}, "1 to 2048"),
        ({"size": 1e2}, "1 to 2048"),
        ({"size": math.nan}, "1 to 2048"),
        ({"size": True}, "1 to 2048"),
        ({"size": "224"}, "1 to 2048"),
        ({"size": {"height": 5, "width": -1}}, "size.width"),
        ({"size": {"shortest_edge": 224}}, "add do_center_crop and crop_size"),
        ({"size": {"longest_edge": 224}}, "1 to 2048"),
        ({"size": 64, "crop_size": 65}, "larger than what pictures are resized to"),
        ({"size": {"shortest_edge": 64}, "crop_pct": 0.0}, "crop_pct"),
        ({"size": {"shortest_edge": 64}, "crop_pct": math.nan}, "crop_pct"),
        ({"size": 8, "resample": 6}, "'resample' is 6"),
        ({"size": 8, "resample": "cubic"}, "'resample' is 'cubic'"),
        ({"size": 8, "rescale_factor": math.inf}, "rescale_factor"),
        ({"size": 8, "image_mean": [0.5] * 3, "image_std": [0.5, 0.0, 0.5]}, "other than zero"),
        ({"size": 8, "image_mean": [0.5] * 3, "image_std": [math.nan] * 3}, "image_std"),
        ({"size": 8, "image_mean": [0.5] * 2, "image_std": [0.5] * 3}, "3 numbers"),
        ({"size": 8, "image_mean": "half", "image_std": 1}, "image_mean"),
        ({"size": 8, "do_normalize": True}, "does not say 'image_mean'"),
        ({"size": 8, "do_pad": True}, "asks for 'do_pad', which is not done here"),
    ],
)
def test_what_makes_no_sense_is_refused(config: dict[str, Any], said: str) -> None:
    with pytest.raises(CannotLoad, match=said):
        prepared(config)
