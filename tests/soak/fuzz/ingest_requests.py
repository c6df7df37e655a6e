"""Requests of operators to the ingest function, malformed in every part."""

from __future__ import annotations

from random import Random
from urllib.parse import quote

from shared.ingest.control.operations import OPERATIONS as KNOWN_OPERATIONS
from tests.soak.fuzz.case import Case, chunked, http
from tests.soak.fuzz.exports import FRESH, READY, STARTED_S
from tests.soak.fuzz.values import NUMBERS, TEXTS, altered, json_object, json_text, json_value, mutated
from tests.support.graph.small import GRAPH_ID

OPERATIONS = tuple(operation.name for operation in KNOWN_OPERATIONS)
MOMENTS = (
    *("2026-06-01 00:00:00", "2026-06-01T00:00:00Z", "2026-06-01", "2026-06-01 00:00:00.999999+14:00", "2026-W23-1"),
    *("0226-06-01 00:00:00", "0001-01-01T00:00:00+23:59", "0001-01-01", "9999-12-31T23:59:59-23:59", "9999-12-31"),
    *("1969-12-31 23:59:59", "1970-01-01", "1999-12-31 23:59:59", "2000-01-01", "2999-01-01", "2026-02-30", "20260601"),
    *("2026-06-01T24:00:00", "2026-06-01T00:00:60", "٢٠٢٦-٠٦-٠١", "2026-06-01 00:00:00+25:00", "-001-01-01", "now"),
)
NEIGHBOURS = ("store", "graph", "queue", "folder")
_BLOCKS = ("0_0_0-3_2_3", "0_0_0-1_1_1", "9" * 4000 + "_0_0-1_1_1", "0_0_0-0_0_0", "1_1_1-0_0_0")
_KINDS = ("", *(f"{kind}-{int(STARTED_S * 1000)}-" for kind in ("audit", "export", "import", "nope")))
RUNS = tuple(
    f"{kind}{moment}-{block}" for kind in _KINDS for moment in ("20260601T000000", "226", "") for block in _BLOCKS
)


_FURTHER = {
    "plan": {"create": b"true"},
    "start": {"create": b"true"},
    "audit": {"repair": b"false", "verify": b"3"},
    "export": {"destination": json_text(FRESH), "attributes": json_text("size_nm3,pca")},
    "import": {"source": json_text(READY), "create": b"true"},
    "map": {"cells": b"3"},
    "pace": {"generation": b"0", "steps": b"5"},
}


def good_fields(operation: str) -> dict[str, bytes]:
    """Fields of a good document."""
    fields = {"dataset": json_text(GRAPH_ID)}
    if operation in ("plan", "start", "audit", "plan_audit", "export", "plan_export"):
        fields |= {
            "timestamp": json_text(MOMENTS[0]),
            "bounding_box": b"[[100, 50, 0], [123, 64, 12]]",
            "unit": b'"voxels"',
            "test": b"false",
        }
    fields |= dict(_FURTHER.get(operation.removeprefix("plan_"), {}))
    if operation.startswith("plan"):
        fields["concurrency"] = b"1000"
    if operation == "start":
        fields["resume"] = b"false"
    if operation == "overview":
        fields = {"newest": b"2"}
    if operation == "failed":
        fields |= {"limit": b"10", "after": b'"0_0_0-1_1_1.0"'}
    return fields


def post(operation: str, body: bytes, at_root: bool) -> bytes:
    if at_root and body.startswith(b"{"):
        more = b", " + body[1:] if body.strip() != b"{}" else b"}"
        return http("POST", "/", b'{"operation": ' + json_text(operation) + more, {"Content-Type": "application/json"})
    return http("POST", f"/{operation}", body, {"Content-Type": "application/json"})


def operations(chance: Random) -> Case:
    """Operations, with any JSON in their fields but for those that have a kind of their own."""
    operation = chance.choice(OPERATIONS)
    keep = {name: value for name, value in good_fields(operation).items() if name in ("timestamp", "concurrency")}
    fields = {name: value for name, value in good_fields(operation).items() if name not in (*keep, "limit", "after")}
    own = {
        "dataset": [json_text(text) for text in (GRAPH_ID, "", "nope", "small ", "__proto__")],
        "run": [json_text(text) for text in RUNS],
        "resume": [b"true", b"false", b"1", b"null", b'"true"'],
        "unit": [b'"nm"', b'"voxels"', b'"NM"', b"[]", b"{}", b"[[]]", b"null", b"1"],
        "test": [b"true", b"false", b"0", b"null"],
        "create": [b"true", b"false", b"0", b"null"],
    }
    if operation in ("status", "failed", "retry", "fill", "cancel", "map", "pace") and chance.random() < 0.4:
        fields["run"] = b"null"
    body = altered(chance, fields, own)
    if keep:
        body = json_object(keep)[:-1] + b", " + body[1:] if body != b"{}" else json_object(keep)
    if chance.random() < 0.25:
        body = mutated(chance, body) if chance.random() < 0.7 else json_value(chance)
    if b"timestamp" not in body and operation == "start" and b"resume" not in body:
        operation = "plan"  # every start of now would be a run of its own
    return Case("ingest", "operations", post(operation, body, chance.random() < 0.3))


def moments(chance: Random) -> Case:
    """Starts and plans at every moment."""
    operation = chance.choice(["plan", "start"])
    text = chance.choice(MOMENTS)
    if chance.random() < 0.3:
        text = mutated(chance, text.encode(), 1).decode("latin-1")
    fields = {"dataset": json_text(GRAPH_ID), "timestamp": json_text(text)}
    if chance.random() < 0.3:
        fields["timestamp"] = json_value(chance)
    return Case("ingest", "moments", post(operation, json_object(fields), chance.random() < 0.3))


def boxes(chance: Random) -> Case:
    """Bounding boxes of every size and form."""
    corners = [[chance.choice([*NUMBERS, "0", "100", "123", "64"]) for _ in range(3)] for _ in range(2)]
    box = "[" + ", ".join("[" + ", ".join(corner) + "]" for corner in corners) + "]"
    fields = {
        "dataset": json_text(GRAPH_ID),
        "timestamp": json_text(MOMENTS[0]),
        "bounding_box": box.encode() if chance.random() < 0.7 else json_value(chance),
        "unit": chance.choice([b'"voxels"', b'"nm"']),
    }
    return Case("ingest", "boxes", post(chance.choice(["plan", "start"]), json_object(fields), False))


def numbers(chance: Random) -> Case:
    """Fields that are whole numbers, in bodies and in queries, and what names the next page."""
    number = chance.choice([*NUMBERS, *(text for text in TEXTS if len(text) < 6000)])
    after = f"{chance.choice(_BLOCKS)}.{number}" if chance.random() < 0.6 else chance.choice(TEXTS)[:6000]
    if chance.random() < 0.3:
        written = chance.choice([number.encode("utf-8", "replace"), json_text(number)])
        fields = {"dataset": json_text(GRAPH_ID), "timestamp": json_text(MOMENTS[0]), "concurrency": written}
        return Case("ingest", "numbers", post("plan", json_object(fields), False))
    if chance.random() < 0.5:
        query = f"dataset={GRAPH_ID}&limit={quote(number, errors='replace')}&after={quote(after, errors='replace')}"
        return Case("ingest", "numbers", http("GET", f"/failed?{query}"))
    fields = {"dataset": json_text(GRAPH_ID), "limit": chance.choice([b"5", json_text(number)])}
    return Case("ingest", "numbers", post("failed", json_object({**fields, "after": json_text(after)}), False))


def queries(chance: Random) -> Case:
    """Paths, methods and query strings."""
    paths = (*OPERATIONS, "", "expand", "healthz", "nope", "status/", "/status", "STATUS", "start%00", "..%2f", "%ff")
    names = ("dataset", "run", "x", "operation", "dataset[]", "")
    parts = [
        f"{chance.choice(names)}={quote(chance.choice([GRAPH_ID, *TEXTS[:-6]]), errors='replace')}" for _ in range(3)
    ]
    if chance.random() < 0.5:
        parts.insert(0, f"dataset={GRAPH_ID}")
    method = chance.choice(["GET", "GET", "POST", "HEAD", "PUT", "OPTIONS", "DELETE", "TRACE"])
    target = f"/{chance.choice(paths)}?{'&'.join(parts[: chance.randrange(4)])}"
    return Case("ingest", "queries", http(method, target))


def framing(chance: Random) -> Case:
    """Bodies in pieces, packed, and with lengths that are not theirs."""
    body = json_object(good_fields("status"))
    headers = {"Transfer-Encoding": "chunked", "Content-Encoding": chance.choice(["", "gzip", "br"])}
    framed = mutated(chance, chunked(body, chance.choice([1, 9, 100])), chance.choice([1, 2]))
    return Case("ingest", "framing", http("POST", "/status", headers=headers, framed=framed))


def away(chance: Random) -> Case:
    """Good requests while a neighbour is away."""
    operation = chance.choice(OPERATIONS)
    fields = good_fields(operation)
    fields.pop("after", None)
    gone = frozenset(chance.sample(NEIGHBOURS, chance.randrange(1, 4)))
    return Case("ingest", "away", post(operation, json_object(fields), False), gone)


def good() -> list[Case]:
    """Operations that succeed, in this order."""
    names = ("plan", "start", "status", "runs", "cancel", "plan_audit", "audit", "coverage", "map", "pace", "overview")
    names = (*names, "plan_export", "export", "plan_import", "import")
    return [Case("ingest", "good", post(name, json_object(good_fields(name)), False)) for name in names]
