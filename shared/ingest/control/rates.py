"""How long chunks take and how many rows they make, as far as it was measured elsewhere.

Used for plans of volumes of which no chunk is done yet; a test run of 8 chunks puts the volume's own rates in place of
these.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from shared.types import Triple

CORE_S_PER_CHUNK = 0.001
CORE_S_PER_MEGAVOXEL = 0.006
"""`python -m tests.bench.bench_ingest_rates`, 2026-11-27, one core of a new server, volume on a local disk: 0.21 s for
a chunk of 256 x 256 x 512 voxels of mouse cortex, 0.04 s of it reading (0.007 s for an empty one); 0.014 s for one of
128^3. An older server takes up to 2.4 times as long."""

ROWS_OF_A_MEGAVOXEL = 92.0
ROWS_POWER = 0.61
"""Rows grow slower than a chunk's volume, as larger chunks cut fewer neurites: 12,174 rows in 128 chunks of 1.05
megavoxels of a real graph, 791 labels in one of 33.6 megavoxels of the same tissue."""

ROW_BYTES = 240
"""Eight cells of 60 bytes together, each with qualifier and time, and the key; before Bigtable packs them."""

READ_BYTES_PER_VOXEL = 0.056
"""6.14 MB of files for 110 megavoxels of a real segmentation, as `compressed_segmentation` packed with gzip."""

LOG_BYTES_PER_TASK = 4096
"""The record of its block, the platform's of the request, and what Cloud Logging adds to both."""

ALERTS = 5
"""That `infra/terraform` makes, of one condition each."""

LEAF_MEMORY_GIB = 4
ROWS_WRITTEN_PER_BIGTABLE_NODE_AND_S = 14_000
ROWS_READ_PER_BIGTABLE_NODE_AND_S = 100_000
"""Of a scan, which reads rows that lie together."""

AUDIT_CORE_S_PER_CHUNK = 0.0005
AUDIT_CORE_S_PER_ROW = 0.000005
"""`python -m tests.bench.bench_audit`, 2026-11-27: 0.06 s of a core for 128 chunks of a real graph with 12,174 rows,
its server asked for each chunk. A row is an estimate for Bigtable: 0.0000006 s were measured from SQLite, 0.000012 from
the emulator, which sends a message for each."""

EXPORT_CORE_S_PER_ROW = 0.00002
EXPORT_BYTES_PER_ROW = 40
IMPORT_CORE_S_PER_ROW = 0.00007
"""Estimates for Bigtable. From SQLite 0.000005 to 0.0000065 s were measured of a row, 2026-11-26, one core."""

STORAGE_CHUNK_VOXELS = 64**3
ORIGIN = "measured on mouse cortex of 16 x 16 x 40 nm, 2026-11-27; a test run of this dataset makes them its own"


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


def default_rates(voxels_per_chunk: int) -> Rates:
    """The rates of chunks of that size, from measurements of another volume."""
    megavoxels = voxels_per_chunk / 1e6
    core_s = CORE_S_PER_CHUNK + CORE_S_PER_MEGAVOXEL * megavoxels
    return Rates(core_s, ROWS_OF_A_MEGAVOXEL * megavoxels**ROWS_POWER, ORIGIN)
