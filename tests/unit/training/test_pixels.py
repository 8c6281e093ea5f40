"""From pictures' files to pixels: sizes, bounds, and the same numbers as in serving."""

import numpy as np
import polars as pl
import pytest

from modelyard.core.errors import Invalid
from modelyard.training import pixels
from modelyard.training.dataset import Picture
from modelyard.training.pixels import PictureSize, pixels_of, size_of
from tests.picture_sets import png


@pytest.mark.parametrize(
    ("picture", "side", "grey", "expected"),
    [
        (Picture(28, 28, 1), None, None, PictureSize(28, 28, 1)),
        (Picture(640, 480, 3), None, None, PictureSize(48, 64, 3)),
        (Picture(640, 480, 3), 96, True, PictureSize(72, 96, 1)),
        (Picture(20, 40, 1), 10, False, PictureSize(10, 5, 3)),
        (Picture(1000, 1, 3), 10, None, PictureSize(1, 10, 3)),
    ],
)
def test_pictures_keep_their_shape(
    picture: Picture, side: int | None, grey: bool | None, expected: PictureSize
) -> None:
    assert size_of(picture, side, grey=grey) == expected


def test_pixels_stand_channel_by_channel() -> None:
    picture = np.arange(24).reshape(2, 4, 3) * 10
    found = pixels_of(pl.Series("image", [png(picture)]), PictureSize(2, 4, 3))
    assert found.to_numpy().tolist() == [picture.transpose(2, 0, 1).reshape(-1).tolist()]


def test_they_are_the_numbers_that_the_served_model_sees() -> None:
    file = png(np.random.default_rng(0).integers(0, 256, (37, 23, 3)))
    size = PictureSize(16, 10, 1)
    seen = size.preparation().apply(file)
    found = pixels_of(pl.Series("image", [file]), size).to_numpy()[0]
    np.testing.assert_array_equal(found.astype(np.float32).reshape(16, 10), seen[:, :, 0])


def test_how_much_is_in_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixels, "MAX_BYTES", 2 << 20)
    files = pl.Series("image", [b""] * 1000)
    with pytest.raises(Invalid) as caught:
        pixels_of(files, PictureSize(64, 64, 3))
    assert caught.value.message == (
        "1000 pictures of 64 x 64 pixels and 3 channels take 11 MiB; at most 2 MiB are learned "
        "from: set a smaller image_size"
    )


def test_a_file_that_cannot_be_decoded_is_named_by_its_place() -> None:
    files = pl.Series("photo", [png(np.zeros((2, 2))), b"what"])
    with pytest.raises(Invalid, match="picture 2 of 'photo': no picture"):
        pixels_of(files, PictureSize(2, 2, 1))
