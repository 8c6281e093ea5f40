"""Small data sets of pictures, as archives."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping

import numpy as np
from PIL import Image

from modelyard.training.rows import Array


def png(pixels: Array) -> bytes:
    """Grey from [height, width], RGB from [height, width, 3]; numbers from 0 to 255."""
    data = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(data, "PNG")
    return data.getvalue()


def archive(files: Mapping[str, bytes]) -> bytes:
    """A ZIP archive; a name that ends in a slash is a folder."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as into:
        for name, content in files.items():
            # Pictures do not shrink; what does so very much is a bomb.
            method = zipfile.ZIP_DEFLATED if len(content) > 1 << 20 else zipfile.ZIP_STORED
            into.writestr(zipfile.ZipInfo(name), content, method)
    return data.getvalue()


def stripes(count: int = 60, side: int = 12, seed: int = 0) -> dict[str, bytes]:
    """Pictures in two folders, whose stripes lie or stand; shifted, and noisy."""
    generator = np.random.default_rng(seed)
    files = {}
    for number in range(count):
        wave = 127 + 100 * np.sin(np.arange(side) * 1.6 + generator.uniform(0, 6))
        pixels = np.tile(wave, (side, 1)) + generator.normal(0, 30, (side, side))
        kind = "standing" if number % 2 else "lying"
        turned = pixels if number % 2 else pixels.T
        files[f"{kind}/{number:03}.png"] = png(turned.clip(0, 255))
    return files


def digits(count: int = 1797) -> dict[str, bytes]:
    """Handwritten digits of scikit-learn, 8x8 made 16x16, in ten folders."""
    from sklearn.datasets import load_digits

    pixels, kinds = load_digits(return_X_y=True)
    return {
        f"{kind}/{number:04}.png": png(np.kron(each.reshape(8, 8) * 15.9, np.ones((2, 2))))
        for number, (each, kind) in enumerate(zip(pixels[:count], kinds, strict=False))
    }
