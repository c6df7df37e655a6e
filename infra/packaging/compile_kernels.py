"""Compiles the feature engine's kernels into the folder of the `shared` that is on the path, for a package.

Run as a program of its own: what is compiled depends on nothing but the sources.
"""

from __future__ import annotations

import numpy as np
from numba.core.annotations.type_annotations import TypeAnnotation

from shared.features.api import chunk_features, supervoxel_features, supervoxel_runs
from shared.features.blocks import BlockRuns
from shared.geometry.file_grid import Span

RESOLUTION_NM = (16.0, 16.0, 40.0)
FILE_OF_ONE_LABEL = np.array([1, 2, 2, 7, 0], "<u4").tobytes()  # where the channel, a block's table and codes are; 7


def compile_all() -> None:
    """Runs the engine on chunks of the forms that functions meet."""
    blocks = np.arange(16**3).reshape(16, 16, 16) // 512
    for dtype in (np.uint32, np.uint64):
        chunk_features(np.asfortranarray(blocks, dtype=dtype), RESOLUTION_NM)
    runs = supervoxel_runs(np.asfortranarray(blocks, dtype=np.uint64))
    supervoxels = runs.labels()
    supervoxel_features(runs, supervoxels, supervoxels, np.array(RESOLUTION_NM))
    found, span = BlockRuns((8, 8, 8), (8, 8, 8), label_bytes=8), Span(0, 8, 0, 8)
    found.add([FILE_OF_ONE_LABEL], [span], span, span)


def _say_nothing(_annotation: object) -> str:
    return ""


if __name__ == "__main__":
    # Only `inspect_types` reads the annotations that go into the cache; they hold addresses and the folder's name.
    setattr(TypeAnnotation, "__str__", _say_nothing)  # noqa: B010  # a plain assignment is an error to mypy
    compile_all()
