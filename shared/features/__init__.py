"""The feature engine: labels of a chunk -> the attributes of every node in it.

Pure computation: arrays in, arrays out; no I/O and no knowledge of graphs or volumes.

- `api.py` is what others call; `result.py` what they get; `memory.py` what it costs.
- `runs.py` turns a chunk into runs of equal labels along x; `engine.py` and `transform.py` take them through the
  kernels; `pca.py` and `stored.py` make attributes of their sums. `noise.py` is for chunks of noise.
- `blocks.py` and `encoded.py` find runs in files of compressed_segmentation, without their voxels.
- Compiled kernels: `scan.py` (runs), `sums.py` (what runs alone tell), `slab.py` (runs as columns side by side),
  `distance.py` (the transform along an axis), `measure.py` (distances per label), `passes.py` (the order of it all),
  `noise_kernels.py` (noise). `lanes.py` and `lane_groups.py` are the vectors that they work with; `compiled.py` says
  how they are compiled and cached.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.features.api import chunk_features, supervoxel_features, supervoxel_runs
    from shared.features.memory import chunk_memory_bytes
    from shared.features.result import Features

__all__ = ["Features", "chunk_features", "chunk_memory_bytes", "supervoxel_features", "supervoxel_runs"]

_MODULES = {
    "Features": "result",
    "chunk_features": "api",
    "chunk_memory_bytes": "memory",
    "supervoxel_features": "api",
    "supervoxel_runs": "api",
}


def __getattr__(name: str) -> object:
    """What others call, imported when it is first asked for: the package itself costs nothing.

    Raises:
      AttributeError: if there is no such name.
    """
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
