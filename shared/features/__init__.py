"""The feature engine: labels of a chunk -> the eight attributes of every node in it.

Pure computation: arrays in, arrays out; no I/O and no knowledge of graphs or volumes.
"""

from __future__ import annotations

from shared.features.engine import chunk_features, chunk_memory_bytes
from shared.features.result import Features

__all__ = ["Features", "chunk_features", "chunk_memory_bytes"]
