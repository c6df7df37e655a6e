"""The rows that PCGL2Cache wrote for the real data, and what it takes for one of ours to be the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from infra.standin.graph.table import read_dump

Row = dict[str, bytes]
SAMPLE_VOXELS = 10_000


def recorded_rows(dump: Path) -> dict[int, Row]:
    """The rows of a cache table's dump, without empty cells: the newest cell of each column."""
    newest: dict[tuple[int, str], tuple[int, bytes]] = {}
    for cell in read_dump(dump)[1]:
        if cell.family == "0" and cell.key.isdecimal():
            key = int(cell.key), cell.qualifier
            newest[key] = max(newest.get(key, (0, b"")), (cell.timestamp_us, cell.value))
    rows: dict[int, Row] = {}
    for (l2_id, name), (_, value) in newest.items():
        if value:
            rows.setdefault(l2_id, {})[name] = value
    return rows


def assert_same_row(row: Row, recorded: Row, *, ties: bool = False) -> None:
    """Checks a row, without its empty cells, against PCGL2Cache's: all bytes but those of PCA.

    PCA is compared as the scatter matrix that it stands for, so that axes of near-equal variance may be any; of large
    nodes PCGL2Cache made it from a random sample. With `ties` the representative voxel may be another one, since
    PCGL2Cache chooses among equally good ones by chance.
    """
    assert row.keys() == recorded.keys()
    for name in row.keys() - {"pca", "pca_val"} - ({"rep_coord_nm"} if ties else set()):
        assert row[name] == recorded[name], name
    if "pca" not in row:
        return
    sampled = int.from_bytes(row["size_nm3"][:4], "little") > SAMPLE_VOXELS
    scatter, recorded_scatter = _scatter(row), _scatter(recorded)
    difference = np.linalg.norm(scatter - recorded_scatter) / np.linalg.norm(recorded_scatter)
    assert difference < (0.08 if sampled else 4e-3)


def _scatter(row: Row) -> npt.NDArray[np.float64]:
    values = np.frombuffer(row["pca_val"], dtype="<f4").astype(np.float64)
    axes = np.frombuffer(row["pca"], dtype="<f2").reshape(3, 3).astype(np.float64)
    return axes.T @ np.diag(values**2) @ axes
