"""The stack on a made brain: the demo as a user runs it, and a stack that is killed in the middle of an ingest."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from infra.local.stack import LocalStack, ServedGraph, StackInUseError
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from tests.support.graph.made_worlds import l2_ids_of
from tests.support.stack.client import answer, rows, start_ingest, status, wait_until

ROOT = Path(__file__).resolve().parents[2]
L2CACHE_ID = f"l2cache_{TABLE}_v1"


def test_the_demo_runs_from_ingest_to_edit_and_ends_with_a_snippet_that_works(tmp_path: Path) -> None:
    output = tmp_path / "output"
    command = [sys.executable, "-u", "-m", "infra.local.demo", "--state", str(tmp_path / "demo")]
    with output.open("w") as file, subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file) as demo:
        try:
            wait_until(
                lambda: "L2 nodes, {nodes" in output.read_text() or demo.poll() is not None, "the demo", within_s=400
            )
            said = output.read_text()
            assert demo.poll() is None, said
            snippet = said.partition("to be copied into Python\n")[2]
            done = subprocess.run([sys.executable, "-c", snippet], capture_output=True, text=True, check=False)
        finally:
            demo.send_signal(signal.SIGINT)
    assert demo.returncode == 0, said
    for expected in (
        "100%",
        " 0 failed chunks",
        "were missing, all of them served",
        "rep_coord_nm",
        "new L2 ids, all of",
        "look-up:       http://127.0.0.1:",
    ):
        assert expected in said
    assert done.returncode == 0, done.stderr
    assert "size_nm3" in done.stdout
    assert "L2 nodes," in done.stdout.splitlines()[-1]
    assert "NaN" not in done.stdout


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    build(folder, WorldParameters(size_voxels=(150, 140, 130), chunk_size_voxels=(32, 32, 32)))
    return folder


@pytest.fixture(scope="module")
def undisturbed(world: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, bytes]]:
    """The rows of an ingest that nothing disturbs."""
    with LocalStack(tmp_path_factory.mktemp("undisturbed"), graph=ServedGraph(TABLE, ("--world", str(world)))) as stack:
        start_ingest(stack.ingest_url, TABLE)
        wait_until(lambda: status(stack.ingest_url, TABLE)["finished"], "an undisturbed ingest")
        return rows(stack.services.store, L2CACHE_ID, l2_ids_of(world))


def test_a_table_is_exported_to_a_folder_beside_it(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("L2CACHE_EXPORTS", raising=False)
    with LocalStack(tmp_path, graph=ServedGraph(TABLE, ("--world", str(world)))) as stack:
        start_ingest(stack.ingest_url, TABLE, test=True)
        wait_until(lambda: status(stack.ingest_url, TABLE)["finished"], "a test ingest")
        body = {"dataset": TABLE, "destination": f"{stack.exports}/all"}
        run_id = answer(requests.post(f"{stack.ingest_url}/export", json=body, timeout=60))["run_id"]
        asked = f"{stack.ingest_url}/status?dataset={TABLE}&run={run_id}"
        wait_until(lambda: answer(requests.get(asked, timeout=60))["finished"], "an export")
        written = status(stack.ingest_url, TABLE)["rows"]
    manifest = json.loads((tmp_path / "exports" / "all" / "manifest.json").read_text())
    assert manifest["rows"] == written > 0
    assert {file["name"] for file in manifest["files"]} < {
        path.name for path in (tmp_path / "exports" / "all").iterdir()
    }


def test_a_folder_whose_path_has_a_space_keeps_no_stack_from_starting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("L2CACHE_EXPORTS", raising=False)
    stack = LocalStack(tmp_path / "my tables", graph=ServedGraph(TABLE, ()))
    stack.release()
    assert stack.exports == ""
    monkeypatch.setenv("L2CACHE_EXPORTS", "file:///data")
    assert stack.exports == "file:///data"


@contextlib.contextmanager
def stack_process(world: Path, state: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The stack as a process of its own, and the address of its ingest function."""
    command = [
        sys.executable,
        "-m",
        "infra.local.stack",
        "--world",
        str(world),
        "--state",
        str(state),
        "--workers",
        "1",
    ]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        process.stdout.readline()
        address = process.stdout.readline().split()[1]
        yield process, address
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        process.stdout.close()


def children_of(pid: int) -> dict[int, str]:
    """The child processes of a process, with their command lines."""
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # processes end while they are listed
            if int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1]) == pid:
                children[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
    return children


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")


@needs_proc
def test_a_stack_killed_in_the_middle_of_an_ingest_ends_with_the_rows_of_an_undisturbed_run(
    world: Path, undisturbed: dict[int, dict[str, bytes]], tmp_path: Path
) -> None:
    def progress(address: str) -> int:
        return int(status(address, TABLE)["completed_chunks"])

    with stack_process(world, tmp_path) as (process, address):
        total = start_ingest(address, TABLE)["total_chunks"]
        wait_until(lambda: progress(address) > total // 5, "a fifth of the chunks")
        orphans = children_of(process.pid)
        assert len(orphans) == 6  # graph server, three functions and one of them twice, dispatcher
        process.kill()
        process.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans), "the children to end themselves")
    with stack_process(world, tmp_path) as (_, address):
        assert not status(address, TABLE)["finished"]
        wait_until(lambda: status(address, TABLE)["finished"], "the ingest going on where it was")
        assert status(address, TABLE)["failed_chunks"] == 0
    assert rows(f"sqlite:///{tmp_path}/cache.db", L2CACHE_ID, l2_ids_of(world)) == undisturbed


@needs_proc
def test_a_function_that_dies_is_started_again(world: Path, tmp_path: Path) -> None:
    with stack_process(world, tmp_path) as (process, address):
        for pid, command in children_of(process.pid).items():
            if "infra.local.dispatch" in command or "--target ingest" in command:
                os.killpg(pid, signal.SIGKILL)

        def alive() -> bool:
            with contextlib.suppress(requests.ConnectionError):
                return bool(answer(requests.get(f"{address}/health", timeout=5)))
            return False

        wait_until(alive, "the ingest function to come back")
        start_ingest(address, TABLE, test=True)
        wait_until(lambda: status(address, TABLE)["finished"], "a test ingest")


def test_two_stacks_do_not_share_a_state_folder(world: Path, tmp_path: Path) -> None:
    graph = ServedGraph(TABLE, ("--world", str(world)))
    first = LocalStack(tmp_path, graph=graph)
    with pytest.raises(StackInUseError, match=str(tmp_path)):
        LocalStack(tmp_path, graph=graph)
    first.release()
    LocalStack(tmp_path, graph=graph).release()
