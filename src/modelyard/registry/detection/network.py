"""A network with its tokenizer or its preprocessor, in a folder as Hugging Face's tools write it.

What else is in the folder (weights of other libraries, pages about the model) is left aside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard.core.errors import Invalid
from modelyard.registry.artifact import Format

GRAPH: Final = "model.onnx"
TOKENIZER: Final = "tokenizer.json"
PREPROCESSOR: Final = "preprocessor_config.json"
CONFIG: Final = "config.json"
LABELS: Final = "labels.txt"
_POOLING: Final = ("modules.json", "1_Pooling/config.json")
_GRAPHS: Final = (GRAPH, f"onnx/{GRAPH}")
_FILES: Final = (TOKENIZER, PREPROCESSOR, CONFIG, LABELS, "tokenizer_config.json", *_POOLING)
_OF_TEXTS: Final = "ForSequenceClassification"
_OF_IMAGES: Final = "ForImageClassification"
_MAX_CONFIG: Final = 8 << 20


class FolderNetwork(msgspec.Struct, frozen=True):
    """What the network is for, and its files by the names that runtimes know them by."""

    format: Format
    files: Mapping[str, Path]


def find_network(folder: Path) -> FolderNetwork | None:
    """The network of the folder; None if there is none, or one that takes mere tensors.

    Raises:
        Invalid: a part is missing, or there are several networks; the message says what to do.
    """
    files = {name: folder / name for name in _FILES if (folder / name).is_file()}
    graphs = list(_graphs(folder))
    config = _read(files.get(CONFIG))
    classifies = _architecture(config)
    if not graphs or not (files.keys() & {TOKENIZER, PREPROCESSOR} or classifies):
        return None
    if len(graphs) > 1:
        names = ", ".join(f"'{path.relative_to(folder)}'" for path in graphs[:8])
        raise Invalid(
            f"there are {len(graphs)} networks in this folder: {names}; leave one, or call the one "
            f"that is meant {GRAPH}"
        )
    files[GRAPH] = graphs[0]
    if TOKENIZER in files:
        labelled = LABELS in files or classifies == _OF_TEXTS or _has_labels(config)
        classifier = labelled and not files.keys() & set(_POOLING)
        return FolderNetwork(Format.TEXT_CLASSIFIER if classifier else Format.EMBEDDER, files)
    if PREPROCESSOR in files:
        return FolderNetwork(Format.IMAGE_CLASSIFIER, files)
    if classifies == _OF_TEXTS:
        raise Invalid(
            f"a text classifier needs {TOKENIZER} beside {graphs[0].name}: save it with "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)"
        )
    raise Invalid(
        f"an image classifier needs {PREPROCESSOR} beside {graphs[0].name}: save it with "
        "AutoImageProcessor.from_pretrained(...).save_pretrained(folder)"
    )


def _graphs(folder: Path) -> Iterator[Path]:
    """The one that bears the usual name, or else all that there are."""
    for name in _GRAPHS:
        if (folder / name).is_file():
            yield folder / name
            return
    for within in (folder, folder / "onnx"):
        yield from sorted(path for path in within.glob("*.onnx") if path.is_file())


def _read(path: Path | None) -> Mapping[str, Any]:
    """The configuration, as far as it can be read: its runtime says what is wrong with it."""
    if path is None or path.stat().st_size > _MAX_CONFIG:
        return {}
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        return {}


def _has_labels(config: Mapping[str, Any]) -> bool:
    # Configurations of embedders may hold labels, too, that nobody has ever set.
    return "id2label" in config and not config.get("architectures")


def _architecture(config: Mapping[str, Any]) -> str:
    """The ending by which a classifier's class is known; empty for any other."""
    architectures = config.get("architectures")
    for name in architectures if isinstance(architectures, list) else []:
        for ending in (_OF_TEXTS, _OF_IMAGES):
            if isinstance(name, str) and name.endswith(ending):
                return ending
    return ""
