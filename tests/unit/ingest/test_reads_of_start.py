"""What a start reads of the runs before it: the marks of what they did are many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.errors import RunConflictError
from shared.store.protocol import CacheStore
from tests.support.graph.small import GRAPH_ID
from tests.support.ingest_site import Site


class NotingStore:
    """A store that notes the runs whose progress is read."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self.runs_read: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read_marks(self, table_id: str, prefix: str) -> dict[str, bytes]:
        kind, _, rest = prefix.partition("/")
        if kind in ("done", "doing"):
            self.runs_read.add(rest.partition("/")[0])
        return self._store.read_marks(table_id, prefix)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def start_noting(site: Site, day: int) -> set[str]:
    """Starts the run of a day in June and tells which days' progress it read."""
    noting = NotingStore(site.cache.store)
    site.ingest = replace(site.ingest, store=noting)
    site.start(timestamp=f"2026-06-{day:02} 00:00:00")
    return {run_id[6:8] for run_id in noting.runs_read}


def test_no_more_than_the_newest_of_the_older_runs_is_read(site: Site) -> None:
    for day in range(1, 5):
        site.start(timestamp=f"2026-06-{day:02} 00:00:00")
        site.drain()
        site.clock.now_s += 1000
    assert start_noting(site, 5) == {"04", "05"}


def test_a_cancelled_run_is_not_read(site: Site) -> None:
    site.start(timestamp="2026-06-01 00:00:00")
    site.ingest.cancel(GRAPH_ID)
    site.clock.now_s += 1000
    assert start_noting(site, 2) == {"02"}
    with pytest.raises(RunConflictError, match="going on"):
        site.start(timestamp="2026-06-03 00:00:00")
