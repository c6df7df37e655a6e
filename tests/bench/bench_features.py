"""The feature engine against the distance transform it contains: `python -m tests.bench.bench_features`.

Every chunk is measured in a process of its own: first the peak memory of holding it and computing its features, then
the wheel's transform and the engine in turns, of which the fastest count. Some of its nodes are held to the oracle.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from infra.measurements.goals import at_most
from infra.measurements.record import measuring, record_option
from tests.bench.chunks import NODE_BITS, Case, cut_into_supervoxels, tissue_cases, worst_cases
from tests.bench.options import data_option

ROOT = Path(__file__).resolve().parents[2]
CHECKED_NODES = 8
GOAL_PEAK_MB = 450.0
CHECKED_VOXELS = 2_000_000


def seconds(task: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start_s = time.perf_counter()
    task()
    return time.perf_counter() - start_s


def fastest(tasks: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Each task's fastest of some rounds, in which they take turns so that all meet the same disturbances."""
    times = [{name: seconds(task) for name, task in tasks.items()} for _ in range(rounds)]
    return {name: min(turn[name] for turn in times) for name in tasks}


def memory_mb(line: str) -> float:
    """What this process holds by a line of its status: `VmRSS` now, `VmHWM` at most so far.

    `getrusage` would count what the process that it came from has held.
    """
    status = Path("/proc/self/status").read_text()
    return int(re.findall(rf"{line}:\s+(\d+) kB", status)[0]) * 1.024e-3


def measure_chunk(path: Path, resolution_nm: tuple[float, ...]) -> dict[str, Any]:
    """All columns of a chunk's row; the first thing that the process does."""
    from shared.features.api import chunk_features

    labels = np.load(path)
    chunk_features(labels, resolution_nm)
    peak = memory_mb("VmHWM")
    import edt

    rounds = 3 if labels.size > 2**20 else 20
    tasks = {
        "wheel": lambda: edt.edt(labels, anisotropy=resolution_nm, black_border=False, parallel=1),
        "one": lambda: chunk_features(labels, resolution_nm),
        "two": lambda: chunk_features(labels, resolution_nm, threads=2),
    }
    times = fastest(tasks, rounds)
    features = chunk_features(labels, resolution_nm)
    return times | {"peak_mb": peak, "nodes": len(features), "differs": _differs(features, labels, resolution_nm)}


def _differs(features: Any, labels: Any, resolution_nm: tuple[float, ...]) -> str:
    from tests.support.features.agreement import disagreements

    by_size = features.node_ids[np.argsort(features.size_nm3)][np.sort(features.size_nm3) <= CHECKED_VOXELS]
    some = by_size[np.linspace(0, len(by_size) - 1, min(CHECKED_NODES, len(by_size))).astype(int)]
    found = disagreements(features.select(some), labels, resolution_nm, some.tolist())
    return found[0] if found else ""


def measure_more(path: Path, resolution_nm: tuple[float, ...]) -> dict[str, Any]:
    """Some nodes of a chunk, and the way from supervoxels to features, in seconds."""
    import edt

    from shared.features.api import chunk_features, supervoxel_features

    labels = np.load(path)
    features = chunk_features(labels, resolution_nm)
    by_size = features.node_ids[np.argsort(features.size_nm3)]
    supervoxels = cut_into_supervoxels(labels)
    ids = np.unique(supervoxels)[1:]
    nodes = ids >> NODE_BITS
    wheel = {"wheel": lambda: edt.edt(labels, anisotropy=resolution_nm, black_border=False, parallel=1)}
    some = {
        "median node": by_size[[len(by_size) // 2]],
        "node of the largest 5 %": by_size[[len(by_size) * 19 // 20]],
        "ten nodes of all sizes": by_size[np.linspace(0, len(by_size) * 19 // 20, 10).astype(int)],
    }
    tasks: dict[str, Callable[[], Any]] = {
        name: lambda wanted=wanted: chunk_features(labels, resolution_nm, node_ids=wanted)
        for name, wanted in some.items()
    }
    tasks["supervoxels to features"] = lambda: supervoxel_features(supervoxels, ids, nodes, resolution_nm)
    return fastest(wheel | tasks, 3)


def measure_start() -> dict[str, float]:
    """Import, first call without a cache of compiled code, first call with it; in seconds."""
    program = """
import time
start = time.perf_counter(); import numpy; numpy_s = time.perf_counter() - start
start = time.perf_counter(); from shared.features import chunk_features; import_s = time.perf_counter() - start
labels = numpy.zeros((40, 40, 40), numpy.uint32, order="F"); labels[9:30, 9:30, 9:30] = 1
start = time.perf_counter(); chunk_features(labels, (16, 16, 40)); first_s = time.perf_counter() - start
print(import_s, first_s)
"""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"NUMBA_CACHE_DIR": cache}
        answers = [
            subprocess.check_output([sys.executable, "-c", program], cwd=ROOT, env=environment, text=True).split()
            for _ in range(2)
        ]
    (imported, cold), (_, warm) = answers
    return {"import": float(imported), "first call, compiling": float(cold), "first call, cached": float(warm)}


def in_own_process(case: Case, what: str) -> dict[str, Any]:
    """What `measure_chunk` or `measure_more` answers for a case."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chunk.npy"
        np.save(path, case.make())
        command = [sys.executable, "-m", "tests.bench.bench_features", what, str(path), *map(str, case.resolution_nm)]
        return dict(json.loads(subprocess.check_output(command, cwd=ROOT, text=True).splitlines()[-1]))


def tell_goals(case: Case, row: dict[str, Any]) -> None:
    """Tells what came of a chunk's goals, if it has some."""
    for threads, goal in enumerate(case.goals, start=1):
        taken_s = row["one" if threads == 1 else "two"]
        at_most(f"engine on {case.name}, threads: {threads}, of the transform", taken_s / row["wheel"], goal)
    if case.goals:
        at_most(f"engine on {case.name}, peak memory", row["peak_mb"], GOAL_PEAK_MB, "MB")


def report(data: Path, record: bool) -> int:
    """Prints all tables; 1 if a node is not what the oracle says, else 0."""
    with measuring("features_start", record=record) as table:
        for step, time_s in measure_start().items():
            table.add(step=step, seconds=time_s)
    first, differing = None, list[str]()
    with measuring("features", record=record) as table:
        for case in itertools.chain(tissue_cases(data), worst_cases()):
            first = first or case
            row = in_own_process(case, "chunk")
            table.add(
                chunk=case.name,
                labels=row["nodes"],
                wheel_s=row["wheel"],
                one_s=row["one"],
                share=row["one"] / row["wheel"],
                two_s=row["two"],
                peak_mb=row["peak_mb"],
            )
            tell_goals(case, row)
            differing += [f"{case.name}: {row['differs']}"] if row["differs"] else []
    assert first is not None
    times = in_own_process(first, "more")
    with measuring("features_parts", record=record) as table:
        for part, time_s in times.items():
            table.add(part=part, seconds=time_s, share=time_s / times["wheel"])
    print("\n".join(["", *differing]) if differing else f"\n{CHECKED_NODES} nodes of each are what the oracle says")
    return 1 if differing else 0


def main() -> int:
    """Prints the tables, or measure one chunk for them."""
    if sys.argv[1:2] == ["chunk"] or sys.argv[1:2] == ["more"]:
        measure = measure_chunk if sys.argv[1] == "chunk" else measure_more
        print(json.dumps(measure(Path(sys.argv[2]), tuple(float(size) for size in sys.argv[3:6]))))
        return 0
    parser = argparse.ArgumentParser(description=__doc__)
    data_option(parser)
    record_option(parser)
    options = parser.parse_args()
    return report(options.data, options.record)


if __name__ == "__main__":
    sys.exit(main())
