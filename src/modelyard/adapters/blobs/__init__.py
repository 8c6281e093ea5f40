"""Content-addressed bytes, on local disk or in memory."""

from __future__ import annotations

from modelyard.adapters.blobs.local import local_blobs
from modelyard.adapters.blobs.store import BlobStore, memory_blobs

__all__ = ["BlobStore", "local_blobs", "memory_blobs"]
