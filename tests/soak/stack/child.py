"""The stack under test, as a process: `python -m infra.local.child tests.soak.stack.child SPEC`.

It is the local stack, but for three things: the datasets name a proxy in front of the graph server, the functions reach
the emulators through proxies too, and all that says where things really are is written into a file.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from infra.local.backing import Places, Services, embedded
from infra.local.emulator_backing import EmulatorBacking
from infra.local.processes import ChildSpec
from infra.local.stack import LocalStack, wait_for_interrupt
from infra.standin.world.parameters import TABLE

EMULATORS = ("BIGTABLE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "CLOUD_TASKS_EMULATOR_HOST")
PLACES_FILE = "places.json"
MOST_DATA_BYTES = 8 * 2**30
"""Of a process: what grows without end must not take the machine with it."""


@dataclass(frozen=True)
class StackSpec:
    """What the stack is to be like.

    Attributes:
      state: folder for everything durable.
      world: folder of the made world.
      datasets: YAML that names the graph's proxy.
      on: `embedded` or `emulators`.
      workers: chunk tasks at a time.
      graph_port: of the real graph server.
      emulator_ports: ports of the proxies in front of the emulators, by variable.
      delivery_urls: where emulators are to deliver instead of at the functions, by the names in `Places`.
      environment: further variables of the functions.
    """

    state: str
    world: str
    datasets: str
    on: str
    workers: int
    graph_port: int
    emulator_ports: Mapping[str, int]
    delivery_urls: Mapping[str, str]
    environment: Mapping[str, str]

    def to_json(self) -> str:
        """For the command line."""
        return json.dumps(asdict(self))


def told(services: Services, places: Places) -> dict[str, Any]:
    """Where everything really is."""
    return {
        "store": services.store,
        "bus": services.bus,
        "edits_bus": services.edits_bus,
        "queue": services.queue,
        "compute_url": places.compute_url,
        "edits_url": places.edits_url,
        "ingest_url": places.ingest_url,
        "emulators": {name: services.environment[name] for name in EMULATORS if name in services.environment},
    }


def tell(file: Path, what: dict[str, Any]) -> None:
    """Writes a file that others may read at any time."""
    beside = file.with_suffix(".new")
    beside.write_text(json.dumps(what))
    beside.replace(file)


def backing(spec: StackSpec) -> Any:
    """The `Backing` of a spec."""
    inner = embedded if spec.on == "embedded" else EmulatorBacking()

    @contextmanager
    def run(places: Places) -> Iterator[Services]:
        with inner(replace(places, **spec.delivery_urls)) as services:
            tell(Path(spec.datasets).parent / PLACES_FILE, told(services, places))
            through = {name: f"127.0.0.1:{port}" for name, port in spec.emulator_ports.items()}
            own = {name: through.get(name, value) for name, value in services.environment.items()}
            graph = _graph_server(spec, services.edits_bus)
            children = (graph, *services.children)
            yield replace(services, environment={**own, **spec.environment}, children=children)

    return run


def _graph_server(spec: StackSpec, bus: str) -> ChildSpec:
    arguments = ("--world", spec.world, "--port", str(spec.graph_port), "--bus", bus)
    ready = f"http://127.0.0.1:{spec.graph_port}/segmentation/table/{TABLE}/info"
    return ChildSpec("graph", ("infra.standin.graph.server", *arguments), ready_url=ready)


def main() -> None:
    """Runs the stack until it is ended; says `ready` and the look-up's address as soon as it is."""
    spec = StackSpec(**json.loads(sys.argv[1]))
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_DATA_BYTES, MOST_DATA_BYTES))
    with LocalStack(Path(spec.state), Path(spec.datasets), workers=spec.workers, backing=backing(spec)) as stack:
        print(f"ready {stack.lookup_url}", flush=True)
        wait_for_interrupt()


if __name__ == "__main__":
    main()
