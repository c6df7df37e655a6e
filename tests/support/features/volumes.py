"""Small made volumes of every kind that has ever been a problem, from a seed or through hypothesis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

Labels = npt.NDArray[Any]

RESOLUTIONS_NM: list[tuple[float, float, float]] = [
    (16, 16, 40),
    (8, 8, 33),
    (4, 4, 40),
    (1, 1, 1),
    (100, 100, 100),  # PCA from 10 voxels on
    (300, 250, 400),
    (7.5, 3.25, 40.1),
    (0.5, 0.5, 0.5),
    (4.3, 4.3, 45),
    (3.58, 3.58, 40),
    (333, 2999, 3001),  # squares beyond what float32 resolves
    (9000, 9000, 17000),  # beyond 16 bits
]
DTYPES = [np.uint8, np.uint16, np.uint32, np.uint64]


def _noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Labels:
    return rng.integers(0, rng.integers(2, 6), shape)


def _full_or_empty(rng: np.random.Generator, shape: tuple[int, ...]) -> Labels:
    return np.full(shape, rng.integers(0, 3))


def _one_voxel(rng: np.random.Generator, shape: tuple[int, ...]) -> Labels:
    labels = np.full(shape, rng.integers(0, 2))
    labels[tuple(rng.integers(0, shape))] = rng.integers(0, 4)
    return labels


def _every_voxel_another(rng: np.random.Generator, shape: tuple[int, ...]) -> Labels:
    return rng.permutation(int(np.prod(shape))).reshape(shape)


def _cells(rng: np.random.Generator, shape: tuple[int, ...]) -> Labels:
    centres = rng.random((rng.integers(1, 9), 3)) * shape
    places = np.moveaxis(np.indices(shape), 0, -1)[..., None, :]
    return ((places - centres) ** 2).sum(axis=-1).argmin(axis=-1)


def _boxes(rng: np.random.Generator, shape: tuple[int, ...]) -> Labels:
    labels = np.zeros(shape, np.int64)
    for _ in range(rng.integers(1, 6)):
        low = rng.integers(0, shape)
        high = rng.integers(low, shape) + 1
        labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = rng.integers(0, 4)
    return labels


def _sheet(rng: np.random.Generator, shape: tuple[int, ...]) -> Labels:
    axis = int(rng.integers(3))
    labels = np.full(shape, 2)
    np.moveaxis(labels, axis, 0)[rng.integers(0, shape[axis])] = rng.integers(0, 2)
    return labels


def _ball(rng: np.random.Generator, shape: tuple[int, ...]) -> Labels:
    places = np.indices(shape)
    centre = rng.random(3) * shape
    squares = sum((places[i] - centre[i]) ** 2 for i in range(3))
    return (squares < (rng.random() * max(shape)) ** 2) + (places[0] > centre[0]) * 2


KINDS: list[Callable[[np.random.Generator, tuple[int, ...]], Labels]] = [
    _noise,
    _full_or_empty,
    _one_voxel,
    _every_voxel_another,
    _cells,
    _boxes,
    _sheet,
    _ball,
]


def _in_c_order(labels: Labels) -> Labels:
    return np.ascontiguousarray(labels)


def _in_f_order(labels: Labels) -> Labels:
    return np.asfortranarray(labels)


def _with_y_contiguous(labels: Labels) -> Labels:
    return np.ascontiguousarray(labels.transpose(0, 2, 1)).transpose(0, 2, 1)


def _with_gaps(labels: Labels) -> Labels:
    larger = np.full(tuple(2 * size for size in labels.shape), 7, labels.dtype, order="F")
    larger[::2, 1::2, ::2] = labels
    return larger[::2, 1::2, ::2]


def _backwards(labels: Labels) -> Labels:
    return np.asfortranarray(labels[::-1, :, ::-1])[::-1, :, ::-1]


def _read_only(labels: Labels) -> Labels:
    labels = np.asfortranarray(labels)
    labels.flags.writeable = False
    return labels


def _byte_swapped(labels: Labels) -> Labels:
    return np.asfortranarray(labels.astype(labels.dtype.newbyteorder()))


LAYOUTS = [_in_f_order, _in_c_order, _with_y_contiguous, _with_gaps, _backwards, _read_only, _byte_swapped]


def typed(rng: np.random.Generator, labels: Labels) -> Labels:
    """Labels in one of the types that hold them; 64-bit ones become large and sparse."""
    fitting = [dtype for dtype in DTYPES if labels.max() <= np.iinfo(dtype).max]
    dtype = fitting[rng.integers(len(fitting))]
    if dtype is np.uint64:
        spread = labels.astype(np.uint64) * np.uint64(0x1234567891011) + np.uint64(2**63)
        return np.where(labels > 0, spread, np.uint64(0))
    return labels.astype(dtype)


def volume(seed: int, index: int = 0) -> tuple[Labels, tuple[float, float, float]]:
    """Labels and a resolution, the same for the same numbers."""
    rng = np.random.default_rng([seed, index])
    longest = (4, 14, 40)[rng.integers(3)]
    shape = tuple(int(size) for size in rng.integers(1, longest, 3))
    labels = typed(rng, KINDS[rng.integers(len(KINDS))](rng, shape))
    return LAYOUTS[rng.integers(len(LAYOUTS))](labels), RESOLUTIONS_NM[rng.integers(len(RESOLUTIONS_NM))]


@st.composite
def volumes(draw: st.DrawFn, longest: int = 20) -> Labels:
    """Labels of any kind, dtype and memory order."""
    shape = draw(st.tuples(*[st.integers(1, longest)] * 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labels = typed(rng, draw(st.sampled_from(KINDS))(rng, shape))
    return draw(st.sampled_from(LAYOUTS))(labels)


resolutions_nm = st.sampled_from(RESOLUTIONS_NM) | st.tuples(*[st.integers(1, 200)] * 3)
