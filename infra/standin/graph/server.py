"""Runs the stand-in graph server: `python -m infra.standin.graph.server --world DIR --port P [--bus ADDRESS]`."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from urllib.parse import unquote, urlsplit

import numpy as np
import orjson
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from infra.standin.graph.app import create_app
from infra.standin.graph.chunked_graph import ChunkedGraph
from infra.standin.graph.editor import GraphEditor
from infra.standin.graph.journal import Journal
from infra.standin.graph.table import read_dump
from infra.standin.graph.volume_files import add_volume
from shared.bus.protocol import Publisher
from shared.errors import ConfigurationError

WORLD_DUMP, WORLD_INFO, WORLD_WATERSHED = "graph.ndjson.gz", "info.json", "watershed"
WORLD_EDGES, WORLD_JOURNAL, WORLD_DESCRIPTION = "edges.npy", "journal.ndjson", "world.json"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GraphFiles:
    """Where a graph to be served lies.

    Attributes:
      dump: the table's dump.
      info: the graph's `info`.
      watershed: folder or address of the supervoxels' volume; None for what `info` says.
      edges: edges inside chunks (`.npy`), if known.
      journal: where edits are kept; None to keep them in memory.
    """

    dump: Path
    info: Path
    watershed: str | None = None
    edges: Path | None = None
    journal: Path | None = None

    @classmethod
    def of_world(cls, folder: Path) -> GraphFiles:
        """The files of a made world."""
        return cls(
            dump=folder / WORLD_DUMP,
            info=folder / WORLD_INFO,
            watershed=str(folder / WORLD_WATERSHED),
            edges=folder / WORLD_EDGES,
            journal=folder / WORLD_JOURNAL,
        )


class QuietHandler(WSGIRequestHandler):
    """Speaks HTTP 1.1, though for one request a connection, and logs no line per request."""

    protocol_version = "HTTP/1.1"
    # Answers leave in two writes, head and body; without this each would wait for the client's delayed acknowledgement.
    disable_nagle_algorithm = True

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Logs at debug level."""
        _logger.debug("%s %s", self.requestline, code)


def load(files: GraphFiles, publisher: Publisher | None = None) -> tuple[str, ChunkedGraph, GraphEditor]:
    """Name of a table, its graph with all edits of the journal, and its editor.

    Raises:
      ConfigurationError: if a file is not what it should be.
    """
    info = orjson.loads(files.info.read_bytes())
    if files.watershed is not None:
        info["data_dir"] = address_of(files.watershed)
    table, cells = read_dump(files.dump)
    graph = ChunkedGraph(info, cells)
    edges = np.load(files.edges) if files.edges else None
    editor = GraphEditor(table, graph, edges, Journal(files.journal) if files.journal else None, publisher)
    return table, graph, editor


def graph_name(world: Path) -> str:
    """The name of the graph in a world's folder.

    Raises:
      ConfigurationError: if there is none.
    """
    try:
        return str(orjson.loads((world / WORLD_DESCRIPTION).read_bytes())["table"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{world} holds no graph: make one with python -m infra.standin.build") from error


def address_of(place: str) -> str:
    """A folder as a `file://` address; addresses stay as they are."""
    return place if "://" in place else Path(place).resolve().as_uri()


def make_graph_server(files: GraphFiles, host: str, port: int, publisher: Publisher | None = None) -> BaseWSGIServer:
    """A listening server, one thread per connection; `serve_forever` and `shutdown` run and stop it.

    Args:
      files: the graph.
      host: address to listen at.
      port: 0 for any free one.
      publisher: where edits are announced.
    """
    app = create_app(*load(files, publisher))
    folder = None if files.watershed is None else urlsplit(address_of(files.watershed))
    if folder is not None and folder.scheme == "file":
        add_volume(app, Path(unquote(folder.path)))
    return make_server(host, port, app, threaded=True, request_handler=QuietHandler)


def open_publisher(bus: str | None) -> Publisher | None:
    """What announces edits on the bus at an address; None without one."""
    if not bus:
        return None
    from shared.bus.open import open_bus

    return open_bus(bus)


def serve_until_interrupted(server: BaseWSGIServer, publisher: Publisher | None, announcement: str) -> None:
    """Prints that the server is there and serves until Ctrl-C or SIGTERM; then closes it, and the publisher."""
    signal.signal(signal.SIGTERM, _interrupt)
    print(announcement, flush=True)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    finally:
        server.server_close()
        if publisher is not None:
            publisher.close()


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="A stand-in for the graph server of a chunked graph.")
    parser.add_argument("--world", type=Path, help="folder of a made world")
    parser.add_argument("--dump", type=Path, help="dump of a graph table, instead of --world")
    parser.add_argument("--info", type=Path, help="the graph's info.json, with --dump")
    parser.add_argument("--watershed", help="folder or address of the supervoxels, instead of what the info says")
    parser.add_argument("--journal", type=Path, help="file that keeps edits, with --dump")
    parser.add_argument("--bus", help="address of the bus that edits are announced on")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 for any free port")
    options = parser.parse_args(arguments)
    if (options.world is None) == (options.dump is None) or (options.dump and not options.info):
        parser.error("give either --world, or --dump and --info")
    return options


def main(arguments: Sequence[str]) -> int:
    """Serves until it is interrupted or terminated. The first line of output is the server's address."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    if options.world:
        files = GraphFiles.of_world(options.world)
    else:
        files = GraphFiles(options.dump, options.info, options.watershed, journal=options.journal)
    publisher = open_publisher(options.bus)
    server = make_graph_server(files, options.host, options.port, publisher)
    serve_until_interrupted(server, publisher, f"http://{options.host}:{server.server_port}")
    return 0


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
