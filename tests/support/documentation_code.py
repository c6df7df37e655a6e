"""Running the documentation's Python as readers do: a program of their own, with CAVEclient and a datastack."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.local.stack import LocalStack, ServedGraph
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from tests.support.documentation import ROOT
from tests.support.processes.cave import cave_deployment
from tests.support.stack.client import start_ingest, status, wait_until
from tests.support.stack.ports import take_free_ports

DATASTACK = "my_datastack"
"""As the documentation calls it."""


@dataclass(frozen=True)
class Reader:
    """Somebody with an account at a CAVE deployment, following the documentation.

    Attributes:
      home: the home folder, which says where the datastack is served; programs run there.
      root_id: of a neuron.
      stack: behind the deployment.
    """

    home: Path
    root_id: int
    stack: LocalStack

    def run(self, code: Sequence[str]) -> str:
        """What a program of these pieces of code prints; `root_id` is set in it."""
        program = "\n".join([f"root_id = {self.root_id}", *code])
        environment = {
            **os.environ,
            "HOME": str(self.home),
            "MPLBACKEND": "Agg",
            "MPLCONFIGDIR": str(ROOT / ".cache" / "matplotlib"),
            "PYTHONPATH": "",
        }
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=self.home,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout


@contextmanager
def reader_of_made_brain(folder: Path, parameters: WorldParameters) -> Iterator[Reader]:
    """A deployment with a made brain, all of it ingested, and a reader of it.

    Args:
      folder: an empty one, for everything.
      parameters: of the brain.
    """
    world = build(folder / "world", parameters)
    secrets = folder / "home" / ".cloudvolume" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "cave-secret.json").write_text(json.dumps({"token": "some-token"}))
    state = take_free_ports(folder / "stack")
    with LocalStack(state, graph=ServedGraph(TABLE, ("--world", str(folder / "world")))) as stack:
        start_ingest(stack.ingest_url, TABLE)
        wait_until(lambda: status(stack.ingest_url, TABLE)["finished"], "the ingest of the made brain")
        resolution_nm = list(parameters.resolution_nm)
        with cave_deployment(stack.graph_url, stack.lookup_url, TABLE, resolution_nm, DATASTACK) as address:
            (secrets / "cave_datastack_to_server_map.json").write_text(json.dumps({DATASTACK: address}))
            yield Reader(folder / "home", world["roots"][0]["root_id"], stack)
