"""The convolutional network, and what augmentation does to pictures."""

import numpy as np
import pytest
import torch

from modelyard.training.neural.convolutional import Augment, Convolutional
from modelyard.training.neural.estimator import NetworkClassifier
from modelyard.training.neural.recipe import Recipe

PICTURES = torch.from_numpy(np.random.default_rng(0).random((40, 2, 8, 8)).astype(np.float32))


def augmented(shift: float = 0.0, turn: float = 0.0, *, flip: bool = False) -> torch.Tensor:
    torch.manual_seed(3)
    augment = Augment(shift, turn, flip=flip)
    made = augment.train()(PICTURES)
    assert isinstance(made, torch.Tensor)
    assert torch.equal(augment.eval()(PICTURES), PICTURES)
    return made


def test_pictures_are_mirrored_about_every_other_time() -> None:
    made = augmented(flip=True)
    same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(made, PICTURES, strict=True)]
    turned = [torch.allclose(a.flip(2), b, atol=1e-5) for a, b in zip(made, PICTURES, strict=True)]
    assert [a ^ b for a, b in zip(same, turned, strict=True)] == [True] * 40
    assert 10 < sum(turned) < 30


def test_pictures_are_moved_a_little_and_each_in_its_own_way() -> None:
    spot = torch.zeros(50, 1, 16, 16)
    spot[:, :, 7:9, 7:9] = 1.0
    torch.manual_seed(3)
    moved = Augment(0.25, 0.0, flip=False).train()(spot)
    rows = (moved.sum(dim=(1, 3)) * torch.arange(16)).sum(dim=1) / 4 - 7.5
    assert float(rows.abs().max()) <= 4.01
    assert float(rows.std()) > 1.5
    assert torch.allclose(moved.sum(dim=(1, 2, 3)), torch.full((50,), 4.0), atol=0.01)


def test_pictures_are_turned_about_their_middle() -> None:
    bar = torch.zeros(50, 1, 17, 33)
    bar[:, :, 8, 12:21] = 1.0
    torch.manual_seed(3)
    turned = Augment(0.0, np.pi / 4, flip=False).train()(bar)[:, 0]
    middle = turned[:, 8, 16]
    assert float(middle.min()) > 0.9
    # As long as before in pixels, whatever the picture's shape: the angle is a true one.
    high = (turned.amax(dim=2) > 0.3).sum(dim=1)
    assert int(high.max()) <= 9
    assert int(high.max()) >= 5


def test_it_learns_where_things_are_wherever_they_are() -> None:
    generator = np.random.default_rng(1)
    pictures = generator.integers(0, 40, (240, 1, 10, 10))
    kinds = generator.integers(0, 2, 240)
    for picture, kind in zip(pictures, kinds, strict=True):
        y, x = generator.integers(1, 8, 2)
        picture[0, y : y + (3 if kind else 1), x : x + (1 if kind else 3)] = 255
    flat = pictures.reshape(240, -1).astype(np.uint8)
    architecture = Convolutional(1, 10, 10, conv_channels=(8,), hidden_layer_sizes=(16,))
    recipe = Recipe(epochs=12, batch_size=20, learning_rate=0.01, early_stopping=False)
    network = NetworkClassifier(architecture, recipe).fit(flat[:200], kinds[:200])
    assert network.score(flat[200:], kinds[200:]) > 0.9


def test_too_many_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="3 conv_channels halve pictures of 7 x 9 pixels"):
        Convolutional(1, 9, 7, conv_channels=(4, 4, 4)).build((63,), 2)
    with pytest.raises(ValueError, match="64 numbers are no picture of this size"):
        Convolutional(1, 9, 7).build((64,), 2)
