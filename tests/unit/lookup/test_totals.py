"""What the rows of roots' nodes add up to, against slow sums of what clients get."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from shared.attributes import ATTRIBUTES, VOXELLESS_SIZE
from shared.geometry.grid import GraphGeometry
from shared.geometry.ids import IdLayout
from shared.lookup.answer import encode_answer
from shared.lookup.found import Found, judge
from shared.lookup.table.encoding import encode_arrow, encode_csv
from shared.lookup.table.roots import root_columns
from shared.lookup.totals import SUMMED, TOTAL, BoundsNm, NodeRows, sum_up
from shared.lookup.totals_answer import Totals, encode_totals, from_remembered, remembered_form
from shared.store.protocol import CachedCells
from shared.types import UInt64Array

GEOMETRY = GraphGeometry(
    layout=IdLayout(8, ((1, 8), (2, 8), (3, 4))),
    chunk_size_voxels=(64, 64, 64),
    voxel_offset=(10, 20, 30),
    volume_size_voxels=(256, 256, 256),
    resolution_nm=(8.0, 8.0, 40.0),
    mip=0,
    data_dir="",
)
LARGEST_CELL = (1 << 32) - 1


def node(x: int, y: int, z: int, segment: int) -> int:
    return (2 << 56) | (x << 48) | (y << 40) | (z << 32) | segment


def ids(*values: int) -> UInt64Array:
    return np.array(sorted(values), dtype=np.uint64)


def row(voxels: int, area: int = 7, max_dt: int = 3, at: tuple[int, int, int] = (1, 2, 3)) -> dict[str, bytes]:
    sized = [(voxels, "<u4"), (area, "<u4"), (max_dt, "<u2"), (at, "<u2")]
    return {name: np.array(value, dtype).tobytes() for name, (value, dtype) in zip(SUMMED, sized, strict=True)}


EMPTY_ROW = {"size_nm3": VOXELLESS_SIZE}


def found_of(rows: dict[int, dict[str, bytes]], missing: set[int], geometry: GraphGeometry = GEOMETRY) -> Found:
    there = ids(*rows)
    cells = CachedCells(there, {name: [rows[i].get(name, b"") for i in there.tolist()] for name in SUMMED})
    l2_ids = ids(*rows, *missing)
    states, details = judge(l2_ids, geometry, cells, {}, 0.0, 1.0)
    return Found(l2_ids, states, cells, details, geometry)


def totals_of(
    nodes: dict[int, list[int]],
    rows: dict[int, dict[str, bytes]],
    bounds: BoundsNm | None = None,
    geometry: GraphGeometry = GEOMETRY,
) -> Totals:
    missing = {l2_id for of_root in nodes.values() for l2_id in of_root} - rows.keys()
    found = NodeRows.of(found_of(rows, missing, geometry), ATTRIBUTES)
    summed = sum_up({root: ids(*of_root) for root, of_root in nodes.items()}, found, bounds, geometry)
    return Totals(np.array(list(nodes), dtype=np.uint64), summed, {}, geometry)


def answered(totals: Totals, **options: Any) -> dict[int, dict[str, Any]]:
    return {int(root): answer for root, answer in json.loads(encode_totals(totals, **options)).items()}


def summed_by_client(nodes: dict[int, list[int]], rows: dict[int, dict[str, bytes]]) -> dict[int, dict[str, Any]]:
    """As a client does it that has the answer of /attributes."""
    found = found_of(rows, {l2_id for of_root in nodes.values() for l2_id in of_root} - rows.keys())
    attributes = ATTRIBUTES.select(SUMMED)
    values = json.loads(encode_answer(found.l2_ids, found.cells, attributes, GEOMETRY))
    answers = {}
    for root, of_root in nodes.items():
        of = {l2_id: values[str(l2_id)] for l2_id in sorted(of_root)}
        cached = {l2_id: value for l2_id, value in of.items() if value.get("size_nm3")}
        points = [value["rep_coord_nm"] for value in cached.values()]
        largest = max(cached, key=lambda l2_id: (cached[l2_id]["size_nm3"], -l2_id)) if cached else None
        answers[root] = {
            "n_l2": len(of),
            "n_cached": len(cached),
            "n_empty": sum(value.get("size_nm3") == 0 for value in of.values()),
            "n_missing": sum(not value for value in of.values()),
            "complete": all(of.values()),
            "size_nm3": sum(value["size_nm3"] for value in cached.values()),
            "area_nm2": sum(value["area_nm2"] for value in cached.values()),
            "max_dt_nm": max((value["max_dt_nm"] for value in cached.values()), default=None),
            "bounds_nm": [list(map(end, zip(*points, strict=True))) for end in (min, max)] if points else None,
            "rep_coord_nm": None if largest is None else cached[largest]["rep_coord_nm"],
            "rep_l2_id": largest,
            "error": None,
        }
    return answers


def test_totals_are_what_a_client_would_sum_up() -> None:
    random = np.random.default_rng(1)
    everything = [node(x, y, z, s) for x in range(3) for y in range(3) for z in range(3) for s in range(1, 12)]
    rows = {}
    for l2_id in everything:
        voxels, area = random.integers(1, 40, 2).tolist()
        x, y, z = random.integers(0, 64, 3).tolist()
        kind = random.choice(["row", "row", "row", "empty", "missing"])
        if kind != "missing":
            rows[l2_id] = EMPTY_ROW if kind == "empty" else row(voxels, area, int(random.integers(9)), (x, y, z))
    nodes = {}
    # roots share nodes, as those before and after an edit do; some have one node only, or none that is cached
    for root in range(60):
        nodes[(3 << 56) | root] = random.choice(everything, random.integers(1, 30), replace=False).tolist()
    empty = [l2_id for l2_id, cells in rows.items() if cells is EMPTY_ROW]
    nodes[(3 << 56) | 60] = empty[:3]
    nodes[(3 << 56) | 61] = [l2_id for l2_id in everything if l2_id not in rows][:2]
    assert answered(totals_of(nodes, rows)) == summed_by_client(nodes, rows)


def test_sums_stay_exact_beyond_64_bits_of_all_roots_and_of_nm3() -> None:
    many = [node(x, y, 0, s) for x in range(4) for y in range(4) for s in range(1, 200)]
    rows = {l2_id: row(LARGEST_CELL, LARGEST_CELL) for l2_id in many}
    coarse = GraphGeometry(**{**GEOMETRY.__dict__, "resolution_nm": (4096.0, 4096.0, 4096.0)})
    nodes = {(3 << 56) | root: many for root in range(3)}
    totals = totals_of(nodes, rows, geometry=coarse)
    exact = len(many) * LARGEST_CELL * 4096**3
    assert exact > 1 << 64
    for total in answered(totals).values():
        assert total["size_nm3"] == exact
        assert total["area_nm2"] == len(many) * LARGEST_CELL
    assert {total["size_nm3"] for total in answered(totals, int64_as_str=True).values()} == {str(exact)}


def test_running_sums_that_overflow_leave_the_totals_exact() -> None:
    one = node(0, 0, 0, 1)
    rows = NodeRows.of(found_of({one: row(1)}, set()), ATTRIBUTES)
    nearly_all = np.array([(1 << 64) - 5], dtype=np.uint64)
    rows = NodeRows(rows.l2_ids, rows.is_cached, rows.is_empty, nearly_all, nearly_all, *_rest(rows))
    summed = sum_up(dict.fromkeys(range(5), rows.l2_ids), rows, None, GEOMETRY)
    assert summed["voxels"].tolist() == summed["area_nm2"].tolist() == 5 * nearly_all.tolist()


def _rest(rows: NodeRows) -> tuple[Any, Any]:
    return rows.max_dt_nm, rows.rep_coord_nm


def test_a_voxel_of_a_broken_volume_makes_doubles_as_in_attributes() -> None:
    fine = GraphGeometry(**{**GEOMETRY.__dict__, "resolution_nm": (0.5, 1.0, 1.0)})
    l2_id = node(0, 0, 0, 1)
    total = answered(totals_of({3 << 56: [l2_id]}, {l2_id: row(3)}, geometry=fine))[3 << 56]
    assert total["size_nm3"] == 1.5


def test_of_several_largest_nodes_the_smallest_id_represents() -> None:
    same = [node(1, 0, 0, 5), node(0, 1, 0, 9), node(0, 2, 0, 1)]
    rows = {l2_id: row(50, at=(n, n, n)) for n, l2_id in enumerate(same)} | {node(0, 0, 0, 1): row(49)}
    total = answered(totals_of({3 << 56: list(rows)}, rows))[3 << 56]
    assert total["rep_l2_id"] == same[1]
    assert total["rep_coord_nm"] == [(10 + 1) * 8, (20 + 64 + 1) * 8, (30 + 1) * 40]


def test_a_row_without_all_that_is_summed_counts_as_missing() -> None:
    whole, torn = node(0, 0, 0, 1), node(0, 0, 0, 2)
    for name in SUMMED:
        rows = {whole: row(5), torn: {other: cell for other, cell in row(9).items() if other != name}}
        total = answered(totals_of({3 << 56: [whole, torn]}, rows))[3 << 56]
        assert (total["n_cached"], total["n_missing"], total["complete"]) == (1, 1, False), name
        assert total["size_nm3"] == 5 * 8 * 8 * 40


def test_bounds_choose_by_points_half_open_and_what_has_none_by_its_chunk() -> None:
    near, far = node(0, 0, 0, 1), node(1, 0, 0, 1)
    edge_nm = ((10 + 64) * 8.0, (20 + 2) * 8.0, (30 + 3) * 40.0)
    rows = {
        near: row(5, at=(63, 2, 3)),
        far: row(6, at=(0, 2, 3)),
        node(0, 0, 0, 2): EMPTY_ROW,
        node(1, 0, 0, 2): EMPTY_ROW,
    }
    root = 3 << 56
    nodes = {root: [*rows, node(0, 0, 0, 3), node(1, 0, 0, 3), node(3, 3, 3, 3)]}

    def within(start: tuple[float, ...], stop: tuple[float, ...]) -> dict[str, Any]:
        x, y, z = start
        a, b, c = stop
        return answered(totals_of(nodes, rows, BoundsNm((x, y, z), (a, b, c))))[root]

    everywhere = within((0, 0, 0), (1e6, 1e6, 1e6))
    assert (everywhere["n_l2"], everywhere["n_cached"], everywhere["n_empty"], everywhere["n_missing"]) == (7, 2, 2, 3)
    # up to the point of the far node, and without it: the box ends where its chunk begins
    low = within((0, 0, 0), (*edge_nm[:1], 1000000.0, 1000000.0))
    assert (low["n_l2"], low["n_cached"], low["n_empty"], low["n_missing"]) == (3, 1, 1, 1)
    assert low["size_nm3"] == 5 * 8 * 8 * 40
    # from that point on
    high = within(edge_nm, (1e6, 1e6, 1e6))
    assert (high["n_l2"], high["n_cached"], high["n_empty"], high["n_missing"]) == (4, 1, 1, 2)
    assert high["rep_l2_id"] == far
    between = within((0, 0, 0), (edge_nm[0] - 8, 1e6, 1e6))
    assert (between["n_cached"], between["size_nm3"], between["rep_l2_id"], between["complete"]) == (0, 0, None, False)


def test_complete_totals_are_recalled_as_they_were() -> None:
    first, second = node(0, 0, 0, 1), node(0, 0, 0, 2)
    rows = {first: row(LARGEST_CELL, 3, 65535, (63, 0, 1)), second: EMPTY_ROW}
    nodes = {(3 << 56) | 9: [first, second], (3 << 56) | 2: [second], (3 << 56) | 5: [first, node(0, 0, 0, 3)]}
    totals = totals_of(nodes, rows)
    kept = remembered_form(totals)
    assert sorted(kept) == [(3 << 56) | 2, (3 << 56) | 9]
    roots, records = from_remembered(kept)
    assert roots.tolist() == sorted(kept)
    assert answered(Totals(roots, records, {}, GEOMETRY)) == {
        root: total for root, total in answered(totals).items() if root in kept
    }


@pytest.mark.parametrize("value", [b"", b"\x02" + bytes(TOTAL.itemsize), b"\x01", b"\x01" + bytes(TOTAL.itemsize + 1)])
def test_what_another_version_remembers_is_not_read(value: bytes) -> None:
    kept = remembered_form(totals_of({3 << 56: [node(0, 0, 0, 1)]}, {node(0, 0, 0, 1): row(5)}))
    roots, records = from_remembered({(3 << 56) | 7: value, **kept})
    assert roots.tolist() == [3 << 56]
    assert records["voxels"].tolist() == [5]


def test_the_form_that_is_remembered_changes_only_with_its_number() -> None:
    total = np.array([(3, 2, 1, 4, 5, 6, [[1, 2, 3], [4, 5, 6]], [7, 8, 9], 10)], dtype=TOTAL)
    (kept,) = remembered_form(Totals(ids(3 << 56), total, {}, GEOMETRY)).values()
    numbers = np.array([1, 2, 3, 4, 5, 6, 7, 8, 9], "<f8").tobytes()
    sums = np.array([4, 5], "<u8").tobytes() + np.array([6], "<u2").tobytes()
    assert kept == b"\x01" + np.array([3, 2, 1], "<u4").tobytes() + sums + numbers + np.array([10], "<u8").tobytes()


def test_errors_stand_among_the_totals_in_the_order_of_roots() -> None:
    l2_id = node(0, 0, 0, 1)
    some = totals_of({5: [l2_id]}, {l2_id: row(1)})
    totals = Totals(some.root_ids, some.totals, {10: "the graph does not know this node", 2: "no"}, GEOMETRY)
    written = json.loads(encode_totals(totals))
    assert list(written) == ["2", "5", "10"]
    assert {name for name, value in written["10"].items() if value is not None} == {"error"}
    assert written["10"].keys() == written["5"].keys()
    assert answered(totals, int64_as_str=True)[5]["rep_l2_id"] == str(l2_id)


def flatly(root: int, total: dict[str, Any]) -> dict[str, Any]:
    """A total as a line of a table."""
    bounds, rep = (np.array(total[name] or [np.nan] * n).ravel() for name, n in (("bounds_nm", 6), ("rep_coord_nm", 3)))
    line = {
        "root_id": root,
        **{name: value for name, value in total.items() if name not in ("bounds_nm", "rep_coord_nm")},
    }
    ends = [f"bounds_nm_{axis}_{end}" for end in ("min", "max") for axis in "xyz"]
    numbers = zip([*ends, *(f"rep_coord_nm_{axis}" for axis in "xyz")], [*bounds, *rep], strict=True)
    return line | {name: None if np.isnan(number) else number for name, number in numbers}


def table_of(totals: Totals) -> pa.Table:
    table = pa.ipc.open_stream(encode_arrow(root_columns(totals))).read_all()
    table.validate(full=True)
    return table


def some_of_each_kind() -> Totals:
    whole, large = node(1, 0, 0, 1), node(0, 1, 0, 9)
    rows = {whole: row(5), large: row(LARGEST_CELL, LARGEST_CELL, 65535, (63, 0, 1)), node(0, 0, 0, 2): EMPTY_ROW}
    nodes = {5: [whole, large], 7: [node(0, 0, 0, 2), node(0, 0, 0, 3)], (1 << 63) + 1: [whole]}
    some = totals_of(nodes, rows)
    return Totals(some.root_ids, some.totals, {6: 'the graph, "it", does not know this node', 2: "no"}, GEOMETRY)


def test_a_table_of_totals_has_the_values_of_the_json() -> None:
    totals = some_of_each_kind()
    lines = [flatly(root, total) for root, total in answered(totals).items()]
    table = table_of(totals)
    assert table.to_pylist() == [{name: line[name] for name in table.column_names} for line in lines]
    read = pd.read_csv(io.BytesIO(encode_csv(root_columns(totals))), dtype_backend="pyarrow").to_dict("records")
    assert [{name: None if pd.isna(v) else v for name, v in line.items()} for line in read] == table.to_pylist()


@pytest.mark.parametrize("totals", [some_of_each_kind(), totals_of({}, {})])
def test_types_and_units_of_a_table_do_not_depend_on_its_rows(totals: Totals) -> None:
    schema = table_of(totals).schema
    types = {name: str(schema.field(name).type) for name in schema.names}
    assert {types[name] for name in ("root_id", "size_nm3", "area_nm2", "rep_l2_id")} == {"uint64"}
    assert {types[name] for name in ("n_l2", "n_cached", "n_empty", "n_missing")} == {"uint32"}
    assert [types[name] for name in ("complete", "max_dt_nm", "bounds_nm_y_max", "rep_coord_nm_z", "error")] == [
        "bool", "uint16", "double", "double", "string",
    ]  # fmt: skip
    assert [field.name for field in schema if not field.nullable] == ["root_id"]
    units = json.loads(schema.metadata[b"units"])
    assert set(units.values()) == {"nm3", "nm2", "nm"}
    assert {name for name in schema.names if "nm" in name} == units.keys()


def test_a_volume_that_no_column_has_room_for_is_left_out_of_a_table_and_said_to_be() -> None:
    sizes = {node(0, 0, 0, 1): 1, node(0, 0, 0, 2): 1 << 28, node(0, 0, 0, 3): (1 << 28) - 1}
    coarse = GraphGeometry(**{**GEOMETRY.__dict__, "resolution_nm": (4096.0, 4096.0, 4096.0)})
    rows = {l2_id: row(voxels) for l2_id, voxels in sizes.items()}
    table = table_of(totals_of({n: [l2_id] for n, l2_id in enumerate(sizes)}, rows, geometry=coarse))
    assert table["size_nm3"].to_pylist() == [4096**3, None, (1 << 64) - 4096**3]
    first, said, last = table["error"].to_pylist()
    assert (first, last) == (None, None)
    assert said == "size_nm3 does not fit into 64 bits: it is in the JSON answer"
    assert table["area_nm2"].to_pylist() == [7, 7, 7]


def test_a_table_has_doubles_where_the_json_has() -> None:
    fine = GraphGeometry(**{**GEOMETRY.__dict__, "resolution_nm": (0.5, 1.0, 1.0)})
    l2_id = node(0, 0, 0, 1)
    assert table_of(totals_of({3: [l2_id]}, {l2_id: row(3)}, geometry=fine))["size_nm3"].to_pylist() == [1.5]
    assert str(table_of(totals_of({}, {}, geometry=fine)).schema.field("size_nm3").type) == "double"
