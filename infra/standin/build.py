"""A local chunked graph over a segmentation of one's own: `python -m infra.standin.build precomputed://... OUT`.

Every segment becomes a neuron; it is cut into supervoxels at the borders of chunks, and the graph holds together what
touches. `python -m infra.standin.serve OUT` serves it as a graph server does.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click
import numpy as np

from infra.standin.graph.server import WORLD_DESCRIPTION
from infra.standin.segmentation import Segmentation
from infra.standin.world.build import write_world
from infra.standin.world.supervoxels import cut
from shared.errors import ConfigurationError
from shared.geometry.grid import Box
from shared.types import Triple


def _triple(text: str) -> Triple:
    x, y, z = map(int, text.split(","))
    return x, y, z


def _chunk_size(_context: click.Context, _parameter: click.Parameter, text: str) -> Triple:
    try:
        size = _triple(text)
    except ValueError as error:
        raise click.BadParameter("must look like X,Y,Z") from error
    if min(size) < 1:
        raise click.BadParameter("must be positive")
    return size


def _box(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Box | None:
    if text is None:
        return None
    try:
        low, high = map(_triple, text.split(":"))
    except ValueError as error:
        raise click.BadParameter("must look like X,Y,Z:X,Y,Z") from error
    return Box(low, high)


@click.command()
@click.argument("segmentation", metavar="precomputed://ADDRESS")
@click.argument("out", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="local", show_default=True, help="The graph's name, by which it is asked for.")
@click.option("--mip", type=click.IntRange(min=0), default=0, show_default=True, help="Scale of the volume.")
@click.option("--bounding-box", "box", callback=_box, metavar="X,Y,Z:X,Y,Z", help="In voxels; everything if left out.")
@click.option(
    "--chunk-size", callback=_chunk_size, default="128,128,64", show_default=True, metavar="X,Y,Z", help="In voxels."
)
@click.option("--again", is_flag=True, help="Make it anew if OUT holds a graph: this undoes its edits.")
def main(segmentation: str, out: Path, name: str, mip: int, box: Box | None, chunk_size: Triple, again: bool) -> None:
    """Builds a chunked graph over a precomputed segmentation into the folder OUT."""
    if out.exists() and any(out.iterdir()):
        if not (out / WORLD_DESCRIPTION).exists():
            raise click.UsageError(f"{out} holds something that is no graph")
        if not again:
            raise click.UsageError(f"{out} holds a graph already: --again makes it anew")
    try:
        world = build(Segmentation(segmentation, mip, box), out, name, chunk_size)
    except ConfigurationError as error:
        sys.exit(str(error))
    click.echo(f"{world['chunks']} chunks, {world['supervoxels']} supervoxels, {world['root_ids']} neurons in {out}")
    click.echo(f"Run everything on it:     python -m infra.local.stack --world {out}")
    click.echo(f"Or serve the graph alone: python -m infra.standin.serve {out} --port 8083")


def build(segmentation: Segmentation, out: Path, name: str, chunk_size_voxels: Triple) -> dict[str, int]:
    """Reads a segmentation and writes the graph over it, in place of whatever graph is in the folder.

    Returns:
      How many `chunks`, `supervoxels`, `l2_ids` and `root_ids` there are.

    Raises:
      ConfigurationError: if the segmentation cannot be read or is too large.
    """
    pieces, parameters = segmentation.read(chunk_size_voxels)
    neurons = np.arange(int(pieces.max()), dtype=np.int64)
    volume, supervoxels = cut(pieces, neurons, chunk_size_voxels, parameters.layout)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    world = write_world(out, name, volume, supervoxels, parameters, progress=True)
    return {count: world[count] for count in ("chunks", "supervoxels", "l2_ids", "root_ids")}


if __name__ == "__main__":
    main()
