"""The real data set through the local stack, compared with what PCGL2Cache wrote; the real CAVEclient asks for it."""

import base64
import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from caveclient.auth import AuthClient
from caveclient.l2cache import L2CacheClient

from infra.local.stack import GraphSource, LocalStack
from shared.bus import open_bus
from shared.geometry import GraphGeometry
from shared.ids import chunk_coordinates
from shared.types import Triple
from shared.volume import CloudVolumeReader
from tests import oracle
from tests.e2e.stack_client import answer, look_up, rows, start_ingest, status, wait_until
from tests.recorded_rows import Row, assert_same_row, recorded_rows

GRAPH, TABLE = "rig_graph", "l2cache_rig_graph_v1"
N_ROWS = 12_174


@pytest.fixture(scope="module")
def stack(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """A stack over the graph as it is after the merge; the moment before the merge is ingested."""
    dump = shared_data / "tables" / "graph_after_merge.ndjson.gz"
    files = ("--dump", str(dump), "--info", str(shared_data / "graphene_info.json"))
    source = GraphSource(GRAPH, (*files, "--watershed", str(shared_data / "watershed")))
    with LocalStack(tmp_path_factory.mktemp("real"), graph=source) as stack:
        start_ingest(stack.ingest_url, GRAPH)
        wait_until(lambda: status(stack.ingest_url, GRAPH)["finished"], "the ingest of 128 chunks")
        yield stack


@pytest.fixture(scope="module")
def ingested(shared_data: Path) -> dict[int, Row]:
    """PCGL2Cache's rows of the same ingest."""
    return recorded_rows(shared_data / "tables" / "cache_ingested.ndjson.gz")


def stored(stack: LocalStack, l2_ids: Iterable[int]) -> dict[int, Row]:
    """Our rows of these ids, without empty cells."""
    found = rows(stack.state, TABLE, np.array(sorted(l2_ids), dtype=np.uint64))
    return {l2_id: {name: cell for name, cell in row.items() if cell} for l2_id, row in found.items()}


def weights_of(stack: LocalStack, geometry: GraphGeometry, l2_id: int, positions: list[Triple]) -> list[float]:
    """How good these voxels are as representatives of a node, by the oracle."""
    url = f"{stack.graph_url}/segmentation/api/v1/table/{GRAPH}/node/{l2_id}/leaves"
    supervoxels = answer(requests.get(url, timeout=60))["leaf_ids"]
    x, y, z = chunk_coordinates(np.array([l2_id], dtype=np.uint64), geometry.layout)[0].tolist()
    voxels = CloudVolumeReader(geometry).read_chunk((x, y, z))
    mask = np.isin(voxels, np.array(supervoxels, dtype=np.uint64))
    distances_nm = oracle.whole_distance_nm(mask.astype(np.uint8), geometry.resolution_nm)[mask]
    weights = dict(
        zip(
            map(tuple, np.argwhere(mask)),
            oracle.weights(np.argwhere(mask), distances_nm, geometry.resolution_nm),
            strict=True,
        )
    )
    return [weights[position] for position in positions]


def assert_same_but_for_ties(stack: LocalStack, ours: dict[int, Row], theirs: dict[int, Row]) -> None:
    assert ours.keys() == theirs.keys()
    different = []
    for l2_id, row in ours.items():
        assert_same_row(row, theirs[l2_id], ties=True)
        if row["rep_coord_nm"] != theirs[l2_id]["rep_coord_nm"]:
            different.append(l2_id)
    # PCGL2Cache chooses among equally good voxels by chance: every other choice must be exactly as good.
    info = answer(requests.get(f"{stack.graph_url}/segmentation/table/{GRAPH}/info", timeout=60))
    geometry = GraphGeometry.from_info(info)
    for l2_id in different:
        positions = [_voxel(row["rep_coord_nm"]) for row in (ours[l2_id], theirs[l2_id])]
        mine, other = weights_of(stack, geometry, l2_id, positions)
        assert mine == other, (l2_id, positions)
        assert positions[0] < positions[1], "of equally good voxels the first counts"


def _voxel(cell: bytes) -> Triple:
    x, y, z = np.frombuffer(cell, "<u2").tolist()
    return x, y, z


def test_every_row_of_the_ingest_is_pcgl2caches(stack: LocalStack, ingested: dict[int, Row]) -> None:
    assert len(ingested) == N_ROWS
    assert status(stack.ingest_url, GRAPH)["rows"] == N_ROWS
    assert_same_but_for_ties(stack, stored(stack, ingested), ingested)


def test_the_recorded_edit_brings_its_seven_rows(
    stack: LocalStack, ingested: dict[int, Row], shared_data: Path
) -> None:
    after = recorded_rows(shared_data / "tables" / "cache_after_merge.ndjson.gz")
    new = {l2_id: row for l2_id, row in after.items() if l2_id not in ingested}
    assert len(new) == 7
    (message,) = json.loads((shared_data / "messages" / "edit_merge.json").read_text())
    bus = open_bus(f"sqlite:///{stack.state}/deliveries.db")
    bus.publish(message["attributes"], base64.b64decode(message["data_base64"]))
    bus.close()
    wait_until(lambda: len(stored(stack, new)) == len(new), "the rows of the edit")
    assert_same_but_for_ties(stack, stored(stack, new), new)


def test_a_miss_is_computed_in_the_background(stack: LocalStack, shared_data: Path) -> None:
    superseded = json.loads((shared_data / "update_edge_cases.json").read_text())["l2_in_empty_chunk(3,3,7)"]["id"]
    assert look_up(stack.lookup_url, GRAPH, [superseded]) == {str(superseded): {}}

    def found() -> dict[str, Any]:
        return look_up(stack.lookup_url, GRAPH, [superseded], update_cache="false")[str(superseded)]

    # A node without voxels: there is nothing to tell but that.
    assert wait_until(found, "the missing node") == {"size_nm3": 0}


def test_caveclient_gets_what_it_got_from_pcgl2cache(stack: LocalStack, shared_data: Path) -> None:
    client = L2CacheClient(stack.lookup_url, table_name=GRAPH, auth_client=AuthClient(token="none"))  # noqa: S106
    compared = 0
    for line in (shared_data / "http" / "l2cache_caveclient.jsonl").read_text().splitlines():
        exchange = json.loads(line)
        if exchange["request"]["method"] != "POST" or exchange["response"]["status"] != 200:
            continue
        expected = _json_body(exchange["response"])
        ids = json.loads(exchange["request"]["body"]["text"])["l2_ids"]
        for l2_id, values in client.get_l2data(ids).items():
            for name in set(expected[l2_id]) - {"pca", "pca_val", "rep_coord_nm"}:
                assert values[name] == expected[l2_id][name]
                compared += 1
    assert compared > 100


def _json_body(response: dict[str, Any]) -> Any:
    body = response["body"]
    return json.loads(body["text"] if "text" in body else gzip.decompress(base64.b64decode(body["base64"])))
