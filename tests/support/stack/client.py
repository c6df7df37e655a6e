"""What the tests do with a running stack."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import requests

from shared.attributes import ATTRIBUTES
from shared.store.open import open_store
from shared.types import UInt64Array

TIMESTAMP = "2026-06-01 00:00:00"
WAIT_S = 240.0


def start_ingest(ingest_url: str, dataset: str, **fields: Any) -> dict[str, Any]:
    """Starts an ingest; its status."""
    body = {"dataset": dataset, "timestamp": TIMESTAMP, **fields}
    return answer(requests.post(f"{ingest_url}/start", json=body, timeout=60))


def status(ingest_url: str, dataset: str) -> dict[str, Any]:
    """How far the newest run is."""
    return answer(requests.get(f"{ingest_url}/status", params={"dataset": dataset}, timeout=60))


def wait_until(condition: Callable[[], Any], what: str, within_s: float = WAIT_S, look_s: float = 0.05) -> Any:
    """What `condition` gives as soon as it is true; it is looked at every `look_s`."""
    end_s = time.monotonic() + within_s
    while time.monotonic() < end_s:
        if result := condition():
            return result
        time.sleep(look_s)
    raise AssertionError(f"not within {within_s:g} s: {what}")


def look_up(lookup_url: str, dataset: str, l2_ids: Sequence[int], **parameters: str) -> dict[str, dict[str, Any]]:
    """The attributes of L2 ids."""
    url = f"{lookup_url}/l2cache/api/v1/table/{dataset}/attributes"
    return answer(requests.post(url, json={"l2_ids": list(l2_ids)}, params=parameters, timeout=60))


def answer(response: requests.Response) -> Any:
    """The decoded answer, which must be a good one."""
    assert response.status_code == 200, (response.url, response.status_code, response.text[:500])
    return response.json()


def rows(store_address: str, table_id: str, l2_ids: UInt64Array) -> dict[int, dict[str, bytes]]:
    """The rows that a store's table has for these ids."""
    names = [attribute.name for attribute in ATTRIBUTES]
    store = open_store(store_address)
    found = store.read_cells(table_id, np.asarray(l2_ids, dtype=np.uint64), names)
    store.close()
    return {
        l2_id: {name: bytes(found.columns[name][row]) for name in names}
        for row, l2_id in enumerate(found.l2_ids.tolist())
    }
