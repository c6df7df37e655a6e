"""Serves a local chunked graph as a graph server does: `python -m infra.standin.serve OUT --port 8083`."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import yaml

from infra.standin.graph.server import (
    GraphFiles,
    graph_name,
    make_graph_server,
    open_publisher,
    serve_until_interrupted,
)
from shared.errors import ConfigurationError


@click.command()
@click.argument("world", metavar="OUT", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8083, show_default=True, help="0 for any free one.")
@click.option("--bus", help="Address of the bus that edits are announced on, as L2CACHE_BUS.")
@click.option(
    "--datasets", type=click.Path(dir_okay=False, path_type=Path), help="Write the datasets' file for `make stack`."
)
def main(world: Path, host: str, port: int, bus: str | None, datasets: Path | None) -> None:
    """Serves the graph in the folder OUT of infra.standin.build until Ctrl-C. Edits are kept there."""
    try:
        name = graph_name(world)
        publisher = open_publisher(bus)
        server = make_graph_server(GraphFiles.of_world(world), host, port, publisher)
    except ConfigurationError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{host}:{port} cannot be listened at: {error.strerror}")
    address = f"http://{host}:{server.server_port}"
    document = yaml.safe_dump(
        {name: {"cv_path": f"graphene://{address}/segmentation/table/{name}", "l2cache_id": f"l2cache_{name}_v1"}}
    )
    if datasets is None:
        how = f"datasets.yaml of `make stack CONFIG=datasets.yaml`:\n{document.rstrip()}"
    else:
        datasets.write_text(document)
        how = f"Run everything on it: make stack CONFIG={datasets}"
    serve_until_interrupted(server, publisher, f"{address}  (Ctrl-C stops)\n{how}")


if __name__ == "__main__":
    main()
