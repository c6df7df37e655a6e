"""Requests to the look-up function, malformed in every part."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from urllib.parse import quote

from tests.soak.fuzz.case import Case, chunked, http
from tests.soak.fuzz.values import TEXTS, altered, json_text, json_value, mutated
from tests.support.graph.small import GRAPH_ID, node_id

TOKEN = "fuzz-token-that-is-in-no-log"  # noqa: S105  # of nobody
PATH = f"/l2cache/api/v1/table/{GRAPH_ID}/attributes"
_KNOWN = [node_id(2, chunk, segment) for chunk in ((0, 0, 0), (1, 1, 1), (2, 1, 0)) for segment in range(1, 6)]
_ODD = [0, 1, 2**64 - 1, 2**63, node_id(1, (0, 0, 0), 1), node_id(3, (0, 0, 0), 1), node_id(2, (200, 0, 0), 1)]
_NAMES = ("size_nm3", "area_nm2", "pca", "rep_coord_nm,pca_val", " mean_dt_nm ")
_METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND", "POST")
_NEIGHBOURS = ("store", "graph", "bus")


def id_fields(chance: Random) -> dict[str, bytes]:
    """Of a good body: JSON by name."""
    ids = chance.choices(_KNOWN + _ODD, k=chance.randrange(1, 12))
    fields = {"l2_ids": json.dumps(ids if chance.random() < 0.7 else list(map(str, ids))).encode()}
    if chance.random() < 0.2:
        fields["attribute_names"] = json_text(chance.choice(_NAMES))
    return fields


def authorized(*headers: tuple[str, str | bytes]) -> list[tuple[str, str | bytes]]:
    """Headers with a token before them."""
    return [("Authorization", f"Bearer {TOKEN}"), *headers]


def _case(kind: str, raw: bytes, away: Sequence[str] = (), **fields: object) -> Case:
    return Case("lookup", kind, raw, frozenset(away), **fields)  # type: ignore[arg-type]


def bodies(chance: Random) -> Case:
    """JSON of every shape."""
    fields = id_fields(chance)
    body = altered(chance, fields) if chance.random() < 0.6 else json_value(chance)
    if chance.random() < 0.4:
        body = mutated(chance, body)
    return _case("bodies", http("POST", PATH, body, authorized()))


def raw_ids(chance: Random) -> Case:
    """Bodies of raw ids, whole and not."""
    ids = b"".join(i.to_bytes(8, "little") for i in chance.choices(_KNOWN + _ODD, k=chance.randrange(20)))
    body = ids if chance.random() < 0.5 else mutated(chance, ids)
    kind = chance.choice(["application/octet-stream", "application/OCTET-stream ; x=1", "application/octet-stream,a"])
    return _case("raw ids", http("POST", PATH, body, authorized(("Content-Type", kind))))


def many_ids(chance: Random) -> Case:
    """As many ids as are allowed, and a few more."""
    count = chance.choice([1, 500, 99_999, 100_000, 100_001, 2_100_000])
    if chance.random() < 0.8:
        count = chance.randrange(2, 2000)
    first = node_id(2, (0, 0, 0), 1)
    body = b"".join((first + i % 65_000).to_bytes(8, "little") for i in range(count))
    return _case(
        "many ids", http("POST", PATH, body, authorized(("Content-Type", "application/octet-stream"))), ("bus",)
    )


def queries(chance: Random) -> Case:
    """Query strings."""
    names = ("attribute_names", "int64_as_str", "update_cache", "middle_auth_token", "token", "x", "")
    values = (*_NAMES, *TEXTS[:-3], "true", "FALSE", " 1 ")
    parts = []
    for _ in range(chance.randrange(1, 5)):
        value = chance.choice(values)[:2000].encode("utf-8", "surrogatepass")
        written = quote(value) if chance.random() < 0.7 else value.decode("latin-1").translate({13: None, 10: None})
        parts.append(f"{chance.choice(names)}{chance.choice(['=', '=', '', '==', '%'])}{written}")
    query = chance.choice(["&", "&", ";", "&&", "?"]).join(parts).replace(" ", "%20").replace("\0", "%00")
    return _case("queries", http("POST", f"{PATH}?{query}", json_object_of(chance), authorized()))


def json_object_of(chance: Random) -> bytes:
    """A good body."""
    return b'{"l2_ids": ' + id_fields(chance)["l2_ids"] + b"}"


def headers(chance: Random) -> Case:
    """Headers of every name that somebody reads."""
    names = (
        *("Content-Type", "Content-Encoding", "Accept-Encoding", "Accept", "Origin", "Cookie", "Authorization"),
        *("X-Forwarded-For", "traceparent", "X-Cloud-Trace-Context", "Function-Execution-Id", "X-Requested-With"),
        *("Access-Control-Request-Method", "Access-Control-Request-Headers", "Range", "If-None-Match", "Expect"),
        *(
            "X-HTTP-Method-Override",
            "Transfer-Encoding",
            "Upgrade",
            "Host",
            "X-Original-URL",
            "Forwarded",
            "User-Agent",
        ),
    )
    values = (
        *("gzip", "gzip;q=0", "gzip;q=nan", "gzip;q=1e999", "*;q=-1", "br, gzip;;q=,", "identity", "x-gzip", "GZIP "),
        *("application/json", "text/plain; charset=utf-16", "multipart/form-data", "multipart/form-data; boundary=x"),
        *("application/x-www-form-urlencoded", "a/b;" * 50, "Bearer ", "Bearer a b", "bearer ü", "Basic YTpi", "é"),
        *("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "105445aa7843bc8bf206b12000100000/1;o=1"),
        *("bytes=0-1", "100-continue", "http://x.org", "null", "*", "a=b; middle_auth_token=" + "x" * 300, "\x80\xff"),
        *(text for text in TEXTS if "\r" not in text and "\0" not in text and "\ud800" not in text),
    )
    chosen = [(chance.choice(names), chance.choice(values)[:7000]) for _ in range(chance.randrange(1, 5))]
    base = authorized() if chance.random() < 0.8 else []
    method = "OPTIONS" if chance.random() < 0.1 else "POST"
    body = json_object_of(chance)
    return _case("headers", http(method, PATH, body, [*base, *chosen]))


def encodings(chance: Random) -> Case:
    """Packed bodies: whole, damaged, of more than is allowed, and such that only say that they are."""
    body = json_object_of(chance) if chance.random() < 0.9 else b"0" * 20_000_000
    packed = gzip.compress(body, 6)
    body = chance.choice([packed, packed, packed + packed, mutated(chance, packed), zlib.compress(body), body])
    name = chance.choice(
        ["gzip", "gzip", "gzip", "x-gzip", " GZip", "deflate", "br", "gzip, gzip", "identity", "", "ü"]
    )
    return _case("encodings", http("POST", PATH, body, authorized(("Content-Encoding", name))))


def framing(chance: Random) -> Case:
    """Bodies in pieces, and with lengths that are not theirs."""
    body = json_object_of(chance)
    length = chance.choice([str(len(body) + chance.choice([1, 1000, 10**9])), "0", str(max(0, len(body) - 3))])
    if chance.random() < 0.3:
        return _case("framing", http("POST", PATH, body, authorized(("Content-Length", length))))
    framed = chunked(body, chance.choice([1, 7, 1000]))
    if chance.random() < 0.8:
        framed = mutated(chance, framed, chance.choice([1, 2]))
    return _case("framing", http("POST", PATH, headers=authorized(("Transfer-Encoding", "chunked")), framed=framed))


def paths(chance: Random) -> Case:
    """Paths and methods; none that the framework keeps to itself, see `framework_paths`."""
    names = (GRAPH_ID, "nope", "", "..", "%2e%2e", "%00", "%ff", "ü", "a" * 5000, "small/", "*", "{}", "%")
    targets = (
        *("/", "//", "/l2cache", "/l2cache/", "/l2cache//", "/l2cache/api/v1", "/l2cache/api/v1/", "/l2cache/index"),
        *("/l2cache/api/v1/attribute_metadata", "/l2cache/api/v1/table_mapping", "/healthz", "/healthz/", "/robots"),
        *("/favicon", "/static/x", "/l2cache/api/v1/table/", "/L2CACHE/api/v1/", "*"),
        *(f"/l2cache/api/v1/table/{name}/attributes" for name in names),
        *(f"/l2cache/api/v1/table/{name}/attributes/" for name in names[:4]),
        *(f"/l2cache/api/v1/{name}" for name in names),
    )
    target = chance.choice(targets)
    if chance.random() < 0.2:
        target = mutated(chance, target.encode("utf-8"), 1).decode("latin-1").translate({13: None, 10: None, 32: None})
        target = target.replace("%0a", "")
    return _case("paths", http(chance.choice(_METHODS), target, json_object_of(chance), authorized()))


def framework_paths(chance: Random) -> Case:
    """Paths that functions-framework does not hand to a function by itself."""
    function = chance.choice(["lookup", "compute", "ingest"])
    target = chance.choice(
        ["/robots.txt", "/favicon.ico", "/%0a", f"{PATH}%0a", "/a%0ab", "/status%0A", "/%0d%0aX:%20y", "http://other"]
    )
    return Case(function, "framework paths", http(chance.choice(["GET", "POST", "DELETE"]), target))


def away(chance: Random) -> Case:
    """Good requests while a neighbour is away."""
    raw = http("POST", PATH, json_object_of(chance), authorized())
    return _case("away", raw, chance.sample(_NEIGHBOURS, chance.randrange(1, 4)))


def permissions(chance: Random) -> Case:
    """Answers of the authentication service."""
    fields = {
        "id": b"7",
        "name": b'"A"',
        "admin": b"false",
        "groups": b"[]",
        "service_account": b"false",
        "permissions_v2": b'{"small": ["view"]}',
        "missing_tos": b"[]",
    }
    own = {
        "permissions_v2": [
            b"null",
            b"[]",
            b"{}",
            b'{"small": null}',
            b'{"small": "view"}',
            b'{"small": 1}',
            b'"small"',
        ],
        "missing_tos": [b"null", b'[{"dataset_name": "small"}]', b"{}", b"[1]", b'"x"'],
    }
    body = altered(chance, fields, own) if chance.random() < 0.5 else json_value(chance)
    if chance.random() < 0.2:
        body = mutated(chance, body)
    status = 200 if chance.random() < 0.8 else chance.choice([201, 204, 400, 401, 403, 404, 418, 429, 500, 502, 503])
    token = f"{TOKEN}-{chance.randrange(10**9)}"
    raw = http("POST", PATH, json_object_of(chance), [("Authorization", f"Bearer {token}")])
    return _case("permissions", raw, permissions=(status, body))


def good() -> list[Case]:
    """A look-up that succeeds."""
    return [_case("good", http("POST", PATH, json_object_of(Random(0)), authorized()))]


def recorded(folder: Path) -> Callable[[Random], Case]:
    """Mutations of the exchanges in the recorded data."""
    exchanges = json.loads((folder / "http" / "l2cache_requests.json").read_text())

    def make(chance: Random) -> Case:
        request = chance.choice(exchanges)["request"]
        body = request["body"] or {"text": ""}
        data = base64.b64decode(body["base64"]) if "base64" in body else body["text"].encode()
        own = [(name, value) for name, value in request["headers"].items() if name != "Content-Length"]
        raw = http(request["method"], request["path"].replace("rig_graph", GRAPH_ID), data, authorized(*own))
        head, _, rest = raw.partition(b"\r\n\r\n")
        rest = mutated(chance, rest)
        head = head.replace(b"Content-Length: %d" % len(data), b"Content-Length: %d" % len(rest))
        return _case("recorded requests", head + b"\r\n\r\n" + rest)

    return make
