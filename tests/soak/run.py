"""A soak run: rounds of load and faults, each followed by a time in which everything has to come right."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import yaml

from infra.local.emulator_backing import EDITS, MISSES, REPLAY, WAITED
from infra.local.free_port import free_port
from infra.standin.world.parameters import TABLE
from shared.types import Triple
from tests.soak.faults.base import Fault
from tests.soak.faults.clock import Clock
from tests.soak.injection import inject
from tests.soak.load.users import Load
from tests.soak.schedule import planned
from tests.soak.settle import settle
from tests.soak.site import Site
from tests.soak.stack.child import EMULATORS, StackSpec
from tests.soak.stack.graph_proxy import GraphProxy
from tests.soak.stack.process import StackProcess
from tests.soak.stack.relay import Relay
from tests.soak.stack.storage import EmbeddedStorage, EmulatorStorage, Storage
from tests.soak.stack.tunnel import Tunnel
from tests.soak.world import L2CACHE_ID, SoakWorld

DISK_BYTES = 256 * 2**20
WORKERS = 2
_OF_VARIABLE = dict(zip(EMULATORS, ("bigtable", "pubsub", "tasks"), strict=True))
_DELIVERED_TO = ("compute_url", "edits_url", "ingest_url")
_ENVIRONMENT = {
    "L2CACHE_MISS_PAUSE_S": "2",
    "L2CACHE_RETRY_AFTER_S": "1",
    "L2CACHE_GRAPH_TIMEOUT_S": "5",
    "L2CACHE_GRAPH_ATTEMPTS": "2",
    "L2CACHE_GRAPH_TOKEN": "soak",
    "L2CACHE_ROWS_PER_FILE": "100",
}


@dataclass(frozen=True)
class Plan:
    """What a run is to be.

    Attributes:
      on: `embedded` or `emulators`.
      seed: of all chance.
      for_s: no round begins after this time.
      round_s: of faults, before everything has to come right.
      grid: chunks of the world.
      faults: what goes wrong.
      keep: whether the state is left where it is in any case.
    """

    on: str
    seed: int
    for_s: float
    round_s: float
    grid: Triple
    faults: Sequence[type[Fault]]
    keep: bool = False


def soak(plan: Plan) -> bool:
    """Runs, prints what was done, and tells whether everything came right."""
    folder = Path(tempfile.mkdtemp(prefix=f"soak-{plan.on}-"))
    with running(plan, folder) as site:
        possible = _possible(site, [kind() for kind in plan.faults])
        rounds, start_s = 0, time.monotonic()
        while not site.complaints and (not rounds or time.monotonic() - start_s < plan.for_s):
            _round(site, possible, plan, f"{plan.seed}/{plan.on}/{rounds}")
            rounds += 1
        site.count("rounds", rounds)
        site.count("edits", len(site.edits))
        site.count("answers of the graph changed", site.graph.answers_changed)
        site.say("in all: " + ", ".join(f"{count} {what}" for what, count in sorted(site.counts.items())))
    if site.complaints:
        _report_failure(site, plan, folder)
    elif not plan.keep:
        shutil.rmtree(folder, ignore_errors=True)
    return not site.complaints


def _possible(site: Site, faults: Sequence[Fault]) -> list[Fault]:
    possible = []
    for fault in faults:
        reason = fault.skip_reason(site)
        if reason is None:
            possible.append(fault)
        else:
            site.say(f"without {fault.name}: {reason}")
    return possible


def _round(site: Site, faults: Sequence[Fault], plan: Plan, seed: str) -> None:
    site.say(f"round {seed}")
    load = Load(site, seed)
    load.start()
    try:
        inject(site, planned(faults, plan.round_s, seed), plan.round_s)
        site.say("all faults are over")
    finally:
        load.stop()
    for error in site.graph.errors:
        raise AssertionError("a fault of the graph is itself at fault") from error
    explanations = [pattern for fault in faults for pattern in fault.explains]
    settle(site, load, explanations)


@contextmanager
def running(plan: Plan, folder: Path) -> Iterator[Site]:
    """A stack in a folder with everything around it, while the `with` lasts."""
    world = SoakWorld(folder / "world", plan.grid)
    state = folder / "state"
    state.mkdir()
    with ExitStack() as stack:
        has_own_disk = _mounted(state, stack)
        graph = GraphProxy(free_port(), plan.seed)
        stack.callback(graph.close)
        clock = Clock(folder)
        process, tunnels, relays = _stack(plan, folder, state, world, graph, clock)
        stack.callback(lambda: [one.close() for one in (*tunnels.values(), *relays.values())])
        stack.callback(process.stop)
        process.start()
        storage = stack.enter_context(_storage(plan, state, process, relays))
        yield Site(plan.on, state, has_own_disk, world, process, graph, tunnels, storage, clock)
        shutil.copytree(state / "logs", folder / "logs", dirs_exist_ok=True)
        if plan.keep:
            shutil.copytree(state, folder / "kept", dirs_exist_ok=True)


def _stack(
    plan: Plan, folder: Path, state: Path, world: SoakWorld, graph: GraphProxy, clock: Clock
) -> tuple[StackProcess, dict[str, Tunnel], dict[str, Relay]]:
    datasets = folder / "datasets.yaml"
    cv_path = f"graphene://http://127.0.0.1:{graph.port}/segmentation/table/{TABLE}"
    datasets.write_text(yaml.safe_dump({TABLE: {"cv_path": cv_path, "l2cache_id": L2CACHE_ID}}))
    made: list[StackProcess] = []

    def behind(variable: str) -> tuple[str, int]:
        host, port = made[0].places["emulators"][variable].split(":")
        return host, int(port)

    def function(name: str) -> Relay:
        return Relay(lambda: str(made[0].places[name]))

    variables = EMULATORS if plan.on == "emulators" else ()
    relays = {name: function(name) for name in _DELIVERED_TO} if plan.on == "emulators" else {}
    tunnels = {_OF_VARIABLE[name]: Tunnel(lambda name=name: behind(name)) for name in variables}
    spec = StackSpec(
        state=str(state),
        world=str(world.live),
        datasets=str(datasets),
        on=plan.on,
        workers=WORKERS,
        graph_port=graph.target_port,
        emulator_ports={name: tunnels[_OF_VARIABLE[name]].port for name in variables},
        delivery_urls={name: relay.url for name, relay in relays.items()},
        environment={**_ENVIRONMENT, **clock.environment},
    )
    made.append(StackProcess(spec, folder / "stack.log"))
    return made[0], tunnels, relays


@contextmanager
def _storage(plan: Plan, state: Path, process: StackProcess, relays: Mapping[str, Relay]) -> Iterator[Storage]:
    places = process.places["emulators"]
    storage: Storage
    with patch.dict(os.environ, places):
        if plan.on == "embedded":
            storage = EmbeddedStorage(state)
        else:
            _, pubsub, tasks = (places[name] for name in EMULATORS)
            edits, compute = relays["edits_url"], relays["compute_url"]
            by_topic = {EDITS: edits, WAITED: edits, MISSES: compute, REPLAY: compute}
            storage = EmulatorStorage(by_topic, list(relays.values()), pubsub, tasks)
        try:
            yield storage
        finally:
            storage.close()


def _mounted(state: Path, stack: ExitStack) -> bool:
    """Makes the folder a small file system of its own, if that is permitted; whether it is."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "soak", str(state)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except OSError:
        return False
    if done.returncode:
        return False
    stack.callback(subprocess.run, ["umount", "--lazy", str(state)], check=False)
    return True


def _report_failure(site: Site, plan: Plan, folder: Path) -> None:
    print(f"\nFAILED on {plan.on} with seed {plan.seed}:")
    for complaint in dict.fromkeys(site.complaints):
        print(f"  {site.complaints.count(complaint)} x {complaint}")
    print(f"Logs: {folder / 'logs'}, {folder / 'stack.log'}")
    names = " ".join(f"--only {fault.name}" for fault in plan.faults)
    minutes = plan.for_s / 60
    print(f"Again: python -m tests.soak --on {plan.on} --seed {plan.seed} --minutes {minutes:g} {names}")
