"""Texts as the vectors of a registered sentence embedder, made once for a whole training.

The embedder stays as it is: what is learned is a linear model on its vectors. Equal texts are
embedded once, and the vectors kept in the scratch folder for whoever lays the groundwork again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from modelyard.core.errors import Invalid, TooLarge
from modelyard.core.tasks import Progress, Report
from modelyard.registry.artifact import Format
from modelyard.serving.runtimes.contract import MODEL, RuntimeManifest
from modelyard.training.rows import Array

if TYPE_CHECKING:
    import polars as pl

    from modelyard.serving.runtimes.embedder import Embedder

EMBEDDER_FILE: Final = "embedder.zip"
"""In the scratch folder: the embedder that a training is to use."""
VECTORS_FILE: Final = "vectors.npy"
MAX_TEXTS: Final = 100_000
"""That differ from each other."""
BATCH: Final = 256
"""Texts between two reports of progress."""


def open_embedder(folder: Path) -> Embedder:
    """The embedder in the folder, which cuts long texts off as a text classifier does.

    Raises:
        Invalid: there is none.
        CannotLoad: it is no good.
    """
    from modelyard.serving.runtimes.bundle import open_bundle
    from modelyard.serving.runtimes.embedder import Embedder

    if not (folder / EMBEDDER_FILE).exists():
        raise Invalid("there is no embedder to read the texts with: name a registered one")
    manifest = RuntimeManifest(Format.EMBEDDER.value, {MODEL: EMBEDDER_FILE})
    with open_bundle(folder, manifest) as bundle:
        return Embedder(bundle, cutting=True)


def vectors_of(texts: pl.Series, folder: Path, report: Report) -> Array:
    """The vector of each text, FP32 [texts, width].

    Raises:
        Invalid, TooLarge: there are too many texts, or one that the embedder does not take.
    """
    kept = folder / VECTORS_FILE
    if kept.exists():
        return np.asarray(np.load(kept, allow_pickle=False))
    distinct = texts.unique(maintain_order=True)
    if len(distinct) > MAX_TEXTS:
        raise TooLarge(f"there are {len(distinct)} different texts; at most {MAX_TEXTS} are read")
    vectors = embed(open_embedder(folder), distinct.to_list(), report)
    place = {text: at for at, text in enumerate(distinct.to_list())}
    every: Array = vectors[[place[text] for text in texts.to_list()]]
    written = kept.with_suffix(".part")
    with written.open("wb") as file:
        np.save(file, every, allow_pickle=False)
    written.replace(kept)
    return every


def embed(embedder: Embedder, texts: Sequence[str], report: Report) -> Array:
    """The vectors, batch by batch."""
    parts = []
    for start in range(0, len(texts), BATCH):
        vectors, _ = embedder.embed(texts[start : start + BATCH])
        parts.append(vectors)
        done = min(start + BATCH, len(texts))
        report(Progress(f"embedded {done} of {len(texts)} texts", done / len(texts)))
    return np.concatenate(parts)
