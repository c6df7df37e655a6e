"""A made world of 20,000 small chunks, ingested whole: `python -m tests.bench.bench_ingest_scale [--workers 1,2]`.

First with one worker and with two, in turns, for the scaling; then again while serving processes are killed at random,
after which all rows must be those of the undisturbed runs. With `--emulators` all of it on Google's emulators.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from infra.local.backing import Backing, embedded
from infra.local.emulator_backing import EmulatorBacking
from infra.standin.world.build import build, is_built
from infra.standin.world.parameters import WorldParameters
from tests.support.stack.whole_ingest import ingest

SIZE, CHUNK = (480, 480, 384), (16, 16, 16)


def main() -> int:
    """Prints seconds, scaling and whether the rows agree; the exit status says whether they do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, help="folder of the world, made if it is not there")
    parser.add_argument("--size", default=",".join(map(str, SIZE)), help="of the world, in voxels")
    parser.add_argument("--workers", default="1,2", help="numbers of workers to compare")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each; the fastest counts")
    parser.add_argument("--emulators", action="store_true", help="Google's emulators instead of SQLite files")
    parser.add_argument("--kill-every", type=float, default=1.0, help="mean seconds between kills")
    options = parser.parse_args()
    x, y, z = map(int, options.size.split(","))
    parameters = WorldParameters(size_voxels=(x, y, z), chunk_size_voxels=CHUNK)
    backing: Backing = EmulatorBacking() if options.emulators else embedded
    with tempfile.TemporaryDirectory() as folder:
        world = options.world or Path(folder) / "world"
        if not is_built(world, parameters):
            build(world, parameters)
        chunks = parameters.grid_shape[0] * parameters.grid_shape[1] * parameters.grid_shape[2]
        seconds: dict[int, float] = {}
        cells: dict[tuple[bytes, str], bytes] = {}
        for turn in range(options.repeats):
            for workers in map(int, options.workers.split(",")):
                done = ingest(world, Path(folder) / f"{workers}-{turn}", workers, backing)
                seconds[workers] = min(done.seconds, seconds.get(workers, done.seconds))
                cells = done.cells
                rate = chunks / done.seconds
                print(f"{chunks} chunks, {workers} workers: {done.seconds:.1f} s, {rate:.0f} chunks/s", flush=True)
        least, most = min(seconds), max(seconds)
        if most > least:
            print(f"{least} -> {most} workers: {seconds[least] / seconds[most]:.2f} times as fast", flush=True)
        killed = ingest(world, Path(folder) / "killed", most, backing, options.kill_every)
        agree = killed.cells == cells
        print(
            f"{most} workers, {killed.kills} kills: {killed.seconds:.1f} s, "
            f"{len(cells)} cells {'agree' if agree else 'DIFFER'}"
        )
    return 0 if agree else 1


if __name__ == "__main__":
    sys.exit(main())
