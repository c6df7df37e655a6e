"""Tasks of the queue, forged and damaged."""

from __future__ import annotations

import json
from random import Random

from shared.geometry.grid import Box
from shared.ingest.blocks import block_name
from shared.ingest.blocks import leaves as blocks_of_leaves
from shared.ingest.kind import RunKind
from shared.ingest.task import EXPAND_PATH, LEAF_PATH, path_of
from tests.soak.fuzz.case import Case, http
from tests.soak.fuzz.exports import EXPORTS, FRESH, READY, ready_manifest_sha256
from tests.soak.fuzz.values import NUMBERS, altered, json_object, json_text, json_value, mutated
from tests.support.graph.small import GEOMETRY, GRAPH_ID, TABLE_ID

_X, _Y, _Z = GEOMETRY.grid_shape
_GRID = f"0_0_0-{_X}_{_Y}_{_Z}"
_FOREIGN_BLOCKS = (
    *("0_0_0-1_1_2", "0_0_0-0_0_0", "0_0_0-9_9_9", "5_5_5-6_6_6", "-1_0_0-1_1_1", "0_0_0-1_1", "", "a", "1_1_1-0_0_0"),
    *("0_0_0-1000000_1000000_1000000", "0_0_0-" + "9" * 30 + "_1_1", "9" * 5000 + "_0_0-1_1_1", "٠_0_0-1_1_1"),
)


_BEYOND = "300_0_0-301_1_1"
"""A chunk that no id of the small graph can name."""

_LEAVES = [block_name(block) for block in blocks_of_leaves(Box((0, 0, 0), GEOMETRY.grid_shape), 2)]
_NO_LEAVES = ("0_0_0-1_1_1", "0_0_0-2_1_1", "0_0_0-1_1_3")
_DESTINATION = f"{EXPORTS}/tasks"
_OTHER_KINDS = (RunKind.AUDIT, RunKind.EXPORT, RunKind.IMPORT)


def _run(block: str) -> dict[str, bytes]:
    return {
        "graph_id": json_text(GRAPH_ID),
        "table_id": json_text(TABLE_ID),
        "timestamp": json_text("2026-06-01 00:00:00"),
        "block": json_text(block),
        "leaf_chunks": b"2",
        "started_s": b"1800000000.0",
        "unit": b"[1, 1, 1]",
        "batch_chunks": b"1",
        "generation": b"0",
        "resumed_s": b"0.0",
        "retry_from": b"0",
    }


def _numbers(*more: bytes) -> list[bytes]:
    borders = [b"0", b"-1", b"1", b"1000000000000", b"1E400"] * 10
    return [*borders, *more, *(n.encode() for n in NUMBERS), *(json.dumps(n).encode() for n in NUMBERS)]


_OWN = {
    "graph_id": [b'"nope"', b'""', b"null", b"[]", b"7"],
    "table_id": [b'"nope"', b'""', b"null", json_text("l2cache_other"), json_text("x" * 5000), json_text("a'b\0c")],
    "timestamp": [
        json_text(t) for t in ("0226-06-01 00:00:00", "226-06-01 00:00:00", "9999-12-31 23:59:59", "2026-06-01")
    ],
    "block": [json_text(block) for block in _FOREIGN_BLOCKS],
    "leaf_chunks": _numbers(b"null", b"[2]", b"true"),
    "started_s": _numbers(b"null"),
    "unit": [b"[0, 0, 0]", b"[1, 1]", b"[1, 1, 1, 1]", b"null", b"1", b'"111"', b"[1e30, 1, 1]", b"[-1, -1, -1]"],
    "batch_chunks": _numbers(b"null"),
    "generation": _numbers(b"null"),
    "resumed_s": _numbers(b"null"),
    "retry_from": _numbers(b"null"),
    "part": _numbers(b"null"),
}


def _options(kind: RunKind) -> dict[str, bytes]:
    """The options of a good run of that kind."""
    return {
        RunKind.INGEST: {},
        RunKind.AUDIT: {"repair": b"true", "verify": b"3", "rows": b"24"},
        RunKind.EXPORT: {"destination": json_text(_DESTINATION), "attributes": b"[]", "at_moment": b"true"},
        RunKind.IMPORT: {"source": json_text(READY), "manifest": json_text(ready_manifest_sha256())},
    }[kind]


_OWN_OPTIONS = {
    "repair": [b"false", b"1", b"null"],
    "verify": _numbers(),
    "rows": _numbers(),
    "destination": [json_text(text) for text in (FRESH, READY, "file:///etc", "gs://b/x", "", FRESH + "/\0")],
    "attributes": [b'["size_nm3"]', b'["nope"]', b'["size_nm3", "size_nm3"]', b"[[]]", b"null", b'"pca"'],
    "at_moment": [b"false", b"1", b"null"],
    "source": [json_text(text) for text in (FRESH, EXPORTS, "file:///etc", "gs://b/x", "")],
    "manifest": [b'"0"', b"null", json_text("0" * 64)],
}


def _run_of(kind: RunKind, chance: Random) -> dict[str, bytes]:
    options = _options(kind)
    made = altered(chance, options, _OWN_OPTIONS) if options and chance.random() < 0.5 else json_object(options)
    return {**_run(_GRID), "kind": json_text(kind.value), "options": made}


def _body(chance: Random, leaf: bool, kind: RunKind = RunKind.INGEST) -> bytes:
    run = _run(_GRID) if kind is RunKind.INGEST else _run_of(kind, chance)
    if chance.random() < 0.1:
        run["block"] = json_text(_BEYOND)
    if chance.random() < 0.6:
        run_json = altered(chance, run, _OWN)
    else:
        run_json = json_object(run) if chance.random() < 0.8 else json_value(chance)
    block = chance.choice([*_LEAVES, *_NO_LEAVES, _BEYOND]) if leaf else _GRID
    task = {"run": run_json, "block": json_text(block), "part": b"0"}
    if chance.random() < 0.4:
        task[chance.choice(["block", "part"])] = chance.choice(_OWN["block"] + _OWN["part"])
    body = json_object(task) if chance.random() < 0.9 else altered(chance, task, _OWN)
    return mutated(chance, body) if chance.random() < 0.2 else body


def leaves(chance: Random) -> Case:
    """Chunk tasks for the compute function."""
    headers = {"X-CloudTasks-TaskRetryCount": chance.choice(["0", "0", "7", "-1", "", "x", "9" * 20, "²"])}
    away = chance.sample(["store", "graph", "volume", "queue"], 1) if chance.random() < 0.1 else []
    return Case("compute", "chunk tasks", http("POST", "/chunks", _body(chance, True), headers), frozenset(away))


def of_other_kinds(chance: Random) -> Case:
    """Leaf and expand tasks of audits, exports and imports, sometimes at the place of another kind's."""
    kind, leaf = chance.choice(_OTHER_KINDS), chance.random() < 0.7
    at = kind if chance.random() < 0.9 else chance.choice([*RunKind])
    path = path_of(LEAF_PATH if leaf else EXPAND_PATH, at)
    neighbours = ("store", "graph", "volume", "queue", "folder")
    away = frozenset(chance.sample(neighbours, 1) if chance.random() < 0.1 else ())
    function = "compute" if leaf else "ingest"
    return Case(function, "tasks of other kinds", http("POST", path, _body(chance, leaf, kind)), away)


def expansions(chance: Random) -> Case:
    """Expand tasks for the ingest function."""
    away = chance.sample(["store", "queue"], 1) if chance.random() < 0.1 else []
    return Case("ingest", "expand tasks", http("POST", "/expand", _body(chance, False)), frozenset(away))


def good() -> list[Case]:
    """Tasks that are done."""
    task = {"run": json_object(_run(_GRID)), "part": b"0"}
    cases = [
        Case("compute", "good", http("POST", "/chunks", json_object({**task, "block": json_text(_LEAVES[0])}))),
        Case("ingest", "good", http("POST", "/expand", json_object({**task, "block": json_text(_GRID)}))),
    ]
    for kind in _OTHER_KINDS:
        run = {**_run(_GRID), "kind": json_text(kind.value), "options": json_object(_options(kind))}
        body = json_object({"run": json_object(run), "part": b"0", "block": json_text(_LEAVES[0])})
        cases.append(Case("compute", "good", http("POST", path_of(LEAF_PATH, kind), body)))
    return cases
