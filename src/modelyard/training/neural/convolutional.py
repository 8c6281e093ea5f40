"""The convolutional network: blocks of convolutions, each half the size of the one before."""

from __future__ import annotations

import math

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional

from modelyard.training.neural.perceptron import ACTIVATIONS, Perceptron


class Convolutional(msgspec.Struct, frozen=True):
    """Blocks of `conv_layers` convolutions each, then dense layers.

    Pictures come flat, channel by channel, as numbers from 0 to 255. They are normalised by mean
    and spread of each channel, which the first layer learns. The augmentation moves a picture by up
    to `augment_shift` of its size, turns it by up to `augment_rotation` degrees, and with
    `augment_flip` mirrors every other one.
    """

    channels: int
    height: int
    width: int
    conv_channels: tuple[int, ...] = (16, 32)
    conv_layers: int = 1
    kernel_size: int = 3
    hidden_layer_sizes: tuple[int, ...] = (128,)
    activation: str = "relu"
    dropout: float = 0.25
    batch_norm: bool = True
    augment_flip: bool = False
    augment_shift: float = 0.0
    augment_rotation: float = 0.0

    def build(self, shape: tuple[int, ...], outputs: int) -> nn.Module:
        """See `Architecture`. Raises ValueError for too many blocks for pictures of this size."""
        if math.prod(shape) != self.channels * self.height * self.width:
            raise ValueError(f"{math.prod(shape)} numbers are no picture of this size")
        blocks = len(self.conv_channels)
        if min(self.height, self.width) >> blocks < 1:
            raise ValueError(
                f"{blocks} conv_channels halve pictures of {self.width} x {self.height} pixels to "
                "nothing: take fewer, or a larger image_size"
            )
        layers: list[nn.Module] = [
            nn.Unflatten(1, (self.channels, self.height, self.width)),
            Scale(1 / 255),
        ]
        if self.augment_flip or self.augment_shift or self.augment_rotation:
            turn = math.radians(self.augment_rotation)
            layers.append(Augment(self.augment_shift, turn, flip=self.augment_flip))
        layers.append(nn.BatchNorm2d(self.channels, affine=False))
        width = self.channels
        for channels in self.conv_channels:
            layers += self._block(width, channels)
            width = channels
        numbers = width * (self.height >> blocks) * (self.width >> blocks)
        dense = Perceptron(self.hidden_layer_sizes, self.activation, self.dropout, self.batch_norm)
        return nn.Sequential(*layers, nn.Flatten(), *dense.layers(numbers, outputs))

    def _block(self, width: int, channels: int) -> list[nn.Module]:
        layers: list[nn.Module] = []
        for _ in range(self.conv_layers):
            bias = not self.batch_norm
            layers.append(nn.Conv2d(width, channels, self.kernel_size, padding="same", bias=bias))
            if self.batch_norm:
                layers.append(nn.BatchNorm2d(channels))
            layers.append(ACTIVATIONS[self.activation]())
            width = channels
        return [*layers, nn.MaxPool2d(2)]


class Scale(nn.Module):  # type: ignore[misc]
    """Whole numbers as floats, multiplied by a factor."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, pictures: Tensor) -> Tensor:
        """Numbers of the same shape, FP32."""
        return pictures.float() * self.factor


class Augment(nn.Module):  # type: ignore[misc]
    """While training, every picture [n, channels, height, width] is moved, turned and mirrored a
    little, each in its own way; its edge goes on outside. Otherwise it stays.
    """

    def __init__(self, shift: float, turn: float, *, flip: bool) -> None:
        super().__init__()
        self.shift = shift
        self.turn = turn
        self.flip = flip

    def forward(self, pictures: Tensor) -> Tensor:
        """Pictures of the same shape."""
        if not self.training:
            return pictures
        count, _, height, width = pictures.shape
        angle = (torch.rand(count) * 2 - 1) * self.turn
        side = torch.where(torch.rand(count) < 0.5, -1.0, 1.0) if self.flip else torch.ones(count)
        # Coordinates go from -1 to 1, twice the share of the size.
        moved = (torch.rand(2, count) * 2 - 1) * 2 * self.shift
        cosine, sine = torch.cos(angle), torch.sin(angle)
        across = torch.stack([cosine * side, -sine * height / width, moved[0]], dim=1)
        down = torch.stack([sine * side * width / height, cosine, moved[1]], dim=1)
        grid = functional.affine_grid(
            torch.stack([across, down], dim=1), list(pictures.shape), align_corners=False
        )
        return functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
