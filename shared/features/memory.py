"""What a chunk costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def chunk_memory_bytes(shape: Sequence[int], label_bytes: int = 4) -> int:
    """Upper bound of the bytes that the features of a chunk need, the labels included.

    Args:
      shape: of the chunk, in voxels.
      label_bytes: bytes per label.
    """
    return int(np.prod([int(n) for n in shape])) * (label_bytes + 160)
