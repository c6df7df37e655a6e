"""The engine's public functions. Compiled code is loaded at the first call, not at import."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from shared.features.result import Features

if TYPE_CHECKING:
    from shared.features.runs import LabelRuns

LONGEST_AXIS_VOXELS = 2**16 - 1
CROWDED_LABELS = 2**16  # from here on sums per label leave the caches
LARGEST_VOXEL_NM = 18_000.0  # so that no distance in a chunk leaves int32


def chunk_features(
    labels: npt.NDArray[Any],
    resolution_nm: Sequence[float] | npt.NDArray[Any],
    node_ids: Sequence[int] | npt.NDArray[np.uint64] | None = None,
    threads: int = 1,
) -> Features:
    """Attributes of every label of a chunk, or of some.

    The result does not depend on the array's memory order, the labels' dtype, the other labels asked for, or threads.

    Args:
      labels: unsigned integers [x, y, z] in any memory order, 0 = background.
      resolution_nm: voxel size (x, y, z).
      node_ids: labels wanted; all of them if None.
      threads: how many threads to use; one is the way for many chunks at a time.

    Returns:
      A row per label with at least one voxel, by ascending label. Labels of `node_ids` without voxels have no row.

    Raises:
      ValueError: if the labels are not a 3-D array of unsigned integers with axes up to 65,535 voxels, the resolution
        is not three positive numbers, or threads is less than 1.
    """
    resolution = _resolution(resolution_nm)
    wanted = None
    if node_ids is not None:
        wanted = np.unique(np.asarray(node_ids, np.uint64))
        wanted = wanted[wanted != 0]
    from shared.features.noise import noise_features
    from shared.features.runs import TooManyLabelsError

    try:
        runs = _find_runs(labels, wanted, threads, CROWDED_LABELS)
    except TooManyLabelsError:
        runs = None
    return noise_features(labels, resolution, threads) if runs is None else _features(runs, resolution, threads)


def supervoxel_features(
    supervoxels: npt.NDArray[Any] | LabelRuns,
    supervoxel_ids: npt.NDArray[np.uint64],
    node_ids: npt.NDArray[np.uint64],
    resolution_nm: Sequence[float] | npt.NDArray[Any],
    threads: int = 1,
) -> Features:
    """Attributes of the nodes that the supervoxels of a chunk belong to.

    Args:
      supervoxels: unsigned integers [x, y, z], or what `supervoxel_runs` made of them, which saves a pass.
      supervoxel_ids: uint64[n], ascending, without repetition.
      node_ids: uint64[n], the node of each; supervoxels that are not listed, or belong to 0, are background.
      resolution_nm: voxel size (x, y, z).
      threads: how many threads to use.

    Returns:
      A row per node with at least one voxel, by ascending id.

    Raises:
      ValueError: as `chunk_features`, or if the two arrays of ids do not fit together.
    """
    resolution = _resolution(resolution_nm)
    runs = supervoxel_runs(supervoxels, threads) if isinstance(supervoxels, np.ndarray) else supervoxels
    if supervoxel_ids.shape != node_ids.shape or np.any(supervoxel_ids[1:] <= supervoxel_ids[:-1]):
        raise ValueError("supervoxel_ids must ascend strictly, and node_ids be as many")
    return _features(runs.mapped(supervoxel_ids, node_ids), resolution, threads)


def supervoxel_runs(supervoxels: npt.NDArray[Any], threads: int = 1) -> LabelRuns:
    """One pass over a chunk of supervoxels: its `labels()` are the ids to look up, then `supervoxel_features` takes it.

    Args:
      supervoxels: unsigned integers [x, y, z] in any memory order.
      threads: how many threads to use.

    Raises:
      ValueError: as `chunk_features`.
    """
    return _find_runs(supervoxels, None, threads)


def _find_runs(
    labels: npt.NDArray[Any], wanted: npt.NDArray[np.uint64] | None, threads: int, most_labels: int | None = None
) -> LabelRuns:
    if threads < 1:
        raise ValueError(f"threads must be at least 1, not {threads}")
    if labels.ndim != 3 or max(labels.shape) > LONGEST_AXIS_VOXELS:
        raise ValueError(f"labels must be [x, y, z] with axes up to {LONGEST_AXIS_VOXELS} voxels, not {labels.shape}")
    if labels.dtype == np.bool_:
        labels = labels.view(np.uint8)
    if labels.dtype.kind != "u":
        raise ValueError(f"labels must be unsigned integers, not {labels.dtype}")
    from shared.features.runs import find_runs

    return find_runs(labels, wanted, threads, most_labels)


def _features(runs: LabelRuns, resolution_nm: npt.NDArray[np.float64], threads: int) -> Features:
    from shared.features.engine import runs_features

    return runs_features(runs, resolution_nm, threads)


def _resolution(resolution_nm: Sequence[float] | npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    resolution = np.asarray(resolution_nm, np.float64)
    if resolution.shape != (3,) or not np.all((resolution > 0) & (resolution <= LARGEST_VOXEL_NM)):
        raise ValueError(
            f"resolution_nm must be three positive numbers up to {LARGEST_VOXEL_NM}, not {resolution_nm!r}"
        )
    return resolution
