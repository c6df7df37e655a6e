"""The main job, end to end, on a made brain: `make demo`.

Builds the brain, starts the local stack, ingests a few chunks, asks for a neuron most of which is missing and waits
until the misses are computed, ingests the rest, shows the neuron through CAVEclient, merges two neurons and waits until
the new L2 ids are served, and leaves everything running, with a snippet to try on it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import requests
from tqdm import tqdm

from infra.local import kernels
from infra.local.processes import ChildFailedError
from infra.local.snippet import root_to_table
from infra.local.stack import LocalStack, ServedGraph, StackInUseError, wait_for_interrupt
from infra.standin.graph.volume_files import VOLUME_PATH
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters

TIMESTAMP = "2026-06-01 00:00:00"
WAIT_S = 60.0
POLL_S = 0.02
PROGRESS_S = 0.2
SHOWN_ROWS = 8


@dataclass(frozen=True)
class Demo:
    """The demo's steps over a running stack."""

    stack: LocalStack
    world: dict[str, Any]
    seconds: dict[str, float]

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Announces a step and notes how long it takes."""
        click.secho(f"\n{title}", bold=True)
        start_s = time.perf_counter()
        yield
        self.seconds[title] = time.perf_counter() - start_s

    def ingest(self, *, test: bool) -> None:
        """Ingests the whole brain, or the 8 chunks in its middle, with a progress bar."""
        body = {"dataset": TABLE, "timestamp": TIMESTAMP, "test": test}
        status = _answer(requests.post(f"{self.stack.ingest_url}/start", json=body, timeout=60))
        with tqdm(total=status["total_chunks"], unit="chunk", file=sys.stdout, miniters=1) as bar:
            while not status["finished"]:
                time.sleep(PROGRESS_S)
                url = f"{self.stack.ingest_url}/status?dataset={TABLE}"
                status = _answer(requests.get(url, timeout=60))
                bar.update(status["completed_chunks"] + status["failed_chunks"] - bar.n)
        click.echo(f"{status['rows']} rows, {status['failed_chunks']} failed chunks")

    def show_neuron(self, root: int) -> None:
        """Asks for the attributes of a neuron's L2 nodes through CAVEclient and prints them."""
        l2_ids = self.l2_ids(root)
        table = self._client().get_l2data_table(l2_ids, split_columns=False)
        click.echo(f"neuron {root}: {len(l2_ids)} L2 nodes, {table['size_nm3'].sum() / 1e9:.1f} µm³")
        columns = ["size_nm3", "area_nm2", "max_dt_nm", "mean_dt_nm", "rep_coord_nm"]
        click.echo(table[columns].head(SHOWN_ROWS).to_string())

    def compute_misses(self, root: int) -> None:
        """Asks for all L2 nodes of a neuron and waits until those that were missing are served."""
        l2_ids = self.l2_ids(root)
        missing = sum(not found for found in self._look_up(l2_ids, update_cache=True).values())
        waited_s = self._wait_until_served(l2_ids)
        click.echo(f"{missing} of {len(l2_ids)} L2 nodes were missing, all of them served after {waited_s:.2f} s")

    def merge(self, points: list[list[int]]) -> None:
        """Merges two neurons at the graph server, which announces it, and waits until the new L2 ids are served."""
        url = f"{self.stack.graph_url}/segmentation/api/v1/table/{TABLE}/merge"
        new_ids = _answer(requests.post(url, json=points, timeout=60))["new_lvl2_ids"]
        waited_s = self._wait_until_served(new_ids)
        click.echo(f"{len(new_ids)} new L2 ids, all of them served after {waited_s * 1000:.0f} ms")

    def l2_ids(self, root: int) -> list[int]:
        """The L2 ids of a neuron, from the graph server."""
        url = f"{self.stack.graph_url}/segmentation/api/v1/table/{TABLE}/node/{root}/leaves?stop_layer=2"
        ids: list[int] = _answer(requests.get(url, timeout=60))["leaf_ids"]
        return ids

    def _wait_until_served(self, l2_ids: Sequence[int]) -> float:
        start_s = time.perf_counter()
        while time.perf_counter() - start_s < WAIT_S:
            if all(self._look_up(l2_ids, update_cache=False).values()):
                return time.perf_counter() - start_s
            time.sleep(POLL_S)
        raise click.ClickException(f"the L2 ids were not served within {WAIT_S:g} s; logs are in {self.stack.state}")

    def _look_up(self, l2_ids: Sequence[int], *, update_cache: bool) -> dict[str, Any]:
        url = f"{self.stack.lookup_url}/l2cache/api/v1/table/{TABLE}/attributes"
        parameters = {"update_cache": str(update_cache).lower(), "attribute_names": "size_nm3"}
        found: dict[str, Any] = _answer(requests.post(url, json={"l2_ids": l2_ids}, params=parameters, timeout=60))
        return found

    def _client(self) -> Any:
        from caveclient.auth import AuthClient
        from caveclient.l2cache import L2CacheClient

        auth = AuthClient(token="local")  # noqa: S106  # authentication is off; the client wants some token
        return L2CacheClient(self.stack.lookup_url, table_name=TABLE, auth_client=auth)


def _answer(response: requests.Response) -> Any:
    if not response.ok:
        raise click.ClickException(f"{response.url} answered {response.status_code}: {response.text[:300]}")
    return response.json()


def run(demo: Demo) -> None:
    """All steps of the demo."""
    root = demo.world["roots"][0]["root_id"]
    with demo.step("Ingest the 8 chunks in the middle, as a test"):
        demo.ingest(test=True)
    with demo.step("Ask for a neuron that is not all there"):
        demo.compute_misses(root)
    with demo.step("Ingest everything"):
        demo.ingest(test=False)
    with demo.step("Show the neuron"):
        demo.show_neuron(root)
    with demo.step("Merge two neurons"):
        demo.merge(demo.world["merges"][1])


@click.command()
@click.option("--exit", "end_at_once", is_flag=True, help="End when the demo is through.")
@click.option("--state", type=click.Path(path_type=Path), default=Path(".stack/demo"), help="Folder for everything.")
@click.option("--workers", type=click.IntRange(min=1), help="Compute processes; one per core if not given.")
def main(end_at_once: bool, state: Path, workers: int | None) -> None:
    """Shows the whole loop on a made brain, from the beginning each time."""
    seconds: dict[str, float] = {}
    try:
        stack = LocalStack(state, graph=ServedGraph(TABLE, ("--world", str(state / "world"))), workers=workers)
        for old in state.glob("*.db*"):
            old.unlink()
        world = _timed(seconds, "Build the brain", lambda: build(state / "world", WorldParameters()))
        click.echo(f"{world['chunks']} chunks, {world['supervoxels']} supervoxels, {world['l2_ids']} L2 ids")
        if not kernels.are_compiled():
            _timed(seconds, "Compile the kernels, once on this machine", kernels.compile_all)
        _timed(seconds, "Start the stack", stack.__enter__)
        try:
            run(Demo(stack, world, seconds))
            _finish(stack, world, seconds, end_at_once)
        finally:
            stack.__exit__(None, None, None)
    except (ChildFailedError, StackInUseError) as error:
        raise click.ClickException(str(error)) from error


def _timed(seconds: dict[str, float], title: str, work: Callable[[], Any]) -> Any:
    click.secho(f"\n{title}", bold=True)
    start_s = time.perf_counter()
    result = work()
    seconds[title] = time.perf_counter() - start_s
    return result


def _finish(stack: LocalStack, world: dict[str, Any], seconds: dict[str, float], end_at_once: bool) -> None:
    click.secho("\nSeconds", bold=True)
    for title, value in seconds.items():
        click.echo(f"{value:8.2f}  {title}")
    if end_at_once:
        return
    click.secho("\nEverything goes on running; Ctrl-C stops it", bold=True)
    click.echo(f"look at it:    {stack.lookup_url}/l2cache/#d={TABLE}&ids={world['roots'][0]['root_id']}")
    click.echo(f"look-up:       {stack.lookup_url}/l2cache/api/v1/")
    click.echo(f"ingest:        {stack.ingest_url}  (python -m l2cache --url {stack.ingest_url} runs {TABLE})")
    click.echo(f"graph server:  {stack.graph_url}/segmentation/table/{TABLE}")
    click.echo(f"supervoxels:   precomputed://{stack.graph_url}{VOLUME_PATH} (a layer of neuroglancer)")
    if stack.exports:
        click.echo(f"exports:       to folders below {stack.exports}")
    click.echo(f"tables, logs:  {stack.state}")
    root = world["roots"][0]["root_id"]
    click.secho("\nFrom a root id to a DataFrame, to be copied into Python", bold=True)
    click.echo(root_to_table(stack.graph_url, stack.lookup_url, TABLE, root))
    wait_for_interrupt()


if __name__ == "__main__":
    main()
