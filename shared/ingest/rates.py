"""How long chunks take and how many rows they make, as far as it was measured elsewhere.

Used for plans of volumes of which no chunk is done yet; a test run of 8 chunks puts the volume's own rates in place of
these. Measured by `python -m tests.bench.bench_ingest_rates` on the real crop of mouse cortex (16 x 16 x 40 nm).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from shared.types import Triple

CORE_S_PER_MEGAVOXEL = 0.020
CORE_S_PER_CHUNK = 0.015
ROWS_PER_CHUNK_AND_MEGAVOXEL = 36.0
"""Rows grow with a chunk's volume to the power below: larger chunks cut fewer neurites."""
ROWS_POWER = 0.75
ROW_BYTES = 500
LEAF_MEMORY_GIB = 4
ROWS_WRITTEN_PER_NODE_AND_S = 14_000
STORAGE_CHUNK_VOXELS = 64**3
ORIGIN = "measured"


@dataclass(frozen=True)
class Rates:
    """What an estimate rests on.

    Attributes:
      core_s_per_chunk: seconds of a worker, which has one core.
      rows_per_chunk: L2 nodes in a chunk.
      origin: where these numbers come from.
    """

    core_s_per_chunk: float
    rows_per_chunk: float
    origin: str

    def files_per_chunk(self, chunk_size_voxels: Triple) -> float:
        """Reads of files for a chunk, if storage chunks are of the usual size."""
        return max(1.0, prod(chunk_size_voxels) / STORAGE_CHUNK_VOXELS)


def measured_elsewhere(voxels_per_chunk: int) -> Rates:
    """The rates of chunks of that size, from measurements of another volume."""
    megavoxels = voxels_per_chunk / 1e6
    core_s = CORE_S_PER_CHUNK + CORE_S_PER_MEGAVOXEL * megavoxels
    return Rates(core_s, ROWS_PER_CHUNK_AND_MEGAVOXEL * megavoxels**ROWS_POWER, ORIGIN)
