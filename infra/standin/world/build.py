"""Makes a world: `python -m infra.standin.world.build DIR`."""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from infra.standin.graph.server import WORLD_DUMP, WORLD_EDGES, WORLD_INFO, WORLD_WATERSHED
from infra.standin.graph.table import write_dump
from infra.standin.world.chunked_graph import edges_inside_chunks, layers_over, table_cells
from infra.standin.world.examples import examples
from infra.standin.world.neurites import grow
from infra.standin.world.parameters import TABLE, WorldParameters
from infra.standin.world.supervoxels import cut
from infra.standin.world.tubes import paint
from shared.types import Triple, UInt64Array

WORLD_DESCRIPTION = "world.json"


def is_built(folder: Path, parameters: WorldParameters) -> bool:
    """Whether a folder holds a whole world of these parameters."""
    path = folder / WORLD_DESCRIPTION
    return path.exists() and orjson.loads(path.read_bytes())["parameters"] == parameters.as_json()


def build(folder: Path, parameters: WorldParameters) -> dict[str, Any]:
    """Makes a world in a folder, in place of whatever world is there, its edits included.

    Args:
      folder: made if it does not exist. It gets `info.json`, `watershed/`, `graph.ndjson.gz`, `edges.npy` and, last of
        all, `world.json`.
      parameters: what the world is like; the same ones give the same world.

    Returns:
      The content of `world.json`.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    extent_nm = np.array(parameters.size_voxels, dtype=np.float64) * parameters.resolution_nm
    neurites = grow(extent_nm, parameters.seed)
    pieces = paint(neurites, parameters.size_voxels, parameters.resolution_nm)
    # As in real volumes, the tissue does not reach everywhere: the far corner's chunk is empty.
    pieces[tuple(slice((n - 1) * c, None) for n, c in _axes(parameters))] = 0
    volume, supervoxels = cut(pieces, neurites.neurons, parameters.chunk_size_voxels, parameters.layout)
    layers = layers_over(supervoxels, parameters.root_layer, parameters.layout)
    info = parameters.info((folder / WORLD_WATERSHED).resolve().as_uri())
    (folder / WORLD_INFO).write_bytes(orjson.dumps(info, option=orjson.OPT_INDENT_2))
    write_volume(volume, info)
    write_dump(folder / WORLD_DUMP, TABLE, table_cells(supervoxels, layers, parameters.layout))
    np.save(folder / WORLD_EDGES, edges_inside_chunks(supervoxels))
    world = {
        "table": TABLE,
        "parameters": parameters.as_json(),
        "chunks": int(np.prod(parameters.grid_shape)),
        "supervoxels": supervoxels.ids.size,
        "l2_ids": layers[0].ids.size,
        "root_ids": layers[-1].ids.size,
        "filled": round(float(np.count_nonzero(volume) / volume.size), 3),
        **examples(volume, supervoxels, layers, parameters),
    }
    (folder / WORLD_DESCRIPTION).write_bytes(orjson.dumps(world, option=orjson.OPT_INDENT_2))
    return world


def write_volume(volume: UInt64Array, info: dict[str, Any]) -> None:
    """Writes the supervoxels as a precomputed volume where `info` says; storage chunks without any are left out."""
    from cloudvolume import CloudVolume

    own = {name: value for name, value in info.items() if name not in ("app", "graph", "data_dir")}
    writer = CloudVolume(info["data_dir"], info=own, delete_black_uploads=True, compress="gzip", progress=False)
    writer.commit_info()
    writer[:] = volume[..., np.newaxis]


def _axes(parameters: WorldParameters) -> list[tuple[int, int]]:
    return list(zip(parameters.grid_shape, parameters.chunk_size_voxels, strict=True))


def _triple(text: str) -> Triple:
    x, y, z = map(int, text.split(","))
    return x, y, z


def main(arguments: Sequence[str]) -> int:
    """Makes a world unless it is there already, and prints what it holds."""
    default = WorldParameters()
    parser = argparse.ArgumentParser(description="Makes a small brain with a chunked graph on it.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=_triple, default=default.size_voxels, metavar="X,Y,Z", help="in voxels")
    parser.add_argument("--chunk-size", type=_triple, default=default.chunk_size_voxels, metavar="X,Y,Z")
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--again", action="store_true", help="make it anew, even if it is there: this undoes all edits")
    options = parser.parse_args(arguments)
    parameters = WorldParameters(options.size, options.chunk_size, seed=options.seed)
    if is_built(options.folder, parameters) and not options.again:
        print(f"{options.folder} holds this world already")
        return 0
    start_s = time.monotonic()
    world = build(options.folder, parameters)
    print(
        f"{world['chunks']} chunks, {world['supervoxels']} supervoxels, {world['l2_ids']} L2 ids, "
        f"{world['root_ids']} roots in {time.monotonic() - start_s:.1f} s"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
