"""What holds of every made world: its volume, its ids, its graph."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cc3d
import numpy as np
import orjson
import pytest
from cloudvolume import CloudVolume

from infra.standin.graph.chunked_graph import ChunkedGraph
from infra.standin.graph.components import component_labels
from infra.standin.graph.server import GraphFiles, load
from infra.standin.graph.table import read_dump
from infra.standin.world.build import build, is_built, main
from infra.standin.world.parameters import WorldParameters
from shared.errors import ConfigurationError
from shared.geometry.ids import compose_ids, layers, node_coordinates
from shared.types import UInt64Array

TINY = WorldParameters(size_voxels=(80, 75, 70), chunk_size_voxels=(32, 32, 32), seed=3)
OTHERS = [
    replace(TINY, size_voxels=(64, 64, 64), seed=4),
    replace(TINY, size_voxels=(33, 70, 40), resolution_nm=(8, 8, 40), seed=5),
    replace(TINY, size_voxels=(50, 40, 36), chunk_size_voxels=(16, 24, 8), voxel_offset=(7, 0, 1), seed=6),
]


class MadeWorld(NamedTuple):
    folder: Path
    parameters: WorldParameters
    description: dict[str, Any]
    volume: UInt64Array
    graph: ChunkedGraph


def made(folder: Path, parameters: WorldParameters) -> MadeWorld:
    description = build(folder, parameters)
    reader = CloudVolume((folder / "watershed").as_uri(), fill_missing=True, progress=False)
    volume = np.asarray(reader[:])[..., 0]
    return MadeWorld(folder, parameters, description, volume, load(GraphFiles.of_world(folder))[1])


@pytest.fixture(scope="module", params=[TINY, *OTHERS], ids=lambda p: "x".join(map(str, p.size_voxels)))
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> MadeWorld:
    return made(tmp_path_factory.mktemp("world"), request.param)


def chunk_of_each_voxel(world: MadeWorld) -> np.ndarray:
    axes = [np.arange(n) // c for n, c in zip(world.volume.shape, world.parameters.chunk_size_voxels, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def test_the_volume_has_the_wanted_size_place_and_resolution(world: MadeWorld) -> None:
    reader = CloudVolume((world.folder / "watershed").as_uri(), progress=False)
    assert tuple(reader.bounds.minpt) == world.parameters.voxel_offset
    assert tuple(reader.bounds.size3()) == world.parameters.size_voxels == world.volume.shape
    assert tuple(reader.resolution) == world.parameters.resolution_nm
    assert reader.dtype == np.uint64


def test_a_supervoxel_lies_in_the_one_chunk_that_its_id_names(world: MadeWorld) -> None:
    inside = world.volume > 0
    ids = world.volume[inside]
    assert (layers(ids, world.parameters.layout) == 1).all()
    np.testing.assert_array_equal(node_coordinates(ids, 1, world.parameters.layout), chunk_of_each_voxel(world)[inside])


def test_every_supervoxel_is_connected_and_belongs_to_one_l2_node_of_its_chunk(world: MadeWorld) -> None:
    supervoxels = np.unique(world.volume[world.volume > 0])
    connected = cc3d.connected_components(world.volume, connectivity=6)
    assert connected.max() == supervoxels.size == world.description["supervoxels"]
    l2_ids = world.graph.roots(supervoxels, 2)
    layout = world.parameters.layout
    assert (layers(l2_ids, layout) == 2).all()
    np.testing.assert_array_equal(node_coordinates(l2_ids, 2, layout), node_coordinates(supervoxels, 1, layout))


def l2_volume(world: MadeWorld) -> UInt64Array:
    supervoxels, places = np.unique(world.volume, return_inverse=True)
    return np.where(supervoxels > 0, world.graph.roots(supervoxels, 2), 0)[places].reshape(world.volume.shape)


def test_every_l2_node_is_connected_within_its_chunk_and_no_two_of_a_neuron_touch_there(world: MadeWorld) -> None:
    nodes = l2_volume(world)
    assert cc3d.connected_components(nodes, connectivity=6).max() == np.unique(nodes[nodes > 0]).size
    edges = np.load(world.folder / "edges.npy")
    assert edges.shape[0] > 0
    np.testing.assert_array_equal(world.graph.roots(edges[:, 0], 2), world.graph.roots(edges[:, 1], 2))


def test_the_roots_part_the_supervoxels_as_their_edges_do(world: MadeWorld) -> None:
    supervoxels = np.unique(world.volume[world.volume > 0])
    crossing = np.concatenate([edges for blocks in world.graph.cross_edges.values() for edges in blocks])
    edges = np.searchsorted(supervoxels, np.concatenate([np.load(world.folder / "edges.npy"), crossing]))
    labels = component_labels(supervoxels.size, edges.astype(np.int64))
    roots = world.graph.roots(supervoxels)
    assert (layers(roots, world.parameters.layout) == world.parameters.root_layer).all()
    assert len(set(zip(labels.tolist(), roots.tolist(), strict=True))) == labels.max() + 1 == np.unique(roots).size
    leaves = np.concatenate([world.graph.leaves(root) for root in np.unique(roots).tolist()])
    np.testing.assert_array_equal(np.sort(leaves), supervoxels)


def test_cross_edges_join_voxels_on_both_sides_of_a_chunk_border(world: MadeWorld) -> None:
    touching = set()
    for axis in range(3):
        one, other = np.moveaxis(world.volume, axis, 0)[:-1], np.moveaxis(world.volume, axis, 0)[1:]
        touching |= set(zip(one.ravel().tolist(), other.ravel().tolist(), strict=True))
    crossing = [(a, b) for blocks in world.graph.cross_edges.values() for edges in blocks for a, b in edges.tolist()]
    assert crossing
    shift = world.parameters.layout.segment_bits(1)
    assert all(((a, b) in touching or (b, a) in touching) and a >> shift != b >> shift for a, b in crossing)
    assert {(b, a) for a, b in crossing} == set(crossing)


def test_every_node_has_its_children_below_it_and_they_have_it_as_parent(world: MadeWorld) -> None:
    for node, row in world.graph.rows.items():
        layer = node >> 56
        assert set(layers(row.children, world.parameters.layout).tolist()) == {layer - 1}
        assert set(world.graph.parents(row.children).tolist()) == {node}
        shift = 0 if layer == 2 else 1
        own = node_coordinates(np.array([node], dtype=np.uint64), layer, world.parameters.layout)[0]
        below = node_coordinates(row.children, layer - 1, world.parameters.layout) >> shift
        assert (below == own).all()


def test_the_far_corner_is_empty_and_its_file_absent(world: MadeWorld) -> None:
    corner = tuple(
        slice((n - 1) * c, None)
        for n, c in zip(world.parameters.grid_shape, world.parameters.chunk_size_voxels, strict=True)
    )
    assert not world.volume[corner].any()
    last = np.array([[n - 1 for n in world.parameters.grid_shape]])
    chunk_id = int(compose_ids(2, last, np.zeros(1, dtype=np.uint64), world.parameters.layout)[0])
    assert not len(world.graph.l2_chunk_children(chunk_id))
    files = {path.name for path in (world.folder / "watershed").rglob("*.gz")}
    offset, size = world.parameters.voxel_offset, world.parameters.size_voxels
    start = [o + s.start for o, s in zip(offset, corner, strict=True)]
    stop = [o + n for o, n in zip(offset, size, strict=True)]
    assert "_".join(f"{a}-{b}" for a, b in zip(start, stop, strict=True)) + ".gz" not in files
    assert len(files) < np.prod(world.parameters.grid_shape)


def test_the_chunks_at_the_far_border_are_cut_off_and_filled(world: MadeWorld) -> None:
    for axis, (size, chunk) in enumerate(zip(world.volume.shape, world.parameters.chunk_size_voxels, strict=True)):
        last = np.moveaxis(world.volume, axis, 0)[(size - 1) // chunk * chunk :]
        assert len(last) == (size - 1) % chunk + 1
        assert last.any()


def content(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("info.json", "provenance")]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def test_the_same_parameters_make_the_same_world_and_another_seed_another(tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        build(tmp_path / name, replace(TINY, seed=seed))
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert content(tmp_path / "one")["graph.ndjson.gz"] != content(tmp_path / "other")["graph.ndjson.gz"]


def test_the_dump_is_named_demo_and_all_its_cells_are_of_the_first_of_january_2026(tmp_path: Path) -> None:
    build(tmp_path, TINY)
    table, cells = read_dump(tmp_path / "graph.ndjson.gz")
    assert table == "demo"
    kept = list(cells)
    assert {cell.timestamp_us for cell in kept} == {1_767_225_600_000_000}
    assert [cell.key for cell in kept] == sorted(cell.key for cell in kept)


def test_a_world_is_kept_until_other_parameters_or_a_new_one_are_wanted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "w"
    arguments = [str(folder), "--size", "40,40,40", "--chunk-size", "32,32,32"]
    assert not is_built(folder, TINY)
    main(arguments)
    (folder / "journal.ndjson").touch()
    main(arguments)
    assert (folder / "journal.ndjson").exists()
    assert "already" in capsys.readouterr().out
    main([*arguments, "--again"])
    assert not (folder / "journal.ndjson").exists()
    (folder / "journal.ndjson").touch()
    main([*arguments, "--seed", "9"])
    assert not (folder / "journal.ndjson").exists()
    assert orjson.loads((folder / "world.json").read_bytes())["parameters"]["seed"] == 9


def test_a_world_without_extent_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="size"):
        replace(TINY, size_voxels=(64, 0, 64))


def test_the_default_world_has_at_least_64_whole_chunks_and_cut_off_ones() -> None:
    default = WorldParameters()
    whole = [size // chunk for size, chunk in zip(default.size_voxels, default.chunk_size_voxels, strict=True)]
    assert np.prod(whole) >= 64
    assert all(size % chunk for size, chunk in zip(default.size_voxels, default.chunk_size_voxels, strict=True))
    assert min(default.voxel_offset) > 0
    assert default.info("file:///x")["graph"]["spatial_bit_masks"] == {"1": 10, "2": 10, "3": 2, "4": 1, "5": 1}
