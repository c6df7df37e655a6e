"""From a chunk's files to its rows, against the distance transform alone: `python -m tests.bench.bench_files_to_rows`.

Gzipped files of 64^3 supervoxels on a local disk, rows in SQLite. A process of its own first goes the whole way once,
for the peak of its memory, then the way's steps and the wheel's transform take turns, of which the fastest count.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from infra.measurements.goals import at_most
from infra.measurements.record import measuring, record_option
from tests.bench.bench_features import fastest, memory_mb
from tests.bench.chunks import NODE_BITS, TISSUE_NM, cut_into_supervoxels, tissue
from tests.bench.options import data_option

ROOT = Path(__file__).resolve().parents[2]
FILE_VOXELS = 64
GOAL_SHARE = 0.30
GOAL_PEAK_MB = 450.0
TABLE = "files_to_rows"


def write_files(labels: npt.NDArray[np.uint32], folder: Path) -> None:
    """Writes the supervoxels of some nodes, and the nodes beside them."""
    from cloudvolume import CloudVolume

    CloudVolume.from_numpy(
        cut_into_supervoxels(labels),
        vol_path=f"file://{folder}/volume",
        resolution=TISSUE_NM,
        chunk_size=(FILE_VOXELS,) * 3,
        layer_type="segmentation",
        encoding="compressed_segmentation",
        compress="gzip",
    )
    np.save(folder / "nodes.npy", labels)


class Way:
    """The way of the chunk in a folder, step by step."""

    def __init__(self, folder: Path) -> None:
        from shared.geometry.grid import GraphGeometry
        from shared.store.open import open_store
        from shared.store.protocol import TableMeta
        from shared.volume.cloudvolume import CloudVolumeReader

        info = json.loads((folder / "volume" / "info").read_text())
        graph = {"chunk_size": info["scales"][0]["size"], "spatial_bit_masks": {"2": 10}}
        self.geometry = GraphGeometry.from_info({**info, "data_dir": f"file://{folder}/volume", "graph": graph})
        self._reader = CloudVolumeReader(self.geometry)
        self._store = open_store(f"sqlite://{folder}/rows.db")
        self._store.create_table(TABLE, TableMeta(TABLE, f"graphene://{TABLE}", datetime(2026, 6, 1, tzinfo=UTC)))

    def read(self) -> Any:
        """The chunk, out of its files."""
        from shared.compute.chunk import LoadedChunk

        return LoadedChunk.from_runs((0, 0, 0), self._reader.read_runs((0, 0, 0)))

    def read_voxels(self) -> Any:
        """The chunk, out of its voxels, as it is read where files tell no runs."""
        from shared.compute.chunk import LoadedChunk
        from shared.features.api import supervoxel_runs

        return LoadedChunk.from_runs((0, 0, 0), supervoxel_runs(self._reader.read_chunk((0, 0, 0))))

    def compute(self, loaded: Any) -> Any:
        """Features of its nodes."""
        from shared.features.api import supervoxel_features

        nodes = loaded.supervoxels >> NODE_BITS
        return supervoxel_features(loaded.runs, loaded.supervoxels, nodes, self.geometry.resolution_nm)

    def write(self, features: Any) -> None:
        """Their rows, durable."""
        self._store.write_features(TABLE, features)

    def go(self) -> None:
        """All of it."""
        self.write(self.compute(self.read()))


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """Seconds of each step, and the most memory above that of the interpreter, with all that the way imports."""
    interpreter_mb = memory_mb("VmRSS")
    way = Way(folder)
    way.go()
    peak_above_mb = memory_mb("VmHWM") - interpreter_mb
    import edt

    from shared.features.api import chunk_features

    labels = np.load(folder / "nodes.npy")
    loaded = way.read()
    features = way.compute(loaded)
    expected = chunk_features(labels, TISSUE_NM)
    assert all(np.array_equal(features.columns[name], expected.columns[name]) for name in expected.columns)
    tasks: dict[str, Callable[[], Any]] = {
        "wheel": lambda: edt.edt(labels, anisotropy=TISSUE_NM, black_border=False, parallel=1),
        "files to rows": way.go,
        "files to runs": way.read,
        "files to runs, by voxels": way.read_voxels,
        "runs to features": lambda: way.compute(loaded),
        "features to rows": lambda: way.write(features),
    }
    return {"times": fastest(tasks, rounds), "peak_mb": peak_above_mb, "rows": len(features)}


def main() -> int:
    """Prints the table and tells the goals, or measures for them."""
    if sys.argv[1:2] == ["measure"]:
        print(json.dumps(measure(Path(sys.argv[2]), int(sys.argv[3]))))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    parser.add_argument("--rounds", type=int, default=5)
    record_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_files(np.asfortranarray(tissue(options.data)[:256, :256, :512]), Path(folder))
        command = [sys.executable, "-m", "tests.bench.bench_files_to_rows", "measure", folder, str(options.rounds)]
        measured = json.loads(subprocess.check_output(command, cwd=ROOT, text=True).splitlines()[-1])
    times = measured["times"]
    with measuring("files_to_rows", record=options.record) as table:
        for step, time_s in times.items():
            table.add(step=step, seconds=time_s, share=time_s / times["wheel"])
    at_most("files to rows, of the transform", times["files to rows"] / times["wheel"], GOAL_SHARE)
    at_most("files to rows, peak memory above the interpreter", measured["peak_mb"], GOAL_PEAK_MB, "MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
