"""Serves a local chunked graph as a graph server does: `python -m infra.standin.serve OUT --port 8083`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from types import FrameType

import click
import yaml

from infra.standin.graph.server import GraphFiles, graph_name, make_graph_server
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
        publisher = None
        if bus is not None:
            from shared.bus.open import open_bus

            publisher = open_bus(bus)
        server = make_graph_server(GraphFiles.of_world(world), host, port, publisher)
    except ConfigurationError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{host}:{port} cannot be listened at: {error.strerror}")
    address = f"http://{host}:{server.server_port}"
    document = yaml.safe_dump(
        {name: {"cv_path": f"graphene://{address}/segmentation/table/{name}", "l2cache_id": f"l2cache_{name}_v1"}}
    )
    click.echo(f"{address}  (Ctrl-C stops)")
    if datasets is None:
        click.echo(f"datasets.yaml of `make stack CONFIG=datasets.yaml`:\n{document}", nl=False)
    else:
        datasets.write_text(document)
        click.echo(f"Run everything on it: make stack CONFIG={datasets}")
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("stopped", err=True)
    finally:
        server.server_close()
        if publisher is not None:
            publisher.close()


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
