"""Reading runs from files of compressed_segmentation, whose blocks say where supervoxels begin and end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import CorruptFileError, VolumeUnavailableError
from shared.geometry.file_grid import FileGrid, file_name
from shared.geometry.grid import Box, as_triple
from shared.types import Triple

if TYPE_CHECKING:
    from shared.features.runs import LabelRuns

LARGEST_BLOCK_VOXELS = 2**20
DOWNLOADS = 20
"""So many files of a chunk are fetched at a time, as CloudVolume does; local ones are read one after the other."""


@dataclass(frozen=True, eq=False)
class SegmentationFiles:
    """The files of one scale of a volume that are encoded as compressed_segmentation and not sharded.

    Attributes:
      files: a CloudFiles of the volume.
      key: folder of the scale.
      grid: which file is where.
      block: extent of a block, in voxels.
      label_bytes: of a label, 4 or 8.
    """

    files: Any
    key: str
    grid: FileGrid
    block: Triple
    label_bytes: int

    @classmethod
    def of(cls, volume: Any, mip: int) -> SegmentationFiles | None:
        """The files of a scale of a CloudVolume; None if they are of another kind."""
        from cloudfiles import CloudFiles
        from cloudvolume.frontends.graphene import CloudVolumeGraphene

        meta = volume.meta
        scale, dtype = meta.scale(mip), np.dtype(volume.dtype)
        if meta.encoding(mip) != "compressed_segmentation" or scale.get("sharding"):
            return None
        if dtype not in (np.uint32, np.uint64) or isinstance(volume, CloudVolumeGraphene):
            return None
        if meta.rois is not None:  # an extension of CloudVolume's: outside of them it reads no files
            return None
        block = as_triple(meta.compressed_segmentation_block_size(mip) or (8, 8, 8))
        if min(block) < 1 or math.prod(block) > LARGEST_BLOCK_VOXELS:
            return None
        bounds = meta.bounds(mip)
        grid = FileGrid(Box(as_triple(bounds.minpt), as_triple(bounds.maxpt)), as_triple(meta.chunk_size(mip)))
        files = CloudFiles(meta.cloudpath, secrets=volume.config.secrets)
        return cls(files, meta.key(mip), grid, block, dtype.itemsize)

    def read_runs(self, box: Box) -> LabelRuns | None:
        """Runs of a box; None if they are not to be had along x.

        Raises:
          CorruptFileError: if a file is damaged.
          VolumeUnavailableError: if a file cannot be read just now.
        """
        from shared.features.api import LONGEST_AXIS_VOXELS
        from shared.features.runs import run_axes

        if run_axes(box.shape) != (0, 1, 2) or box.shape[0] > LONGEST_AXIS_VOXELS:
            return None
        from shared.features.blocks import BlockRuns, DamagedFileError

        x_spans, y_spans, z_spans = (self.grid.spans(box, axis) for axis in range(3))
        rows = list(product(z_spans, y_spans))
        held = [[self.grid.file(box, (x, y, z)) for x in x_spans] for z, y in rows]
        names = [[file_name(file) if file else None for file in row] for row in held]
        found = BlockRuns(box.shape, self.block, self.label_bytes)
        with self._fetched([name for row in names for name in row]) as contents:
            for (z, y), row in zip(rows, names, strict=True):
                try:
                    found.add([next(contents) for _ in row], x_spans, y, z)
                except DamagedFileError as error:
                    raise self._corrupt(row[error.position], error) from error
        return found.runs()

    @contextmanager
    def _fetched(self, names: list[str | None]) -> Iterator[Iterator[bytes]]:
        """Contents of files, unpacked one at a time; empty where there is no name or no file."""
        if self.files.protocol in ("file", "mem"):
            yield (self._unpacked(name, self._fetch(name)) for name in names)
            return
        pool = ThreadPoolExecutor(DOWNLOADS)
        try:
            packed = pool.map(self._fetch, names)
            yield (self._unpacked(name, file) for name, file in zip(names, packed, strict=True))
        finally:
            pool.shutdown(cancel_futures=True)

    def _fetch(self, name: str | None) -> dict[str, Any] | None:
        """What CloudFiles says of a file; None if there is none."""
        if name is None:
            return None
        try:
            # One at a time, since CloudFiles' own threads are waited for with pauses of 0.1 s.
            (file,) = self.files.get([f"{self.key}/{name}"], raw=True)
        except MemoryError:
            raise
        except Exception as error:
            # Whatever the storage's client raises, and there are many clients.
            message = f"the volume's file {self.key}/{name} cannot be read just now ({type(error).__name__})"
            raise VolumeUnavailableError(message) from error
        return None if file["content"] is None else file

    def _unpacked(self, name: str | None, file: dict[str, Any] | None) -> bytes:
        if file is None:
            return b""
        from cloudfiles import compression

        unpack: Callable[[bytes, str | None], bytes] = compression.decompress
        try:
            return unpack(file["content"], file["compress"])
        except MemoryError:
            raise
        except Exception as error:
            raise self._corrupt(name, error) from error

    def _corrupt(self, name: str | None, error: Exception) -> CorruptFileError:
        return CorruptFileError(f"the volume's file {self.key}/{name} is damaged ({type(error).__name__})")
