"""Reading the volume of supervoxels with CloudVolume."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import ConfigurationError, VolumeUnavailableError
from shared.geometry.grid import GraphGeometry
from shared.types import Triple, UInt64Array
from shared.volume.failures import cause_of
from shared.volume.protocol import SupervoxelVolume
from shared.volume.segmentation_files import SegmentationFiles

if TYPE_CHECKING:
    from shared.features.runs import LabelRuns


class CloudVolumeReader:
    """`SupervoxelVolume` through CloudVolume, which knows all encodings, sharding and places of precomputed volumes.

    Runs come from the files themselves where those tell them (`SegmentationFiles`).

    CloudVolume and the volume's `info` are loaded at the first chunk, once. One CloudVolume serves all threads: with
    its caches off, a download changes nothing in it.
    """

    def __init__(self, geometry: GraphGeometry) -> None:
        self._geometry = geometry
        self._lock = threading.Lock()
        self._volume: Any = None
        self._files: SegmentationFiles | None = None

    def read_chunk(self, coordinate: Triple) -> UInt64Array:
        """See `SupervoxelVolume.read_chunk`."""
        box = self._geometry.chunk_box(coordinate)
        volume = self._opened()
        from cloudvolume import Bbox

        try:
            voxels = volume.download(Bbox(box.start, box.stop), mip=self._geometry.mip)
        except MemoryError:
            raise
        except Exception as error:
            # Whatever the storage's client raises, and there are many clients: the volume opened well, so it is worth
            # another try.
            cause = cause_of(volume, self._geometry, coordinate, error)
            raise VolumeUnavailableError(
                f"chunk {coordinate} of the volume cannot be read just now ({cause})"
            ) from error
        return np.asarray(voxels)[..., 0].astype(np.uint64, order="F", copy=False)

    def read_runs(self, coordinate: Triple, threads: int = 1) -> LabelRuns:
        """See `SupervoxelVolume.read_runs`: from the files themselves where they are such that runs can be seen."""
        box = self._geometry.chunk_box(coordinate)
        self._opened()
        runs = self._files.read_runs(box) if self._files else None
        if runs is not None:
            return runs
        from shared.features.api import supervoxel_runs

        return supervoxel_runs(self.read_chunk(coordinate), threads)

    def _opened(self) -> Any:
        with self._lock:
            if self._volume is None:
                volume = _open(self._geometry)
                self._files = SegmentationFiles.of(volume, self._geometry.mip)
                self._volume = volume
            return self._volume


class Volumes:
    """`VolumeSource` over CloudVolume."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._opened: dict[GraphGeometry, SupervoxelVolume] = {}

    def get(self, geometry: GraphGeometry) -> SupervoxelVolume:
        """See `VolumeSource.get`."""
        with self._lock:
            return self._opened.setdefault(geometry, CloudVolumeReader(geometry))


def _open(geometry: GraphGeometry) -> Any:
    from cloudvolume import CloudVolume, exceptions

    unusable = (
        exceptions.InfoUnavailableError,
        exceptions.ScaleUnavailableError,
        exceptions.UnsupportedFormatError,
        exceptions.UnsupportedProtocolError,
    )
    try:
        # parallel and green_threads as they are: one process, no monkey-patching. `bounded=False` gives the zeros
        # beyond the end, `fill_missing` those of absent files.
        volume = CloudVolume(
            geometry.data_dir,
            mip=geometry.mip,
            fill_missing=True,
            bounded=False,
            progress=False,
            cache=False,
            parallel=1,
        )
    except unusable as error:
        raise ConfigurationError(
            f"the data_dir in the graph's info is no volume that can be read ({type(error).__name__})"
        ) from error
    except MemoryError:
        raise
    except Exception as error:
        raise VolumeUnavailableError(f"the volume's info cannot be read just now ({type(error).__name__})") from error
    if volume.num_channels != 1 or np.dtype(volume.dtype).kind != "u":
        raise ConfigurationError("the volume that data_dir names holds no supervoxels")
    return volume
