"""Sealing by AES-256-GCM (NIST SP 800-38D), under a key that lies in the home.

    sealed := version (1 byte) | nonce (12 bytes, random) | ciphertext | tag (16 bytes)

What it belongs to is authenticated, not stored: whoever moves a sealed secret to another row has
something that does not open. Random nonces are good for 2^32 secrets under one key.
"""

from __future__ import annotations

import os
from typing import Final

from modelyard.core.errors import Conflict
from modelyard.core.secret import Secret

KEY_BYTES: Final = 32
_VERSION: Final = b"\x01"
_NONCE: Final = 12


class AesGcmSealer:
    """A `Sealer`. The library is loaded when the first secret is sealed or opened."""

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES:
            raise ValueError(f"the sealing key must have {KEY_BYTES} bytes")
        self._key: Final = key

    def seal(self, secret: Secret, *about: str) -> bytes:
        """Seal it under a nonce of its own."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(_NONCE)
        text = secret.reveal().encode()
        return _VERSION + nonce + AESGCM(self._key).encrypt(nonce, text, _joined(about))

    def open(self, sealed: bytes, *about: str) -> Secret:
        """Open it. Raises Conflict."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        version, nonce, rest = sealed[:1], sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            if version != _VERSION or len(nonce) != _NONCE:
                raise InvalidTag
            return Secret(AESGCM(self._key).decrypt(nonce, rest, _joined(about)).decode())
        except InvalidTag:
            raise Conflict(
                "a secret cannot be opened: it was sealed by another home, or has been changed; "
                "give it again"
            ) from None


def _joined(about: tuple[str, ...]) -> bytes:
    """The ids with their lengths, so that no two lists of them look the same."""
    parts = [each.encode() for each in about]
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)
