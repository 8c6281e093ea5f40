"""Write Fashion-MNIST (70,000 pictures of 28x28 pixels, ten kinds of clothes, MIT licence) as a
ZIP archive with a folder of PNG files for each class, as `modelyard datasets add` takes it.

The data come from Debian's package `dataset-fashion-mnist`, which is fetched if it is not
installed; that needs neither root nor a change to the system.
"""

from __future__ import annotations

import argparse
import gzip
import io
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

PACKAGE = "dataset-fashion-mnist"
INSTALLED = Path("usr/share/datasets/fashion-mnist")
CLASSES = (
    *("t-shirt", "trouser", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "ankle-boot"),
)
EPOCH = (1980, 1, 1, 0, 0, 0)

Array = np.ndarray[Any, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path, help="the ZIP file to write")
    parser.add_argument("--rows", type=int, default=70_000, help="pictures, at most")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(given.archive, source(Path(folder)), given.rows)


def source(scratch: Path) -> Path:
    """The folder with the package's files: as installed, or unpacked in `scratch`."""
    installed = Path("/") / INSTALLED
    if installed.is_dir():
        return installed
    download = ["apt-get", "-qq", "download", PACKAGE]
    if subprocess.run(download, cwd=scratch, check=False).returncode:
        # The lists of packages may be missing or old; only root may fetch them.
        subprocess.run(["apt-get", "-qq", "update"], check=True)
        subprocess.run(download, cwd=scratch, check=True)
    (package,) = scratch.glob(f"{PACKAGE}_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, scratch / "unpacked"], check=True)
    return scratch / "unpacked" / INSTALLED


def write(archive: Path, folder: Path, rows: int) -> None:
    """Write the first `rows` pictures; the same bytes each time."""
    with zipfile.ZipFile(archive, "w") as into:
        for number, (pixels, kind) in enumerate(pictures(folder)):
            if number >= rows:
                break
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, "PNG")
            entry = zipfile.ZipInfo(f"{CLASSES[kind]}/{number:05}.png", EPOCH)
            into.writestr(entry, data.getvalue())


def pictures(folder: Path) -> Iterator[tuple[Array, int]]:
    """Pixels [28, 28] and class of each picture, those for training first."""
    for part in ("train", "t10k"):
        # IDX: a magic number, the sizes as big-endian 32-bit numbers, then bytes.
        images = gzip.decompress((folder / f"{part}-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((folder / f"{part}-labels-idx1-ubyte.gz").read_bytes())
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
        yield from zip(pixels, labels[8:], strict=True)


if __name__ == "__main__":
    main()
