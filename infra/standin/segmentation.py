"""Reading a segmentation of one's own as the pieces that a chunked graph is built over."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from infra.standin.world.parameters import WorldParameters
from infra.standin.world.tubes import PieceVolume
from shared.errors import ConfigurationError
from shared.geometry.grid import Box, as_triple
from shared.types import Triple

if TYPE_CHECKING:
    from cloudvolume import CloudVolume

MOST_VOXELS = 2**30
"""A graph is built in memory, which takes some 30 bytes for a voxel."""


@dataclass(frozen=True)
class Segmentation:
    """A box of a precomputed volume.

    Attributes:
      address: of the volume, for CloudVolume.
      mip: the scale.
      box: the voxels; None for all.
    """

    address: str
    mip: int = 0
    box: Box | None = None

    def read(self, chunk_size_voxels: Triple) -> tuple[PieceVolume, WorldParameters]:
        """The segments, numbered from 1, and the graph's parameters; shows a progress bar.

        Raises:
          ConfigurationError: if there is no such volume, it is too large or holds no segment.
        """
        volume = self._open()
        bounds = volume.bounds
        whole = Box(as_triple(map(int, bounds.minpt)), as_triple(map(int, bounds.maxpt)))
        box = whole if self.box is None else self.box.intersection(whole)
        if box.volume == 0:
            raise ConfigurationError(
                f"the bounding box lies outside the volume, which is {whole.start} to {whole.stop}"
            )
        if box.volume > MOST_VOXELS:
            raise ConfigurationError(
                f"{box.volume:,} voxels are too many for a local graph, which has at most {MOST_VOXELS:,}: "
                "give a --bounding-box or a coarser --mip"
            )
        resolution = tuple(int(size) if float(size).is_integer() else float(size) for size in volume.resolution)
        x_nm, y_nm, z_nm = resolution
        parameters = WorldParameters(box.shape, chunk_size_voxels, box.start, (x_nm, y_nm, z_nm))
        pieces = _numbered(volume, box, chunk_size_voxels)
        if not pieces.any():
            raise ConfigurationError(f"{self.address} holds no segment there")
        return pieces, parameters

    def _open(self) -> CloudVolume:
        from cloudvolume import CloudVolume
        from cloudvolume.exceptions import InfoError

        try:
            return CloudVolume(self.address, mip=self.mip, fill_missing=True, progress=False)
        except (InfoError, LookupError, OSError, ValueError) as error:
            raise ConfigurationError(f"{self.address} cannot be opened: {error}") from error


def _numbered(volume: CloudVolume, box: Box, step: Triple) -> PieceVolume:
    """The segments of a box, numbered from 1 in the order in which they are met; 0 is background."""
    pieces = np.zeros(box.shape, dtype=np.uint32)
    numbers: dict[int, int] = {0: 0}
    axes = [range(0, size, stride) for size, stride in zip(box.shape, step, strict=True)]
    for low in tqdm(product(*axes), "segments", total=prod(map(len, axes)), unit=" chunks"):
        here = tuple(slice(a, min(a + s, size)) for a, s, size in zip(low, step, box.shape, strict=True))
        there = tuple(slice(h.start + a, h.stop + a) for h, a in zip(here, box.start, strict=True))
        labels, inverse = np.unique(np.asarray(volume[there])[..., 0], return_inverse=True)
        numbered = np.array([numbers.setdefault(label, len(numbers)) for label in labels.tolist()], dtype=np.uint32)
        pieces[here] = numbered[inverse].reshape([h.stop - h.start for h in here])
    return pieces
