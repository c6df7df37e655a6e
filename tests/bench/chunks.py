"""Chunks to measure the feature engine on: blocks of real tissue where present, else made ones, and worst cases."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.uint32]
TISSUE_NM = (16, 16, 40)
NODE_BITS = np.uint64(32)  # a supervoxel's node stands above them
SUPERVOXEL_VOXELS = 40
"""Nodes are cut into supervoxels by a grid of so many voxels: about as many as the tissue has."""


@dataclass(frozen=True, eq=False)
class Case:
    """A named chunk.

    Attributes:
      name: what it is.
      make: its labels (in Fortran order).
      resolution_nm: size of a voxel.
      goals: of the engine's time with 1, 2, ... threads, as shares of the wheel's transform.
    """

    name: str
    make: Callable[[], Labels]
    resolution_nm: tuple[float, float, float]
    goals: tuple[float, ...] = ()


def tissue(data: Path, size: int = 512) -> Labels:
    """512^3 labels of real tissue, or, without the data, cells of random centres that fill as large a cube."""
    packed = data / "segmentation_512.npy.ckl.gz"
    if packed.is_file():
        import crackle

        return np.asarray(crackle.decompress(gzip.decompress(packed.read_bytes())), np.uint32, order="F")
    return _cells(size)


def _cells(size: int) -> Labels:
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(0)
    tree = cKDTree(rng.random((2500, 3)) * size)
    labels = np.empty((size, size, size), np.uint32, order="F")
    x, y = np.meshgrid(np.arange(size), np.arange(size), indexing="ij")
    for z in range(size):
        places = np.stack([x, y, np.full_like(x, z)], axis=-1)
        distances, nearest = tree.query(places.reshape(-1, 3), k=2)
        inside = distances[:, 1] - distances[:, 0] > 1
        labels[:, :, z] = np.where(inside, nearest[:, 0] + 1, 0).reshape(size, size)
    return labels


def split_by_grid(labels: Labels, size: int) -> Labels:
    """The labels cut apart by a grid of cubes, numbered from 1."""
    cells = np.zeros(labels.shape, np.int64)
    for axis, length in enumerate(labels.shape):
        places = np.arange(length).reshape([-1 if other == axis else 1 for other in range(3)])
        cells = cells * (length // size + 1) + places // size
    both = np.where(labels == 0, 0, labels.astype(np.int64) * (cells.max() + 1) + cells + 1)
    return np.asfortranarray(np.unique(both, return_inverse=True)[1].reshape(labels.shape).astype(np.uint32))


def cut_into_supervoxels(labels: Labels) -> npt.NDArray[np.uint64]:
    """The labels cut apart by a grid, with their own above `NODE_BITS`: in Fortran order."""
    x, y, z = (indices // SUPERVOXEL_VOXELS for indices in np.indices(labels.shape, sparse=True))
    cells = (1 + x + 100 * y + 10_000 * z).astype(np.uint64)
    return np.asfortranarray(np.where(labels == 0, np.uint64(0), labels.astype(np.uint64) << NODE_BITS | cells))


def tissue_cases(data: Path) -> Iterator[Case]:
    """Blocks of tissue in several sizes, and with many labels."""
    whole = tissue(data)
    block = np.asfortranarray(whole[:256, :256, :512])
    yield Case("tissue 256x256x512 at 16,16,40", lambda: block, TISSUE_NM, (0.20, 0.12))
    yield Case("tissue 256x256x512 at 8,8,33", lambda: block, (8, 8, 33), (0.20, 0.12))
    yield Case("the same in C order", lambda: np.ascontiguousarray(block), TISSUE_NM)
    yield Case("split by a 64^3 grid", lambda: split_by_grid(block, 64), TISSUE_NM)
    yield Case("split by a 32^3 grid", lambda: split_by_grid(block, 32), TISSUE_NM)
    yield Case("tissue 512x512x128", lambda: np.asfortranarray(whole[:, :, :128]), TISSUE_NM)
    yield Case("tissue 128x128x64", lambda: np.asfortranarray(block[:128, 128:, 200:264]), TISSUE_NM)
    yield Case("tissue 64x64x64", lambda: np.asfortranarray(block[128:192, 128:192, 200:264]), TISSUE_NM)
    yield Case("fractional 7.5,7.5,33.3", lambda: block, (7.5, 7.5, 33.3), (0.40,))


def _filled(shape: tuple[int, ...], change: Callable[[Any], None]) -> Labels:
    labels = np.ones(shape, np.uint32, order="F")
    change(labels)
    return labels


def _noise(shape: tuple[int, ...], labels: int) -> Labels:
    return np.asfortranarray(np.random.default_rng(0).integers(0, labels, shape, dtype=np.uint32))


def _hole(labels: Labels) -> None:
    labels[100, 100, 100] = 0


def _halves(labels: Labels) -> None:
    labels[:, labels.shape[1] // 2 :] = 2


def _ball(labels: Labels) -> None:
    x, y, z = np.indices(labels.shape, sparse=True)
    labels[(x - 128) ** 2 + (y - 128) ** 2 + (z - 128) ** 2 < 120**2] = 2


def worst_cases() -> Iterator[Case]:
    """What tissue is not: few huge objects, noise, nothing, one voxel thick."""
    cube = (256, 256, 256)
    yield Case("one object", lambda: np.ones(cube, np.uint32, order="F"), TISSUE_NM)
    yield Case("one object with a hole", lambda: _filled(cube, _hole), (16, 16, 16))
    yield Case("two objects", lambda: _filled(cube, _halves), TISSUE_NM)
    yield Case("a ball in a cube", lambda: _filled(cube, _ball), (16, 16, 16))
    yield Case("noise of 2 labels", lambda: _noise(cube, 2), TISSUE_NM)
    yield Case("noise of 20,000 labels", lambda: _noise(cube, 20_000), TISSUE_NM)
    numbers = np.arange(1, 256**3 + 1, dtype=np.uint32)
    yield Case("every voxel another label", lambda: numbers.reshape(cube, order="F"), TISSUE_NM)
    yield Case("empty", lambda: np.zeros(cube, np.uint32, order="F"), TISSUE_NM)
    yield Case("one voxel thick in x", lambda: _noise((1, 128, 256), 200).repeat(16, 1).repeat(8, 2), TISSUE_NM)
    yield Case("one voxel thick in z", lambda: _noise((128, 256, 1), 200).repeat(16, 0).repeat(8, 1), TISSUE_NM)
    yield Case("one voxel thick noise", lambda: _noise((2048, 1, 2048), 20_000), TISSUE_NM)
