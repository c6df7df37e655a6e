"""The terminal client against the ingest function on a small world."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from l2cache.commands import main
from shared.errors import L2CacheError
from tests.support.graph.servers import serving
from tests.support.graph.small import GRAPH_ID, failing
from tests.support.ingest_server import ROOT, serve
from tests.support.ingest_site import CHUNKS, Site

MOMENT = "2026-06-01 00:00:00"
START = ("start", GRAPH_ID, "--timestamp", MOMENT)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def url(site: Site, tmp_path: Path) -> Iterator[str]:
    with serve(site.ingest, tmp_path) as address:
        yield address


def terminal(url: str, *arguments: str) -> Result:
    """What a command says; `l2cache` is called with the function's address as an option."""
    return CliRunner().invoke(main, ["--url", url, *arguments])


def copied(said: str, command: str) -> Result:
    """Does the command that an answer recommends, as it stands there."""
    (line,) = [line for line in said.splitlines() if f" {command} {GRAPH_ID}" in line]
    return CliRunner().invoke(main, shlex.split(line.partition("l2cache ")[2]))


def test_a_plan_is_a_summary_or_a_document_and_says_how_to_start_it(site: Site, url: str) -> None:
    plan = terminal(url, "plan", GRAPH_ID, "--timestamp", "2026-06-01T00:00:00", "--test", "--concurrency", "5")
    assert plan.exit_code == 0
    assert "with 5 leaf tasks at a time" in plan.stdout
    assert "US$" in plan.stdout
    assert copied(plan.stderr, "start").exit_code == 0
    document = json.loads(terminal(url, "plan", GRAPH_ID, "--timestamp", MOMENT, "--test", "--json").stdout)
    assert document["run_id"] == site.ingest.status(GRAPH_ID).run.run_id


def test_a_run_from_its_start_to_the_retrying_of_what_failed(site: Site, url: str) -> None:
    site.cache.volume.fail = failing(L2CacheError("odd"), (0, 0, 0))
    started = terminal(url, *START)
    assert (started.exit_code, "running" in started.stdout) == (0, True)
    worker = threading.Timer(0.3, site.drain)
    worker.start()
    watched = copied(started.stderr, "status")
    worker.join()
    assert watched.exit_code == 1
    assert "1 failed chunks" in watched.stdout
    assert "1  odd" in watched.stderr
    failed = copied(watched.stderr, "failed")
    assert (failed.exit_code, failed.stdout) == (0, "0,0,0\todd\n")
    assert copied(watched.stderr, "retry").exit_code == 0
    assert "1 chunks that had failed (1: odd)" in terminal(url, "status", GRAPH_ID).stdout
    site.cache.volume.fail = lambda _: None
    worker = threading.Timer(0.3, site.drain)
    worker.start()
    watched = terminal(url, "status", GRAPH_ID, "--watch", "--interval", "0.01")
    worker.join()
    assert (watched.exit_code, "trying again 1 chunks that had failed (1: odd)" in watched.stderr) == (0, True)
    assert f"{CHUNKS}/{CHUNKS} chunks\t0 failed" in terminal(url, "runs", GRAPH_ID).stdout
    status = terminal(url, "status", GRAPH_ID)
    assert (f"{CHUNKS} of {CHUNKS} done (100%), 0 failed" in status.stdout, status.stderr) == (True, "")
    assert json.loads(terminal(url, "status", GRAPH_ID, "--json").stdout)["state"] == "finished"
    assert "No chunk failed" in terminal(url, "failed", GRAPH_ID).stderr


def test_a_cancelled_run_is_resumed_as_the_client_says(site: Site, url: str) -> None:
    terminal(url, *START)
    cancelled = terminal(url, "cancel", GRAPH_ID)
    assert "cancelled" in cancelled.stdout
    watched = terminal(url, "status", GRAPH_ID, "--watch")
    assert (watched.exit_code, "--resume" in watched.stderr) == (1, True)
    again = terminal(url, *START)
    assert again.exit_code == 2
    assert copied(again.stderr, "start").exit_code == 0
    assert site.ingest.status(GRAPH_ID).run.generation == 1


def test_refusals_name_the_next_step(url: str) -> None:
    refused = terminal(url, *START, "--no-create")
    assert (refused.exit_code, "no cache table" in refused.stderr) == (2, True)
    assert "--no-create" in refused.stderr
    assert "Start an ingest first: l2cache --url" in terminal(url, "status", GRAPH_ID).stderr
    terminal(url, *START)
    assert "runs" in terminal(url, "status", GRAPH_ID, "--run", "other").stderr
    going_on = terminal(url, *START)
    assert (going_on.exit_code, "--watch" in going_on.stderr, "cancel" in going_on.stderr) == (2, True, True)
    for wrong in ("yesterday", "2999-01-01 00:00:00"):
        refused = terminal(url, "start", GRAPH_ID, "--timestamp", wrong)
        assert (refused.exit_code, "2026-06-01T02:00:00+02:00" in refused.stderr) == (2, True)


def test_what_is_wrong_is_said(url: str) -> None:
    unknown = terminal(url, "start", "nope")
    assert (unknown.exit_code, "nope" in unknown.stderr) == (2, True)
    assert terminal(url, "start", GRAPH_ID, "--bounding-box", "1,2:3").exit_code == 2
    away = terminal("http://127.0.0.1:9", "status", GRAPH_ID)
    assert away.exit_code == 3
    assert "http://127.0.0.1:9 does not answer" in away.stderr
    result = CliRunner().invoke(main, ["--url", url, "--token-command", "false", "runs", GRAPH_ID])
    assert (result.exit_code, "token command" in result.output) == (2, True)


def test_ctrl_c_ends_the_watching_and_not_the_run(site: Site, url: str) -> None:
    terminal(url, *START)
    command = [sys.executable, "-m", "l2cache", "status", GRAPH_ID, "--watch"]
    environment = {**os.environ, "L2CACHE_INGEST_URL": url}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as watching:
        assert watching.stderr is not None
        said = ""
        while f"0/{CHUNKS} chunks" not in said:
            said += watching.stderr.read(1)
        watching.send_signal(signal.SIGINT)
        said += watching.stderr.read()
    assert watching.returncode == 130
    assert "The run goes on" in said
    run_id = site.ingest.status(GRAPH_ID).run.run_id
    assert f"Cancel it: python -m l2cache cancel {GRAPH_ID} --run {run_id}" in said
    assert site.ingest.status(GRAPH_ID).state.value == "running"


@pytest.mark.parametrize(
    ("status", "exit_status", "advice"), [("403 FORBIDDEN", 2, "--token-command"), ("503 AWAY", 3, "")]
)
def test_an_answer_that_is_no_answer_of_the_function_is_told_with_its_status(
    status: str, exit_status: int, advice: str
) -> None:
    def app(_environ: object, start_response: Callable[..., object]) -> list[bytes]:
        start_response(status, [("Content-Type", "text/html")])
        return [b"<html>"]

    with serving(app) as url:
        said = terminal(url, "status", GRAPH_ID)
    assert said.exit_code == exit_status
    assert f"{url} answered {status[:3]}" in said.stderr
    assert advice in said.stderr
