"""The programs that use the cache today, against the running look-up function and the real data."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import requests
from caveclient import CAVEclient
from caveclient.frameworkclient import CAVEclientFull

from infra.local.stack import LocalStack
from shared.attributes import ATTRIBUTES
from shared.types import UInt64Array
from tests.support.data.real_stack import GRAPH, TABLE
from tests.support.data.recorded_rows import Row
from tests.support.processes.cave import DATASTACK, cave_deployment
from tests.support.stack.client import answer, look_up

ROOT = Path(__file__).resolve().parents[2]
RESOLUTION_NM = [16, 16, 40]
TOKEN = "some-token"  # noqa: S105  # authentication is off; the clients want one
NEUROGLANCER = "https://neuroglancer-demo.appspot.com"


@pytest.fixture(scope="module")
def deployment(real_stack: LocalStack) -> Iterator[str]:
    with cave_deployment(real_stack.graph_url, real_stack.lookup_url, GRAPH, RESOLUTION_NM) as address:
        yield address


@pytest.fixture(scope="module")
def client(deployment: str) -> CAVEclientFull:
    return CAVEclient(DATASTACK, server_address=deployment, auth_token=TOKEN, write_server_cache=False)


@pytest.fixture(scope="module")
def neuron(client: CAVEclientFull, ingested: dict[int, Row]) -> tuple[int, UInt64Array]:
    """The root with the most L2 ids among those whose L2 ids were all there at the ingest, and these."""
    l2_ids = np.array(sorted(ingested), dtype=np.uint64)
    url = f"{client.local_server}/segmentation/api/v1/table/{GRAPH}/roots_binary"
    roots = np.frombuffer(requests.post(url, data=l2_ids.tobytes(), timeout=60).content, dtype=np.uint64)
    candidates, counts = np.unique(roots[roots != 0], return_counts=True)
    for root in candidates[np.argsort(-counts.astype(np.int64), kind="stable")].tolist():
        leaves = np.sort(client.chunkedgraph.get_leaves(root, stop_layer=2).astype(np.uint64))
        if len(leaves) and np.isin(leaves, l2_ids).all():
            return root, leaves
    raise AssertionError("no root is wholly ingested")


def test_caveclient_finds_the_cache_of_its_datastack(client: CAVEclientFull) -> None:
    assert client.l2cache.has_cache()
    assert client.l2cache.table_mapping()[GRAPH]["l2cache_id"] == TABLE
    assert client.l2cache.cache_metadata() == {attribute.name: attribute.type_name for attribute in ATTRIBUTES}
    assert sorted(client.l2cache.attributes) == sorted(attribute.name for attribute in ATTRIBUTES)


def test_caveclient_gets_a_neurons_attributes(client: CAVEclientFull, neuron: tuple[int, UInt64Array]) -> None:
    _, l2_ids = neuron
    data = client.l2cache.get_l2data(l2_ids, attributes=["size_nm3", "rep_coord_nm"])
    assert [int(l2_id) for l2_id in data] == l2_ids.tolist()
    assert all(set(values) == {"size_nm3", "rep_coord_nm"} for values in data.values())
    numbers = [attribute.name for attribute in ATTRIBUTES if not attribute.shape]
    table = client.l2cache.get_l2data_table(l2_ids)
    assert table.index.tolist() == l2_ids.tolist()
    assert not table[[*numbers, "rep_coord_nm_x", "chunk_intersect_count_z_top"]].isna().any(axis=None)
    assert {"pca_0_x", "pca_2_z", "pca_val_0", "pca_val_2"} <= set(table.columns)
    assert table["size_nm3"].tolist() == [values["size_nm3"] for values in data.values()]


def test_caveclients_table_is_the_one_that_comes_as_arrow_where_it_has_values(
    client: CAVEclientFull, neuron: tuple[int, UInt64Array], real_stack: LocalStack
) -> None:
    # An L2 id of a chunk of the volume that no node has: CAVEclient's coordinates of it are whatever was in memory.
    absent = (int(neuron[1].max()) | (1 << 26) - 1) - 1
    l2_ids = np.array([*neuron[1].tolist(), absent], dtype=np.uint64)
    theirs = client.l2cache.get_l2data_table(l2_ids)
    url = f"{real_stack.lookup_url}/l2cache/api/v1/table/{GRAPH}/attributes?update_cache=false"
    accepted = {"Accept": "application/vnd.apache.arrow.stream", "Accept-Encoding": "zstd"}
    stream = requests.post(url, json={"l2_ids": l2_ids.tolist()}, headers=accepted, timeout=60)
    ours = pa.ipc.open_stream(stream.content).read_pandas().set_index("l2_id")
    served = look_up(client.local_server, GRAPH, l2_ids.tolist())
    assert ours.index.tolist() == theirs.index.tolist() == sorted(l2_ids.tolist())
    assert list(ours.columns) == ["state", *theirs.columns]
    assert set(ours["state"].drop(absent)) == {"cached"}
    assert ours.loc[absent].drop("state").isna().all()
    for attribute in ATTRIBUTES:
        has_value = np.array([attribute.name in served[str(l2_id)] for l2_id in ours.index])
        assert has_value.any()
        for name in attribute.column_names:
            assert ours[name].notna().tolist() == has_value.tolist()
            assert ours[name][has_value].astype(float).tolist() == theirs[name][has_value].astype(float).tolist()


def test_pcg_skel_builds_a_complete_skeleton(client: CAVEclientFull, neuron: tuple[int, UInt64Array]) -> None:
    from pcg_skel import pcg_skeleton

    root, l2_ids = neuron
    skeleton, mesh, (l2_to_vertex, _) = pcg_skeleton(
        root, client, invalidation_d=1000, require_complete=True, return_mesh=True, return_l2dict_mesh=True
    )
    # Every vertex of the graph that the skeleton was made of is where the cache has its L2 node.
    served = look_up(client.local_server, GRAPH, l2_ids.tolist(), attribute_names="rep_coord_nm")
    assert sorted(l2_to_vertex) == l2_ids.tolist()
    for l2_id, vertex in l2_to_vertex.items():
        assert mesh.vertices[vertex].tolist() == served[str(l2_id)]["rep_coord_nm"]
    assert skeleton.n_branch_points > 0
    assert 0 < skeleton.path_length() < 1e6


def test_pcg_skel_refuses_a_neuron_with_a_missing_node(client: CAVEclientFull, merged: dict[int, Row]) -> None:
    from pcg_skel.chunk_tools import CompleteDataException, build_spatial_graph

    # An L2 id of a chunk of the volume that no node has; nothing can ever compute it.
    missing = (max(merged) | (1 << 26) - 1) - 1
    edges = np.array([[min(merged), missing]], dtype=np.int64)
    with pytest.raises(CompleteDataException):
        build_spatial_graph(edges, client=client, method="service", require_complete=True)


def test_fafbseg_measures_a_neuron(deployment: str, neuron: tuple[int, UInt64Array], tmp_path: Path) -> None:
    secrets = tmp_path / ".cloudvolume" / "secrets"
    secrets.mkdir(parents=True)
    (secrets / "cave-secret.json").write_text(json.dumps({"token": TOKEN}))
    (secrets / "cave_datastack_to_server_map.json").write_text(json.dumps({DATASTACK: deployment}))
    root, l2_ids = neuron
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.stack.fafbseg_client", DATASTACK, str(root)],
        cwd=ROOT,
        env={**os.environ, "HOME": str(tmp_path), "MPLBACKEND": "Agg"},
        input=" ".join(map(str, l2_ids.tolist())),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    measured = json.loads(done.stdout.splitlines()[-1])
    served = look_up(deployment, GRAPH, l2_ids.tolist())
    sizes = [values["size_nm3"] for values in served.values()]
    assert measured["l2_chunks"] == len(l2_ids)
    assert measured["missing"] == 0
    assert measured["chunk_sizes_nm3"] == sizes
    assert measured["size_um3"] == pytest.approx(sum(sizes) / 1000**3)
    url = f"{deployment}/l2cache/api/v1/table/{GRAPH}/totals"
    total = answer(requests.post(url, json={"node_ids": [root]}, timeout=60))[str(root)]
    assert (total["complete"], total["n_l2"], total["n_missing"]) == (True, measured["l2_chunks"], measured["missing"])
    assert measured["size_um3"] == pytest.approx(total["size_nm3"] / 1000**3)
    assert measured["points"] == sum("pca" in values for values in served.values())
    largest = max(served.values(), key=lambda values: values["size_nm3"])["rep_coord_nm"]
    assert measured["anchor"] == [int(nm // size) for nm, size in zip(largest, RESOLUTION_NM, strict=True)]


def test_a_browser_may_ask_from_another_origin(real_stack: LocalStack, neuron: tuple[int, UInt64Array]) -> None:
    l2_ids = [str(l2_id) for l2_id in neuron[1].tolist()]
    url = f"{real_stack.lookup_url}/l2cache/api/v1/table/{GRAPH}/attributes"
    asked = {
        "Origin": NEUROGLANCER,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    preflight = requests.options(url, headers=asked, timeout=60)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] in ("*", NEUROGLANCER)
    assert "POST" in preflight.headers["Access-Control-Allow-Methods"]
    allowed = preflight.headers["Access-Control-Allow-Headers"].lower()
    assert {"authorization", "content-type"} <= {name.strip() for name in allowed.split(",")}
    response = requests.post(
        url,
        params={"int64_as_str": "true", "attribute_names": "size_nm3,rep_coord_nm"},
        data=json.dumps({"l2_ids": l2_ids}),
        headers={"Origin": NEUROGLANCER, "Content-Type": "application/json", "Authorization": f"Bearer {TOKEN}"},
        timeout=60,
    )
    assert response.headers["Access-Control-Allow-Origin"] in ("*", NEUROGLANCER)
    assert "WWW-Authenticate" in response.headers["Access-Control-Expose-Headers"]
    found = answer(response)
    # JavaScript has no whole numbers above 2^53: ids and volumes come as text.
    assert list(found) == l2_ids
    assert all(isinstance(values["size_nm3"], str) for values in found.values())
