"""Files that are no model that can be served: what they are, and what to do instead."""

from __future__ import annotations

import struct
from typing import Final

from modelyard.core.errors import UnsupportedFormat

SUPPORTED: Final = (
    "Supported are ONNX; XGBoost (JSON, UBJSON) and LightGBM (text) as save_model writes them; "
    "scikit-learn as pickle, joblib or skops; PyTorch as torch.export or TorchScript; Keras "
    "(.keras, .h5); language models in GGUF; a folder, ZIP or tar with one of these, such as "
    "MLflow's; a folder with a network's model.onnx and its tokenizer.json (sentence embedders, "
    "text classifiers) or preprocessor_config.json (image classifiers); and one with a custom "
    "Python model in model.py."
)

_WHOLE: Final = "save the whole model with model.save('model.keras') and import that"
_KNOWN: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file without a Keras model, such as weights alone", _WHOLE),
    (b"\x93NUMPY", "a NumPy array", "import the file that the library of the model saves"),
    (b"\x04\x22\x4d\x18", "an LZ4 file such as joblib can write",
     "save it again with joblib.dump(model, file) without LZ4"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it first, or pack it as ZIP or tar.gz"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "pack the files as ZIP or tar.gz"),
    (b"Rar!", "a RAR archive", "pack the files as ZIP or tar.gz"),
    (b"CBM1", "a CatBoost model", "export it: model.save_model(file, format='onnx')"),
    (b"binf", "an XGBoost model in its old binary form", "load it and save it again as JSON"),
    (b"PAR1", "a Parquet table", "tables are added with 'modelyard datasets add'"),
    (b"\x7fELF", "a program", "import the model's file"),
    (b"MZ", "a program", "import the model's file"),
    (b"%PDF", "a PDF document", "import the model's file"),
    (b"\x89PNG", "a picture", "import the model's file"),
    (b"\xff\xd8\xff", "a picture", "import the model's file"),
    (b"\xac\xed\x00\x05", "a Java object", "export the model to ONNX"),
    (b"{", "JSON, but no model that XGBoost wrote",
     "for a booster call booster.save_model('model.json')"),
    (b"[", "JSON, but no model that XGBoost wrote",
     "for a booster call booster.save_model('model.json')"),
)  # fmt: skip
OLD_TORCH: Final = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
"""The number with which torch.save began its files before they were ZIP archives."""
_PRINTABLE: Final = frozenset(range(32, 127)) | {9, 10, 13}


def refusal(head: bytes) -> UnsupportedFormat:
    """The error for a file that begins so."""
    what, instead = _what(head)
    return UnsupportedFormat(f"this file is {what}: {instead}. {SUPPORTED}")


def _what(head: bytes) -> tuple[str, str]:
    if head[2:14] == OLD_TORCH:
        return "a pickle by torch.save", "export the network with torch.export.save or to ONNX"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite model", "convert the original model to ONNX (tf2onnx)"
    for magic, what, instead in _KNOWN:
        if head.startswith(magic):
            return what, instead
    if len(head) >= 8 and struct.unpack_from("<Q", head)[0] == len(head) - 8:
        return "cut off or of an unknown kind", "save the model again"
    if all(byte in _PRINTABLE for byte in head[:1024]):
        return (
            "text",
            "a model of Python code is a folder with model.py in it; a table is a dataset",
        )
    return "of an unknown kind, or damaged at its beginning", "save the model again"
