"""A ninth attribute from voxels to a client: its entry and its kernel are all there is to it."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from shared.attributes import ATTRIBUTES, SIZE, AttributeTable, further_names
from shared.bus.open import open_bus
from shared.compute.chunk import MappedChunk
from shared.config.settings import Settings
from shared.ingest.control.operations import Operations
from shared.lookup.http import create_app
from shared.lookup.misses import MissPublisher
from shared.lookup.service import LookupService
from shared.store.open import open_store
from shared.telemetry.log import StepTimer
from tests.support.features.further import BOX, NINE, expected_box
from tests.support.graph.small import GEOMETRY, GRAPH_ID, SUPERVOXELS_PER_CHUNK, TABLE_ID, SmallCache, voxels_of
from tests.support.ingest_site import CHUNKS, Site

A = (0, 0, 0)


@pytest.fixture
def before(tmp_path: Path) -> SmallCache:
    """A cache that was made before there was the ninth, with a node in it."""
    cache = SmallCache(tmp_path)
    cache.graph.add(A, 1, {1, 2, 3})
    cache.service.compute_nodes(GRAPH_ID, np.array([*cache.graph.members], np.uint64))
    cache.store.close()
    return cache


def newer_cache(folder: Path, before: SmallCache) -> SmallCache:
    """The same cache as a later version computes it."""
    cache = SmallCache(folder, attributes=NINE)
    cache.graph.members = before.graph.members
    return cache


def client_of(folder: Path, cache: SmallCache, table: AttributeTable) -> FlaskClient:
    """The look-up function over it."""
    address = f"sqlite://{folder}/cache.db"
    environment = {
        "L2CACHE_DATASETS": "/none.yaml",
        "L2CACHE_STORE": address,
        "L2CACHE_BUS": f"sqlite://{folder}/bus.db",
        "L2CACHE_QUEUE": f"sqlite://{folder}/queue.db",
    }
    settings = Settings.from_environment(environment)
    misses = MissPublisher(open_bus(settings.bus), pause_s=1.0, message_bytes=10_000, wait_s=1.0, per_minute=100)
    service = LookupService(open_store(address, table), cache.graph, misses)
    app = create_app(lambda: service, cache.datasets, lambda _: None, settings, table)
    return app.test_client()


def ask(client: FlaskClient, ids: list[int], query: str = "") -> Any:
    path = f"/l2cache/api/v1/table/{GRAPH_ID}/attributes{query}"
    return json.loads(client.post(path, data=json.dumps({"l2_ids": ids})).data)


def box_nm(cache: SmallCache, l2_id: int) -> list[float]:
    """The edges of the box around a node's voxels, as a client is to get them."""
    voxels = expected_box(np.isin(voxels_of(A), cache.graph.members[l2_id]))
    return [edge * size for edge, size in zip(voxels, GEOMETRY.resolution_nm, strict=True)]


def test_old_rows_are_answered_without_it_and_new_rows_with_it(tmp_path: Path, before: SmallCache) -> None:
    (old,) = before.graph.members
    cache = newer_cache(tmp_path, before)
    new = cache.graph.add(A, 2, {4, 5, 6, 7})
    ghost = cache.graph.add(A, 3, {SUPERVOXELS_PER_CHUNK + 5})
    client, older = client_of(tmp_path, cache, NINE), client_of(tmp_path, cache, ATTRIBUTES)
    eight = ask(older, [old])[str(old)]

    cache.service.compute_nodes(GRAPH_ID, np.array([old, new, ghost], np.uint64))

    found = ask(client, [old, new, ghost])
    assert found[str(old)] == eight
    assert list(found[str(new)]) == [name for name in NINE.names if not name.startswith("pca")]
    assert found[str(new)][BOX.name] == box_nm(cache, new)
    assert found[str(ghost)] == {SIZE.name: 0}
    assert ask(client, [old, new], f"?attribute_names={BOX.name}") == {
        str(old): {},
        str(new): {BOX.name: box_nm(cache, new)},
    }
    del found[str(new)][BOX.name]
    assert ask(older, [new])[str(new)] == found[str(new)]
    cache.store.close()


def test_a_chunk_of_an_ingest_fills_it_in(tmp_path: Path, before: SmallCache) -> None:
    (old,) = before.graph.members
    cache = newer_cache(tmp_path, before)
    client = client_of(tmp_path, cache, NINE)
    eight = ask(client, [old])[str(old)]
    steps = StepTimer()
    loaded = cache.service.load_chunk(GRAPH_ID, A, steps)
    (mapped,) = cache.service.map_chunks(GRAPH_ID, [loaded], None, steps)
    assert isinstance(mapped, MappedChunk)
    cache.service.write_rows(GRAPH_ID, [cache.service.compute_features(GRAPH_ID, loaded, mapped.nodes, steps)], steps)
    assert ask(client, [old]) == {str(old): {**eight, BOX.name: box_nm(cache, old)}}
    cache.store.close()


def site_after_a_run(folder: Path) -> Site:
    """A later version beside a table that an ingest of an earlier one has filled."""
    earlier = Site(folder)
    run = earlier.start()
    earlier.drain()
    assert run.attributes == further_names(ATTRIBUTES)
    earlier.cache.store.close()
    return Site(folder, attributes=NINE)


def attributes_in_rows(site: Site) -> set[str]:
    """Of all nodes of the graph together."""
    ids = np.array([*site.cache.graph.members], np.uint64)
    with closing(open_store(f"sqlite://{site.folder}/cache.db", NINE)) as store:
        columns = store.read_cells(TABLE_ID, ids, NINE.names).columns
    return {name for name, cells in columns.items() if all(cells)}


def test_an_ingest_of_the_same_moment_fills_it_in_if_it_is_told_to(tmp_path: Path) -> None:
    site = site_after_a_run(tmp_path)
    site.start()
    site.drain()
    assert BOX.name not in attributes_in_rows(site)
    operations = Operations(site.ingest)
    begun = operations.run("fill", {"dataset": GRAPH_ID})
    assert (begun["state"], begun["generation"], begun["completed_chunks"]) == ("running", 1, 0)
    site.drain()
    filled = operations.run("status", {"dataset": GRAPH_ID})
    assert (filled["state"], filled["run_id"], filled["completed_chunks"]) == ("finished", begun["run_id"], CHUNKS)
    assert attributes_in_rows(site) == {name for name in NINE.names if not name.startswith("pca")}
    assert operations.run("fill", {"dataset": GRAPH_ID}) == filled
    assert site.waiting() == 0


def test_a_fill_goes_on_where_an_earlier_version_has_done_its_tasks(tmp_path: Path) -> None:
    """While versions are exchanged, instances of the earlier one may take tasks."""
    site = site_after_a_run(tmp_path)
    run = site.ingest.fill(GRAPH_ID).run
    later, site.leaf = site.leaf, replace(site.leaf, computer=Site(tmp_path).cache.service)
    site.drain()
    assert site.ingest.status(GRAPH_ID).completed_chunks == 0
    site.leaf = later
    assert site.ingest.resume(GRAPH_ID).run.attributes == run.attributes == further_names(NINE)
    site.drain()
    assert site.ingest.status(GRAPH_ID).finished
    assert BOX.name in attributes_in_rows(site)


def test_what_a_run_wrote_with_it_is_not_computed_again(tmp_path: Path) -> None:
    site = Site(tmp_path, attributes=NINE)
    site.start()
    site.drain()
    reads = len(site.cache.volume.reads)
    assert site.ingest.fill(GRAPH_ID).finished
    site.drain()
    assert len(site.cache.volume.reads) == reads


def test_clients_are_told_of_it(tmp_path: Path, before: SmallCache) -> None:
    metadata = json.loads(client_of(tmp_path, before, NINE).get("/l2cache/api/v1/attribute_metadata").data)
    assert list(metadata) == list(NINE.names)
    assert metadata[BOX.name] == "<class 'numpy.uint16'>"
