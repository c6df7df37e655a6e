"""The whole system on one machine: `python -m infra.local.stack --config datasets.yaml`.

The three functions run through functions-framework on loopback ports, the compute function twice: the second one takes
the edits, so that these never wait for misses or an ingest. Behind them are SQLite files and a dispatcher: everything
durable lies in the state folder, and a stack that is killed goes on where it was when it is started again on the same
folder. With `--emulators` Google's emulators of Bigtable, Pub/Sub and Cloud Tasks are behind them instead.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO

import click
import yaml

from infra.local.backing import Backing, Places, Services, embedded
from infra.local.emulator_backing import EmulatorBacking
from infra.local.emulators import EmulatorMissingError
from infra.local.graph_check import check_graph_servers
from infra.local.ports import PortTakenError, choose_ports
from infra.local.processes import ChildFailedError, ChildSpec, Supervisor
from infra.standin.graph.server import graph_name
from shared.config.datasets import Datasets
from shared.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]
WAITING_REQUESTS = 64
LOOKUP_THREADS = 16 + WAITING_REQUESTS
EDIT_WORKERS = 2
INGEST_THREADS = 4


@dataclass(frozen=True)
class ServedGraph:
    """What the stand-in graph server serves.

    Attributes:
      name: the graph's id.
      arguments: arguments of `infra.standin.graph.server` that say where the graph lies.
    """

    name: str
    arguments: tuple[str, ...]


class StackInUseError(RuntimeError):
    """Another stack runs on the same state folder."""


class LocalStack:
    """A running stack; use it as a context manager.

    Args:
      state: folder for everything durable; made if it is not there.
      config: the datasets' YAML; None with `graph`, whose dataset it then writes itself.
      graph: what a stand-in graph server is to serve; None if the datasets name real ones.
      workers: compute processes for chunk tasks; one more serves messages, and those of edits have some of their own.
      backing: tables, bus and queue.
      port: the first of five ports in a row; None for the usual ones, or others where these are taken.

    Attributes:
      ports: the port of each service.
      ports_notice: what to tell of ports that were taken; empty if none were.
      services: where tables, bus and queue of the running stack are.
    """

    services: Services

    def __init__(
        self,
        state: Path,
        config: Path | None = None,
        graph: ServedGraph | None = None,
        workers: int | None = None,
        backing: Backing = embedded,
        port: int | None = None,
    ) -> None:
        self.state = state.resolve()
        self.workers = workers or os.cpu_count() or 1
        self._graph = graph
        self._backing = backing
        self.state.mkdir(parents=True, exist_ok=True)
        self._lock = self._acquire_lock()
        try:
            ports = choose_ports(self.state / "ports.json", port, without=None if graph else "graph")
        except PortTakenError:
            self.release()
            raise
        self.ports, self.ports_notice = ports.by_service, ports.notice
        self.config = self.state / "datasets.yaml" if graph is not None else (config or Path()).resolve()
        self._running = ExitStack()

    @property
    def lookup_url(self) -> str:
        """Base address of the look-up function."""
        return f"http://127.0.0.1:{self.ports['lookup']}"

    @property
    def ingest_url(self) -> str:
        """Base address of the ingest function."""
        return f"http://127.0.0.1:{self.ports['ingest']}"

    @property
    def compute_url(self) -> str:
        """Base address of the compute function."""
        return f"http://127.0.0.1:{self.ports['compute']}"

    @property
    def edits_url(self) -> str:
        """Base address of the compute function's second service, which takes the edits."""
        return f"http://127.0.0.1:{self.ports['edits']}"

    @property
    def graph_url(self) -> str:
        """Base address of the stand-in graph server."""
        return f"http://127.0.0.1:{self.ports['graph']}"

    @property
    def exports(self) -> str:
        """`L2CACHE_EXPORTS`: what the environment says, else a folder beside the tables.

        Empty if that folder's path has a space, which would be the end of an address.
        """
        beside = f"file://{self.state}/exports"
        return os.environ.get("L2CACHE_EXPORTS", "" if len(beside.split()) > 1 else beside)

    def __enter__(self) -> LocalStack:
        logs = self.state / "logs"
        logs.mkdir(exist_ok=True)
        try:
            places = Places(
                self.state, logs, self.compute_url, self.edits_url, self.ingest_url, self.workers, EDIT_WORKERS
            )
            self.services = self._running.enter_context(self._backing(places))
            if self._graph is not None:
                self._write_config(self._graph, self.services)
            Datasets.from_file(self.config)
            supervisor = Supervisor(logs)
            self._running.callback(supervisor.stop)
            supervisor.start(self._children(self.services))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self._running.close()
        finally:
            self.release()

    def release(self) -> None:
        """Gives the state folder free for another stack."""
        self._lock.close()

    def _acquire_lock(self) -> IO[str]:
        lock = (self.state / "lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise StackInUseError(f"a stack already runs on {self.state}") from None
        return lock

    def _write_config(self, graph: ServedGraph, services: Services) -> None:
        dataset = {
            "cv_path": f"graphene://{self.graph_url}/segmentation/table/{graph.name}",
            "l2cache_id": f"l2cache_{graph.name}_v1",
        }
        if services.graph_table is not None:
            dataset["graph_table"] = services.graph_table
        self.config.write_text(yaml.safe_dump({graph.name: dataset}))

    def _children(self, services: Services) -> list[ChildSpec]:
        children = [] if self._graph is None else [self._graph_server(self._graph, services.edits_bus)]
        children.append(self._function("lookup", "lookup", 1, LOOKUP_THREADS))
        children.append(self._function("compute", "compute", self.workers + 1, 1))
        children.append(self._function("edits", "compute", EDIT_WORKERS, 1))
        children.append(self._function("ingest", "ingest", 1, INGEST_THREADS))
        children.extend(services.children)
        environment = {
            "PYTHONPATH": str(ROOT),
            "AUTH_DISABLED": "true",
            "L2CACHE_DATASETS": str(self.config),
            # Everybody on this machine comes from one address, and the machine is theirs.
            "L2CACHE_REQUESTS_PER_MINUTE": "0",
            "L2CACHE_MISSES_PER_MINUTE": "0",
            "L2CACHE_WAITED_PER_MINUTE": "0",
            "L2CACHE_WAITING_REQUESTS": str(WAITING_REQUESTS),
            "L2CACHE_STORE": services.store,
            "L2CACHE_BUS": services.bus,
            "L2CACHE_QUEUE": services.queue,
            "L2CACHE_EXPORTS": self.exports,
            **services.environment,
        }
        return [replace(child, environment={**environment, **child.environment}) for child in children]

    def _graph_server(self, graph: ServedGraph, bus: str) -> ChildSpec:
        port = ("--port", str(self.ports["graph"]), "--bus", bus)
        ready = f"{self.graph_url}/segmentation/table/{graph.name}/info"
        return ChildSpec("graph", ("infra.standin.graph.server", *graph.arguments, *port), ready_url=ready)

    def _function(self, name: str, function: str, processes: int, threads: int) -> ChildSpec:
        """A service of one of the functions."""
        source = str(ROOT / "functions" / function / "main.py")
        port = self.ports[name]
        arguments = ("--target", function, "--source", source, "--host", "127.0.0.1", "--port", str(port))
        environment = {"WORKERS": str(processes), "THREADS": str(threads)}
        ready = f"http://127.0.0.1:{port}/health"
        return ChildSpec(name, ("functions_framework", *arguments), environment, ready)


def refuse_graph_tables(config: Path) -> None:
    """Makes sure that no dataset names a graph table, for where Bigtable is an emulator that has none.

    Raises:
      ConfigurationError: naming the dataset that does.
    """
    for dataset in Datasets.from_file(config).by_graph_id.values():
        if dataset.graph_table is not None:
            raise ConfigurationError(
                f"dataset {dataset.graph_id} names a graph_table, which the Bigtable emulator does not have: without "
                "it the graph server is asked"
            )


def wait_for_interrupt() -> None:
    """Returns on Ctrl-C or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()


@click.command()
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="YAML of your datasets: {name: {cv_path: graphene://..., l2cache_id: ...}}.",
)
@click.option(
    "--world",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a local graph, instead of --config; see infra.standin.build and infra.standin.world.build.",
)
@click.option("--state", type=click.Path(path_type=Path), default=Path(".stack/main"), help="Folder for the tables.")
@click.option("--workers", type=click.IntRange(min=1), help="Compute processes; one per core if not given.")
@click.option(
    "--emulators", is_flag=True, help="Google's emulators instead of SQLite files; they forget all at the end."
)
@click.option("--port", type=click.IntRange(1024, 65_531), help="First of five ports in a row; 8080 if left out.")
@click.option("--no-graph-check", is_flag=True, help="Start even if a graph server does not answer.")
def main(
    config: Path | None,
    world: Path | None,
    state: Path,
    workers: int | None,
    emulators: bool,
    port: int | None,
    no_graph_check: bool,
) -> None:
    """Runs the three functions on this machine until Ctrl-C."""
    if (config is None) == (world is None):
        raise click.UsageError("give either --config (make stack CONFIG=datasets.yaml) or --world")
    try:
        graph = None if world is None else ServedGraph(graph_name(world), ("--world", str(world)))
        if emulators and config is not None:
            refuse_graph_tables(config)
        if config is not None and not no_graph_check:
            check_graph_servers(config)
        with LocalStack(state, config, graph, workers, EmulatorBacking() if emulators else embedded, port) as stack:
            _announce(stack, is_kept=not emulators)
            wait_for_interrupt()
    except (ConfigurationError, ChildFailedError, EmulatorMissingError, PortTakenError, StackInUseError) as error:
        sys.exit(str(error))


def _announce(stack: LocalStack, *, is_kept: bool) -> None:
    """Tells the addresses of a running stack."""
    if stack.ports_notice:
        click.echo(stack.ports_notice, err=True)
    click.echo(f"look-up:  {stack.lookup_url}/l2cache/api/v1/  (in a browser: {stack.lookup_url}/)")
    click.echo(f"ingest:   {stack.ingest_url}  (python -m l2cache --url {stack.ingest_url} start DATASET --watch)")
    if stack.exports:
        click.echo(f"exports:  to folders below {stack.exports}")
    if is_kept:
        click.echo(f"tables and logs: {stack.state}; Ctrl-C stops, starting again goes on where it was")
        return
    click.echo(f"tables:   {stack.services.store}  (kept in memory until Ctrl-C)")
    for variable, value in stack.services.environment.items():
        click.echo(f"          {variable}={value}")


if __name__ == "__main__":
    main()
