"""How long new instances take: `python -m tests.bench.bench_cold_start [--rounds N]`.

Each function's package, in its own virtual environment and its own process: importing `main`, and from starting
functions-framework to the first answer. For the compute function also its first chunk, of 64 x 64 x 64 voxels, with the
kernels that its package brings.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from infra.measurements.record import measuring, record_option
from infra.packaging.lock import FUNCTIONS
from infra.packaging.package import package
from tests.support.processes.packaged import PackagedFunction, release, unpack

IMPORT = "import time; start = time.perf_counter(); import main; print(time.perf_counter() - start)"
FIRST_CHUNK = """
import time
import numpy as np
start = time.perf_counter()
from shared.features.api import chunk_features
labels = np.asfortranarray(np.arange(64**3, dtype=np.uint32).reshape(64, 64, 64) // 4096)
chunk_features(labels, (16, 16, 40))
print(time.perf_counter() - start)
"""


def main() -> None:
    """Prints a table of medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    record_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place).resolve()
        package(folder / "dist")
        environment = environment_of(folder)
        with measuring("cold_start", record=options.record) as table:
            for name in FUNCTIONS:
                archive = folder / "dist" / f"{name}.zip"
                function = unpack(archive, folder / name)

                def median_s(program: str, function: PackagedFunction = function) -> float:
                    times = (float(function.run(program, environment, folder)) for _ in range(options.rounds))
                    return statistics.median(times)

                answers = (first_answer_s(function, environment, folder) for _ in range(options.rounds))
                table.add(
                    function=name,
                    package_kb=archive.stat().st_size // 1000,
                    import_s=median_s(IMPORT),
                    answer_s=statistics.median(answers),
                    chunk_s=median_s(FIRST_CHUNK) if name == "compute" else None,
                )
                release(folder / name)


def environment_of(folder: Path) -> dict[str, str]:
    """Settings that lead nowhere: nothing is asked for."""
    datasets = folder / "datasets.yaml"
    datasets.write_text("made: {cv_path: 'graphene://http://127.0.0.1:9/segmentation/table/made', l2cache_id: made}\n")
    return {
        "HOME": str(folder),
        "AUTH_DISABLED": "true",
        "L2CACHE_DATASETS": str(datasets),
        "L2CACHE_STORE": "bigtable://project/instance",
        "L2CACHE_BUS": "pubsub://project/topic",
        "L2CACHE_QUEUE": "cloudtasks://project/location/queue?compute=http://127.0.0.1:9&ingest=http://127.0.0.1:9",
    }


def first_answer_s(function: PackagedFunction, environment: dict[str, str], folder: Path) -> float:
    """Seconds from starting a process to its first answer."""
    start_s = time.perf_counter()
    with function.serving(environment, folder):
        return time.perf_counter() - start_s


if __name__ == "__main__":
    main()
