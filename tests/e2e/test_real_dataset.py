"""The real data set through the local stack, compared with what PCGL2Cache wrote and answered."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

import requests
from caveclient.auth import AuthClient
from caveclient.l2cache import L2CacheClient

from infra.local.stack import LocalStack
from infra.standin.graph.table import read_dump
from shared.bus.open import open_bus
from tests.support.data.real_stack import GRAPH, N_ROWS, assert_same_but_for_ties, graph_dump, stored
from tests.support.data.recorded_rows import Row
from tests.support.stack.client import answer, look_up, status, wait_until

ROOT_LAYER = 5


def test_every_row_of_the_ingest_is_pcgl2caches(real_stack: LocalStack, ingested: dict[int, Row]) -> None:
    assert len(ingested) == N_ROWS
    assert status(real_stack.ingest_url, GRAPH)["rows"] == N_ROWS
    assert_same_but_for_ties(real_stack, stored(real_stack, ingested), ingested)


def test_the_recorded_edit_brings_its_seven_rows(
    real_stack: LocalStack, merged: dict[int, Row], shared_data: Path
) -> None:
    assert len(merged) == 7
    (message,) = json.loads((shared_data / "messages" / "edit_merge.json").read_text())
    bus = open_bus(real_stack.services.edits_bus)
    bus.publish(message["attributes"], base64.b64decode(message["data_base64"]))
    bus.close()
    wait_until(lambda: len(stored(real_stack, merged)) == len(merged), "the rows of the edit")
    assert_same_but_for_ties(real_stack, stored(real_stack, merged), merged)


def test_a_miss_is_computed_in_the_background(real_stack: LocalStack, shared_data: Path) -> None:
    superseded = json.loads((shared_data / "update_edge_cases.json").read_text())["l2_in_empty_chunk(3,3,7)"]["id"]
    assert look_up(real_stack.lookup_url, GRAPH, [superseded]) == {str(superseded): {}}

    def found() -> dict[str, Any]:
        return look_up(real_stack.lookup_url, GRAPH, [superseded], update_cache="false")[str(superseded)]

    # A node without voxels: there is nothing to tell but that.
    assert wait_until(found, "the missing node") == {"size_nm3": 0}


def test_caveclient_gets_what_it_got_from_pcgl2cache(real_stack: LocalStack, shared_data: Path) -> None:
    client = L2CacheClient(real_stack.lookup_url, table_name=GRAPH, auth_client=AuthClient(token="none"))  # noqa: S106
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


def test_totals_of_every_root_are_what_a_client_would_sum_up(real_stack: LocalStack, shared_data: Path) -> None:
    _, cells = read_dump(graph_dump(shared_data))
    roots = sorted({int(cell.key) for cell in cells if cell.key.isdigit() and int(cell.key) >> 56 == ROOT_LAYER})
    graph = f"{real_stack.graph_url}/segmentation/api/v1/table/{GRAPH}/node/leaves_many?stop_layer=2"
    nodes = answer(requests.post(graph, json={"node_ids": roots}, timeout=60))
    assert len(nodes) == len(roots) > 100
    l2_ids = sorted({l2_id for of_root in nodes.values() for l2_id in of_root})
    served = look_up(real_stack.lookup_url, GRAPH, l2_ids, update_cache="false")
    url = f"{real_stack.lookup_url}/l2cache/api/v1/table/{GRAPH}/totals?update_cache=false"
    for start in range(0, len(roots), 1000):
        part = roots[start : start + 1000]
        first = answer(requests.post(url, json={"node_ids": part}, timeout=60))
        assert answer(requests.post(url, json={"node_ids": list(map(str, part))}, timeout=60)) == first
        for root, total in first.items():
            rows = [served[str(l2_id)] for l2_id in nodes[root]]
            sizes = [row["size_nm3"] for row in rows if row]
            assert (total["n_l2"], total["n_missing"]) == (len(rows), len(rows) - len(sizes))
            assert total["complete"] == (len(sizes) == len(rows))
            assert total["n_empty"] == sizes.count(0)
            assert total["size_nm3"] == sum(sizes)
            assert total["area_nm2"] == sum(row.get("area_nm2", 0) for row in rows)
            assert total["max_dt_nm"] == max((row["max_dt_nm"] for row in rows if "max_dt_nm" in row), default=None)


def _json_body(response: dict[str, Any]) -> Any:
    body = response["body"]
    return json.loads(body["text"] if "text" in body else gzip.decompress(base64.b64decode(body["base64"])))
