"""What a model file is, by its first bytes. Its name decides nothing."""

from __future__ import annotations

import re
from typing import Final

from modelyard.core.errors import UnsupportedFormat

HEAD_BYTES: Final = 512

_NEEDS_SANDBOX: Final = (
    "it can execute code when it is read, which needs the sandbox that this version does not have; "
    "export the model to ONNX and import that"
)
_NOT_YET: Final = "only ONNX can be imported; export the model to ONNX"

# Compressed joblib files begin as any file of their compression does.
_MAGIC: Final[tuple[tuple[bytes, str, str], ...]] = (
    (b"PK\x03\x04", "a ZIP archive such as PyTorch, Keras and NumPy write", _NEEDS_SANDBOX),
    (b"\x1f\x8b", "a gzip file such as joblib writes", _NEEDS_SANDBOX),
    (b"\x78\x01", "a zlib file such as joblib writes", _NEEDS_SANDBOX),
    (b"\x78\x5e", "a zlib file such as joblib writes", _NEEDS_SANDBOX),
    (b"\x78\x9c", "a zlib file such as joblib writes", _NEEDS_SANDBOX),
    (b"\x78\xda", "a zlib file such as joblib writes", _NEEDS_SANDBOX),
    (b"BZh", "a bzip2 file such as joblib writes", _NEEDS_SANDBOX),
    (b"\xfd7zXZ\x00", "an xz file such as joblib writes", _NEEDS_SANDBOX),
    (b"\x5d\x00\x00", "an LZMA file such as joblib writes", _NEEDS_SANDBOX),
    (b"\x04\x22\x4d\x18", "an LZ4 file such as joblib writes", _NEEDS_SANDBOX),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file such as Keras writes", _NEEDS_SANDBOX),
    (b"GGUF", "a GGUF file", _NOT_YET),
)
_TEXT_PICKLE: Final = re.compile(rb"c[A-Za-z_][\w.]*\n|\(lp?\d|\(dp?\d|\]q|\}q")


def refuse_other_than_onnx(head: bytes) -> None:
    """Look at the first bytes of an upload, and let pass what may be ONNX.

    ONNX (a Protocol Buffers message) has no magic number; whether it is one is for its parser to
    say. Everything that is surely something else is refused here by its name.

    Raises:
        UnsupportedFormat: what the file is, why it cannot be imported and what can.
    """
    if _is_pickle(head):
        raise UnsupportedFormat(f"this file is a pickle (or joblib): {_NEEDS_SANDBOX}")
    for magic, what, why in _MAGIC:
        if head.startswith(magic):
            raise UnsupportedFormat(f"this file is {what}: {why}")
    if head[8:9] == b"{" and head[3:8] == b"\x00" * 5:
        raise UnsupportedFormat(f"this file is a safetensors file: {_NOT_YET}")
    if head[:1] in (b"{", b"["):
        raise UnsupportedFormat(f"this file is JSON: {_NOT_YET}")


def _is_pickle(head: bytes) -> bool:
    """Protocols 2 to 5 begin with PROTO and their number; 0 and 1 with an opcode of text."""
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return True
    return _TEXT_PICKLE.match(head) is not None
