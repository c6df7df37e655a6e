"""The volume of supervoxels that a graph was made from, read one chunk at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from shared.geometry.grid import GraphGeometry
from shared.types import Triple, UInt64Array

if TYPE_CHECKING:
    from shared.features.runs import LabelRuns


class SupervoxelVolume(Protocol):
    """The voxels of one graph's volume. May be used by many threads."""

    def read_chunk(self, coordinate: Triple) -> UInt64Array:
        """The supervoxels of a chunk.

        Args:
          coordinate: of the chunk, in the chunk grid.

        Returns:
          uint64[x, y, z] of the full chunk size, in Fortran order; 0 where there is no supervoxel, where the volume's
          files are absent, and beyond the volume's end.

        Raises:
          OutsideVolumeError: if the grid has no such chunk.
          VolumeUnavailableError: if the volume cannot be read just now.
          ConfigurationError: if the volume is not there or is none that can be read.
        """

    def read_runs(self, coordinate: Triple, threads: int = 1) -> LabelRuns:
        """The runs of a chunk's supervoxels: those of the voxels of `read_chunk`, which may not be needed for that.

        Args:
          coordinate: of the chunk, in the chunk grid.
          threads: how many threads may look for runs.

        Raises:
          OutsideVolumeError, VolumeUnavailableError, ConfigurationError: as `read_chunk`.
          CorruptFileError: if a file is damaged.
        """


class VolumeSource(Protocol):
    """Hands out the volumes of graphs."""

    def get(self, geometry: GraphGeometry) -> SupervoxelVolume:
        """The volume that the geometry's `data_dir` names; the same instance each time."""
