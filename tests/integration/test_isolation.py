"""Chunks that kill the process that computes them, in one of their own: real files, real decoders, real deaths."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE

import numpy as np
import pytest

from infra.standin.graph.server import GraphFiles, make_graph_server
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from shared.errors import ChunkFaultError, TransientError, UnknownDatasetError
from shared.geometry.grid import Box
from shared.ingest.leaf.pipeline import ChunkResult
from shared.ingest.run import Run
from shared.isolation import child as child_module
from shared.isolation.child import Child
from shared.isolation.compute import IsolatedCompute, isolated
from shared.store.open import open_store
from shared.store.protocol import TableMeta
from tests.support.graph.damaged_volumes import bursting, file_of, noise, put_into_shards
from tests.support.graph.servers import running

ROOT = Path(__file__).resolve().parents[2]
PARAMETERS = WorldParameters(size_voxels=(64, 64, 64), chunk_size_voxels=(32, 32, 32))
BAD, GOOD = (0, 0, 0), (1, 0, 0)
L2CACHE_ID = f"l2cache_{TABLE}_v1"
MEMORY_BYTES = 2 * 2**30
RUN = Run(TABLE, L2CACHE_ID, datetime(2026, 6, 1, tzinfo=UTC), Box((0, 0, 0), (2, 2, 2)), 8, 1.8e9)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world") / "world"
    build(folder, PARAMETERS)
    return folder


@pytest.fixture
def world(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the world that may be damaged, its graph server, and an environment that names both."""
    world = Path(shutil.copytree(made, tmp_path / "world"))
    store = open_store(f"sqlite://{tmp_path}/cache.db")
    with running(make_graph_server(GraphFiles.of_world(world), "127.0.0.1", 0)) as url:
        cv_path = f"graphene://{url}/segmentation/table/{TABLE}"
        store.create_table(L2CACHE_ID, TableMeta(TABLE, cv_path, RUN.timestamp))
        store.close()
        (tmp_path / "datasets.yaml").write_text(f"{TABLE}: {{cv_path: '{cv_path}', l2cache_id: {L2CACHE_ID}}}\n")
        monkeypatch.setenv("L2CACHE_DATASETS", str(tmp_path / "datasets.yaml"))
        for name, file in (("STORE", "cache"), ("BUS", "bus"), ("QUEUE", "bus")):
            monkeypatch.setenv(f"L2CACHE_{name}", f"sqlite://{tmp_path}/{file}.db")
        monkeypatch.setenv("L2CACHE_LOG_LEVEL", "WARNING")
        yield world


def reason(result: ChunkResult) -> str:
    assert isinstance(result.error, ChunkFaultError), result
    return str(result.error)


def damage(world: Path, content: bytes) -> None:
    file_of(world, PARAMETERS, BAD).write_bytes(content)


def test_a_chunk_that_crashes_its_process_is_told_from_one_that_does_not(world: Path) -> None:
    damage(world, noise())
    put_into_shards(world, PARAMETERS)
    with isolated(60.0) as isolation:
        good = isolation.compute_chunk(RUN, GOOD)
        assert (good.error, good.rows > 0) == (None, True)
        assert reason(isolation.compute_chunk(RUN, BAD)) == "the process died (SIGSEGV) while reading the chunk"
        assert isolation.compute_chunk(RUN, GOOD) == good


def test_nodes_of_a_chunk_that_crashes_its_process_are_an_error_and_others_have_rows(world: Path) -> None:
    damage(world, noise())
    put_into_shards(world, PARAMETERS)
    bad, good = 0x0200_0000_0000_0001, 0x0200_0000_0000_0001 | 1 << 46
    with isolated(60.0) as isolation:
        with pytest.raises(ChunkFaultError, match=r"died \(SIGSEGV\) while reading"):
            isolation.compute_nodes(TABLE, np.array([bad], dtype=np.uint64), False)
        (outcome,) = isolation.compute_nodes(TABLE, np.array([good], dtype=np.uint64), False).chunks.values()
    assert outcome.n_nodes + len(outcome.unknown_ids) == 1


def test_a_chunk_for_which_memory_does_not_suffice_is_told(world: Path, tmp_path: Path) -> None:
    damage(world, bursting(MEMORY_BYTES))
    code = (
        "import json, sys\n"
        "from shared.ingest.run import Run\n"
        "from shared.isolation.compute import isolated\n"
        "run = Run.from_json(sys.argv[1])\n"
        "with isolated(60.0) as isolation:\n"
        "    results = [isolation.compute_chunk(run, chunk) for chunk in json.loads(sys.argv[2])]\n"
        "    print(json.dumps([[type(r.error).__name__, str(r.error), r.rows] for r in results]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, RUN.to_json(), json.dumps([GOOD, BAD, GOOD])],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
    )
    before, bad, after = json.loads(done.stdout)
    assert bad[:2] == ["ChunkFaultError", "memory ran out while reading the chunk"]
    assert before == after
    assert before[2] > 0


def test_a_process_killed_once_from_outside_costs_nothing(world: Path) -> None:
    with Child(60.0) as child:
        isolation = IsolatedCompute(child)
        first = isolation.compute_chunk(RUN, GOOD)
        os.kill(child.pid, signal.SIGKILL)
        assert isolation.compute_chunk(RUN, GOOD) == first


def test_a_child_whose_parent_was_killed_ends_quietly(world: Path) -> None:
    job = {"job": "chunk", "run": json.loads(RUN.to_json()), "chunk": GOOD}
    command = [sys.executable, "-m", "shared.isolation.main"]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=ROOT) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        assert json.loads(child.stdout.readline()) == {"tells": "ready"}
        child.stdout.close()
        child.stdin.write(json.dumps(job).encode() + b"\n")
        child.stdin.close()
        said = child.stderr.read()
    assert (child.returncode, b"unexpectedly" in said, b"Traceback" in said) == (0, False, False)


def test_a_chunk_that_takes_too_long_is_given_up(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = file_of(world, PARAMETERS, BAD)
    pipe.unlink()
    os.mkfifo(pipe)
    monkeypatch.setattr(child_module, "DEATHS", 1)
    with isolated(5.0) as isolation:
        assert reason(isolation.compute_chunk(RUN, BAD)) == "it took longer than 5 s, reading the chunk"


def test_what_nobody_foresaw_is_told_with_its_kind(world: Path) -> None:
    info = world / "watershed" / "info"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"num_channels": "?"}))
    with isolated(60.0) as isolation:
        assert "while reading the chunk" in str(isolation.compute_chunk(RUN, GOOD).error)


def test_errors_of_ours_come_through_as_they_are(world: Path) -> None:
    with isolated(60.0) as isolation:
        assert isinstance(isolation.compute_chunk(replace(RUN, graph_id="other"), GOOD).error, UnknownDatasetError)
        with pytest.raises(UnknownDatasetError, match="other"):
            isolation.compute_nodes("other", np.array([1], dtype=np.uint64), False)


def test_a_process_that_cannot_start_is_worth_another_try(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2CACHE_STORE", "nonsense")
    with isolated(60.0) as isolation:
        results = [isolation.compute_chunk(RUN, chunk) for chunk in (GOOD, BAD)]
    assert {type(result.error) for result in results} == {TransientError}
    assert {str(result.error) for result in results} == {"the process for isolated chunks does not start"}


def test_the_process_is_gone_when_it_is_needed_no_more(world: Path) -> None:
    with Child(60.0) as child:
        IsolatedCompute(child).compute_chunk(RUN, GOOD)
        pid = child.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
