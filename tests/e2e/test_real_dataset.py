"""The real data set through the local stack, compared with what PCGL2Cache wrote and answered."""

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from caveclient.auth import AuthClient
from caveclient.l2cache import L2CacheClient

from infra.local.stack import LocalStack
from shared.bus.open import open_bus
from tests.support.data.real_stack import GRAPH, N_ROWS, assert_same_but_for_ties, stored
from tests.support.data.recorded_rows import Row
from tests.support.stack.client import look_up, status, wait_until


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


def _json_body(response: dict[str, Any]) -> Any:
    body = response["body"]
    return json.loads(body["text"] if "text" in body else gzip.decompress(base64.b64decode(body["base64"])))
