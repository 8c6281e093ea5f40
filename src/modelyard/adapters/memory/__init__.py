"""The store in memory: for tests, and for whoever embeds the rooms without a database."""

from __future__ import annotations

from modelyard.adapters.memory.control_plane import MemoryControlPlane
from modelyard.adapters.memory.lease import MemoryLease
from modelyard.adapters.memory.store import MemoryStore, MemoryTransaction

__all__ = ["MemoryControlPlane", "MemoryLease", "MemoryStore", "MemoryTransaction"]
