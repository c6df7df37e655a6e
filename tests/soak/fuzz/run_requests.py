"""Requests about audits, exports and imports, malformed in every part, and views of what they have done."""

from __future__ import annotations

from random import Random
from urllib.parse import quote

from tests.soak.fuzz.case import Case, http
from tests.soak.fuzz.exports import EXPORTS, FORGED, FRESH, READY, manifest_fields
from tests.soak.fuzz.ingest_requests import RUNS, good_fields, post
from tests.soak.fuzz.values import NUMBERS, TEXTS, altered, json_object, json_text, json_value, mutated
from tests.support.graph.small import GRAPH_ID

_FOLDERS = (
    *(FRESH, READY, FORGED, EXPORTS, f"{EXPORTS}/", f"{EXPORTS}//ready/", f"{EXPORTS}/../etc", f"{EXPORTS}/./ready"),
    *("file:///etc", "file://exports/ready", "gs://exports/ready", "gs://../x", "/exports/ready", "s3://b/x", "file:"),
    *(f"{EXPORTS}x/ready", f"{EXPORTS}/a\0b", f"{EXPORTS}/a\r\nb", f"{EXPORTS}/{'y' * 2000}", f"{EXPORTS}/\ud800"),
)
_ATTRIBUTES = ("", ",", "size_nm3", "size_nm3,size_nm3", "nope", " pca , size_nm3 ", "size_nm3,\0", "mean_dt_nm," * 500)
_MOST = [number.encode() for number in (str(10**9), str(10**9 + 1), str(2**53), "true", "null", '"5"', '"٣"')]
_WHOLE = [number.encode() for number in NUMBERS] + _MOST


def audits(chance: Random) -> Case:
    """Audits and their plans."""
    own = {"repair": [b"true", b"1", b"null"], "verify": _WHOLE, "concurrency": _WHOLE}
    return _started(chance, "audits", "audit", own)


def exports(chance: Random) -> Case:
    """Exports and their plans."""
    own = {
        "destination": [json_text(folder) for folder in _FOLDERS],
        "attributes": [json_text(names) for names in _ATTRIBUTES],
        "timestamp": [b"null", json_text("2999-01-01"), json_text("0001-01-01")],
        "concurrency": _WHOLE,
    }
    return _started(chance, "exports", "export", own)


def imports(chance: Random) -> Case:
    """Imports and their plans."""
    own = {"source": [json_text(folder) for folder in _FOLDERS], "create": [b"false", b"null", b"0"]}
    return _started(chance, "imports", "import", own)


def _started(chance: Random, kind: str, operation: str, own: dict[str, list[bytes]]) -> Case:
    """A start or a plan; sometimes a run of that kind is cancelled, that another can be started."""
    if chance.random() < 0.1:
        run = chance.choice([run for run in RUNS if run.startswith(operation)])
        document = {"dataset": json_text(GRAPH_ID), "run": json_text(run)}
        return Case("ingest", kind, post(chance.choice(["cancel", "status", "retry"]), json_object(document), False))
    name = chance.choice([operation, f"plan_{operation}"])
    fields = good_fields(name)
    body = json_object(fields) if chance.random() < 0.2 else altered(chance, fields, own)
    if chance.random() < 0.1:
        body = mutated(chance, body)
    away = frozenset(chance.sample(["store", "graph", "queue", "folder"], 1) if chance.random() < 0.1 else ())
    return Case("ingest", kind, post(name, body, chance.random() < 0.2), away)


def manifests(chance: Random) -> Case:
    """Imports of what says that it is an export."""
    numbers = [number.encode() for number in NUMBERS]
    tree = {"block": b'"0_0_0-3_2_3"', "leaf_chunks": b"2", "unit": b"[1, 1, 1]"}
    own_tree = {
        "block": [json_text(run.partition("-")[2]) for run in RUNS[:5]]
        + [b'"0_0_0-262144_262144_262144"', b'"9_9_9-10_10_10"'],
        "leaf_chunks": numbers,
        "unit": [b"[0, 1, 1]", b"[9007199254740992, 1, 1]", b"[1e400, 1, 1]", b"[1, 1]", b"{}"],
    }
    file = {"name": b'"0_0_0-3_2_3.parquet"', "rows": b"8", "bytes": b"5000", "sha256": b'"0"'}
    own_file = {"rows": numbers, "bytes": numbers, "name": [b'"../x"', b'""', json_text(TEXTS[-8])]}
    own = {
        "form_version": [b"2", b"true", b"1.0"],
        "table_timestamp": [b'"226-01-01"', b'"0001-01-01T00:00:00+23:59"', b"null", b'"9999-12-31T23:59:59-23:59"'],
        "grid": [b"[]", b"null", b"{}", b"[[1]]", b'{"layer_bits": 1e400}'],
        "attributes": [b'["nope"]', b"[]", b"null", b"[[]]", b'[{"a": 1}]', json_text(TEXTS[-9])],
        "whole_rows": [b"false", b"1", b"null"],
        "tree": [altered(chance, tree, own_tree) for _ in range(3)],
        "files": [b"[" + altered(chance, file, own_file) + b"]" for _ in range(3)] + [b"{}", b"null", b"[1]"],
        "failed": [b"[{}]", b"[[]]", b'[{"block": [[]], "reason": {}}]', b"null"],
    }
    manifest = altered(chance, manifest_fields(), own)
    if chance.random() < 0.2:
        manifest = mutated(chance, manifest) if chance.random() < 0.8 else json_value(chance)
    name = chance.choice(["import", "plan_import", "plan_import"])
    body = json_object({**good_fields(name), "source": json_text(FORGED)})
    return Case("ingest", "manifests", post(name, body, False), manifest=manifest or b" ")


def views(chance: Random) -> Case:
    """What pages and people look at, in bodies and queries."""
    name = chance.choice(["coverage", "map", "pace", "overview", "status", "failed"])
    fields = good_fields(name) | ({} if name == "overview" else {"run": b"null"})
    if name == "coverage":
        fields |= {"limit": b"2", "after": json_text(f"{chance.choice(RUNS)}/0_0_0-1_1_2")}
    own = {"run": [json_text(run) for run in RUNS]} | dict.fromkeys(
        ("cells", "steps", "generation", "newest", "limit"), _WHOLE
    )
    if chance.random() < 0.5:
        return Case("ingest", "views", post(name, altered(chance, fields, own), chance.random() < 0.2))
    values = (*NUMBERS, *RUNS, "true", "²", "", "%00", "x" * 3000)
    parts = [f"{field}={quote(chance.choice(values), errors='replace')}" for field in fields if field != "dataset"]
    query = "&".join(
        [*([] if name == "overview" else [f"dataset={GRAPH_ID}"]), *chance.sample(parts, len(parts) and 1)]
    )
    return Case("ingest", "views", http("GET", f"/{name}?{query}"))
