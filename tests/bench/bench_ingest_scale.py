"""A made world of 20,000 small chunks, ingested whole: `python -m tests.bench.bench_ingest_scale [--workers 1,2]`.

First with one worker and with two, in turns, for the scaling; then again while serving processes are killed at random,
after which all rows must be those of the undisturbed runs. All of it on SQLite files, and on Google's emulators.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from math import prod
from pathlib import Path

from infra.local.backing import Backing, embedded
from infra.local.emulator_backing import EmulatorBacking
from infra.measurements.record import Table, measuring, record_option
from infra.standin.world.build import build, is_built
from infra.standin.world.parameters import WorldParameters
from tests.support.stack.whole_ingest import ingest

STACKS: dict[str, Backing] = {"embedded": embedded, "emulators": EmulatorBacking()}
SIZE, CHUNK = (480, 480, 384), (16, 16, 16)


def main() -> int:
    """Prints seconds and whether the rows agree; the exit status says whether they do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--world", type=Path, help="folder of the world, made if it is not there")
    parser.add_argument("--size", default=",".join(map(str, SIZE)), help="of the world, in voxels")
    parser.add_argument("--workers", default="1,2", help="numbers of workers to compare")
    parser.add_argument("--repeats", type=int, default=2, help="runs of each; the fastest counts")
    parser.add_argument("--stack", choices=STACKS, help="both if it is left out")
    parser.add_argument("--kill-every", type=float, default=1.0, help="mean seconds between kills")
    parser.add_argument("--most-kills", type=int, default=1000, help="kills, after which it is calm")
    record_option(parser)
    options = parser.parse_args()
    x, y, z = map(int, options.size.split(","))
    parameters = WorldParameters(size_voxels=(x, y, z), chunk_size_voxels=CHUNK)
    with tempfile.TemporaryDirectory() as folder, measuring("ingest_scale", record=options.record) as table:
        world = options.world or Path(folder) / "world"
        if not is_built(world, parameters):
            build(world, parameters)
        agree = [
            compare(name, world, Path(folder) / name, prod(parameters.grid_shape), options, table)
            for name in ([options.stack] if options.stack else STACKS)
        ]
    return 0 if all(agree) else 1


def compare(stack: str, world: Path, folder: Path, chunks: int, options: argparse.Namespace, table: Table) -> bool:
    """Ingests with each number of workers, then among kills.

    Args:
      stack: one of `STACKS`.
      world: folder of the world.
      folder: for the stacks' states.
      chunks: of the world.
      options: of the command.
      table: takes the times.

    Returns:
      Whether the rows of the last ingest are those of the others.
    """
    seconds: dict[int, float] = {}
    cells: dict[tuple[bytes, str], bytes] = {}
    for turn in range(options.repeats):
        for workers in map(int, options.workers.split(",")):
            done = ingest(world, folder / f"{workers}-{turn}", workers, STACKS[stack])
            seconds[workers] = min(done.seconds, seconds.get(workers, done.seconds))
            cells = done.cells

    def add(workers: int, kills: int, time_s: float) -> None:
        rate = chunks / time_s
        table.add(stack=stack, chunks=chunks, workers=workers, kills=kills, seconds=time_s, chunks_per_s=rate)

    for workers, time_s in sorted(seconds.items()):
        add(workers, 0, time_s)
    killed = ingest(world, folder / "killed", max(seconds), STACKS[stack], options.kill_every, options.most_kills)
    add(max(seconds), killed.kills, killed.seconds)
    agree = killed.cells == cells
    print(f"\n{len(cells)} cells of ingests on the {stack} stack {'agree' if agree else 'DIFFER'}")
    return agree


if __name__ == "__main__":
    sys.exit(main())
