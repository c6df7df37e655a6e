"""`python -m l2cache`: plans, starts, watches, resumes, retries and cancels ingests.

Exit status: 0 when all went well; 1 when a run that was watched has failed chunks or was cancelled; 2 when the function
refused, or an argument is wrong; 3 when it could not be asked.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from tqdm import tqdm

from l2cache.client import CallError, IngestClient

LOOK_S = 1.0
UNHAPPY, REFUSED, AWAY = 1, 2, 3
PATIENCE = 30
Command = Callable[..., Any]


def _reported(command: Command) -> Command:
    """Turns a refusal into a line on standard error and an exit status."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> None:
        try:
            command(*arguments, **options)
        except CallError as error:
            click.echo(f"Error: {error}", err=True)
            sys.exit(REFUSED if error.refused else AWAY)

    return run


def _box(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[list[float]] | None:
    if text is None:
        return None
    try:
        low, high = ([float(value) for value in corner.split(",")] for corner in text.split(":"))
    except ValueError as error:
        raise click.BadParameter("must look like X,Y,Z:X,Y,Z") from error
    return [low, high]


def _what(command: Command) -> Command:
    """The options that say what to ingest."""
    options = (
        click.option("--timestamp", help="Moment of the graph, UTC: '2026-06-01 00:00:00'; now if left out."),
        click.option("--bounding-box", callback=_box, metavar="X,Y,Z:X,Y,Z", help="Only what lies in this box."),
        click.option("--unit", type=click.Choice(["voxels", "nm"]), help="Of the bounding box."),
        click.option("--test", is_flag=True, default=None, help="Only the 8 chunks around the middle."),
    )
    for option in reversed(options):
        command = option(command)
    return command


_dataset = click.argument("dataset")
_run = click.option("--run", help="The run's id; the newest if left out.")


@click.group()
@click.option("--url", default="http://localhost:8082", show_default=True, envvar="L2CACHE_INGEST_URL")
@click.option(
    "--token-command", default="", metavar="COMMAND", help="Prints a token: 'gcloud auth print-identity-token'."
)
@click.pass_context
def main(context: click.Context, url: str, token_command: str) -> None:
    """Talks to the ingest function, a local or a deployed one."""
    context.obj = IngestClient(url, token_command)


@main.command()
@_dataset
@_what
@click.option("--concurrency", type=click.IntRange(min=1), help="Leaf tasks at a time.")
@click.pass_obj
@_reported
def plan(client: IngestClient, **arguments: Any) -> None:
    """What an ingest would take and cost; nothing is started."""
    click.echo(json.dumps(client.call("plan", **arguments), indent=2))


@main.command()
@_dataset
@_what
@click.option("--no-create", is_flag=True, help="Refuse if the cache table does not exist.")
@click.option("--resume", is_flag=True, default=None, help="Go on with a cancelled or stuck run.")
@click.option("--run", help="The run to resume; the newest if left out.")
@click.option("--watch", is_flag=True, help="Stay and show the progress.")
@click.pass_obj
@_reported
def start(client: IngestClient, no_create: bool, watch: bool, **arguments: Any) -> None:
    """Starts an ingest, or resumes one."""
    answer = client.call("start", create=False if no_create else None, **arguments)
    click.echo(f"run {answer['run_id']}: {answer['state']}, {answer['total_chunks']} chunks")
    if watch:
        _watch(client, arguments["dataset"], answer["run_id"])


@main.command()
@_dataset
@_run
@click.option("--watch", is_flag=True, help="Show the progress until the run ends.")
@click.pass_obj
@_reported
def status(client: IngestClient, dataset: str, run: str | None, watch: bool) -> None:
    """How far a run is."""
    if watch:
        _watch(client, dataset, run)
    else:
        click.echo(json.dumps(client.call("status", dataset=dataset, run=run), indent=2))


@main.command()
@_dataset
@_run
@click.pass_obj
@_reported
def failed(client: IngestClient, dataset: str, run: str | None) -> None:
    """The chunks that failed, a line each: coordinates and reason."""
    after: str | None = None
    while after != "":
        page = client.call("failed", dataset=dataset, run=run, after=after)
        for one in page["failed"]:
            click.echo(f"{','.join(map(str, one['chunk']))}\t{one['reason']}")
        after = page["next"]


@main.command()
@_dataset
@_run
@click.option("--watch", is_flag=True, help="Stay and show the progress.")
@click.pass_obj
@_reported
def retry(client: IngestClient, dataset: str, run: str | None, watch: bool) -> None:
    """Does the failed chunks of a finished run again."""
    answer = client.call("retry", dataset=dataset, run=run)
    click.echo(f"run {answer['run_id']}: {answer['state']}")
    if watch:
        _watch(client, dataset, answer["run_id"])


@main.command()
@_dataset
@_run
@click.pass_obj
@_reported
def cancel(client: IngestClient, dataset: str, run: str | None) -> None:
    """Stops a run; what is done stays done."""
    answer = client.call("cancel", dataset=dataset, run=run)
    click.echo(f"run {answer['run_id']}: {answer['state']}")


@main.command()
@_dataset
@click.pass_obj
@_reported
def runs(client: IngestClient, dataset: str) -> None:
    """All runs of a dataset, a line each."""
    answer = client.call("runs", dataset=dataset)
    for one in answer["runs"]:
        done = f"{one['completed_chunks']}/{one['total_chunks']} chunks"
        click.echo(f"{one['run_id']}\t{one['state']}\t{done}\t{one['failed_chunks']} failed\tstarted {one['started']}")
    for one in answer["unreadable"]:
        click.echo(f"{one['run_id']}\tunreadable\t{one['reason']}; `cancel --run` dismisses it")


def _watch(client: IngestClient, dataset: str, run: str | None) -> None:
    """A progress bar until the run ends; exits with 1 if not all chunks are there then."""
    answer = client.call("status", dataset=dataset, run=run)
    form = "{l_bar}{bar}| {n_fmt}/{total_fmt} chunks{postfix}"
    with tqdm(total=answer["total_chunks"], bar_format=form, file=sys.stdout, mininterval=0) as bar:
        while True:
            bar.n = answer["completed_chunks"] + answer["failed_chunks"]
            bar.set_postfix_str(_postfix(answer))
            if answer["state"] != "running":
                break
            time.sleep(LOOK_S)
            answer = _patiently(client, dataset, answer["run_id"])
    click.echo(f"{answer['state']}: {answer['rows']} rows, {answer['failed_chunks']} failed chunks")
    if answer["state"] != "finished" or answer["failed_chunks"]:
        sys.exit(UNHAPPY)


def _patiently(client: IngestClient, dataset: str, run: str) -> dict[str, Any]:
    """The status, asked for again where the function is away for a moment."""
    for _ in range(PATIENCE):
        try:
            return client.call("status", dataset=dataset, run=run)
        except CallError as error:
            if error.refused:
                raise
            time.sleep(LOOK_S)
    return client.call("status", dataset=dataset, run=run)


def _postfix(answer: dict[str, Any]) -> str:
    left_s = answer["time_left_s"]
    left = "?" if left_s is None else tqdm.format_interval(left_s)
    return f"{answer['chunks_per_s']:.1f}/s, {left} left, {answer['failed_chunks']} failed"
