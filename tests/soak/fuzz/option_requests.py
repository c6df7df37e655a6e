"""Requests to the look-up function with all that it can be asked beside attributes: states, totals, waiting, tables."""

from __future__ import annotations

import json
from random import Random
from urllib.parse import quote

from tests.soak.fuzz.case import Case, http
from tests.soak.fuzz.lookup_requests import PATH, authorized, id_fields, json_object_of
from tests.soak.fuzz.values import TEXTS, altered, json_value, mutated
from tests.support.graph.small import node_id

_TABLE = PATH.rpartition("/")[0]
STATUS_PATH, TOTALS_PATH = f"{_TABLE}/status", f"{_TABLE}/totals"
_ROOTS = [node_id(3, (0, 0, 0), segment) for segment in range(1, 8)]
_NO_ROOTS = [0, 2**64 - 1, node_id(2, (0, 0, 0), 1), node_id(1, (0, 0, 0), 1), node_id(3, (0, 0, 0), 0)]
_BOUNDS = ("[[0, 0, 0], [1e6, 1e6, 1e6]]", "[[1600, 800, 0], [1700, 900, 100]]", "null", "[[0, 0, 0], [1, 1, 1]]")
_ODD_BOUNDS = (
    "[[1, 1, 1], [0, 0, 0]]",
    "[[0, 0], [1, 1]]",
    "[[NaN, 0, 0], [1, 1, 1]]",
    "[[-1e400, 0, 0], [1e400, 1, 1]]",
)
_WAITS = ("0", "0.01", "-0", "-1", "31", "nan", "inf", "1e-400", "1e999", "", " ", "٣", "0.01,5", "9" * 400, "0x1", "ü")
_PREFERENCES = (
    "wait",
    "wait=0",
    "wait=0.01",
    "wait=-1",
    "wait=nan",
    "wait=٣",
    "wait=0;x",
    "respond-async",
    'wait="0"',
    ",;=",
)
_FORMATS = ("json", "arrow", "csv", "CSV ", "parquet", "", "arrow,csv", "\0", "ü" * 300)
_ACCEPTED = (
    *(
        "application/vnd.apache.arrow.stream",
        "text/csv",
        "application/json",
        "*/*",
        "text/*;q=0.3",
        "a/b;q=nan",
        ",;q=,",
    ),
    *("application/vnd.apache.arrow.stream;q=1e999", "text/csv;q=-1", "application/json;q=0, text/csv", "x" * 5000),
)
_ENCODINGS = ("zstd", "lz4", "gzip", "zstd;q=0", "lz4;q=nan", "gzip, zstd, lz4;q=1e999", "*", "identity;q=0", ";=,")


def _fields(chance: Random) -> dict[str, bytes]:
    roots = chance.choices(_ROOTS + _NO_ROOTS, k=chance.randrange(1, 8))
    fields = {"node_ids": json.dumps(roots if chance.random() < 0.7 else list(map(str, roots))).encode()}
    if chance.random() < 0.4:
        fields["bounds"] = chance.choice([*_BOUNDS, *_ODD_BOUNDS]).encode()
    return fields


def _body(chance: Random, path: str) -> bytes:
    """A good one of a route."""
    return b'{"node_ids": %s}' % _fields(chance)["node_ids"] if path == TOTALS_PATH else json_object_of(chance)


def _query(chance: Random, **values: tuple[str, ...]) -> str:
    """Some of these parameters, each with one of its values."""
    names = chance.sample(sorted(values), chance.randrange(len(values) + 1))
    return "&".join(f"{name}={quote(chance.choice(values[name]))}" for name in names)


def totals(chance: Random) -> Case:
    """Roots and boxes of every shape."""
    fields = _fields(chance)
    own = {"bounds": [text.encode() for text in _ODD_BOUNDS]}
    body = altered(chance, fields, own) if chance.random() < 0.7 else json_value(chance)
    if chance.random() < 0.3:
        body = mutated(chance, body)
    query = _query(chance, int64_as_str=("true", "x"), update_cache=("false", "0"), format=_FORMATS, bounds=("1",))
    away = chance.sample(("store", "graph", "bus"), chance.randrange(1, 4)) if chance.random() < 0.2 else ()
    return Case("lookup", "totals", http("POST", f"{TOTALS_PATH}?{query}", body, authorized()), frozenset(away))


def states(chance: Random) -> Case:
    """Ids of every kind, and whether all are listed."""
    body = altered(chance, id_fields(chance))
    query = _query(chance, all=("true", "FALSE", "2"), update_cache=("true", "0"), All=("1",), format=("arrow",))
    away = chance.sample(("store", "graph", "bus"), chance.randrange(1, 4)) if chance.random() < 0.2 else ()
    return Case("lookup", "states", http("POST", f"{STATUS_PATH}?{query}", body, authorized()), frozenset(away))


def waits(chance: Random) -> Case:
    """Seconds to wait of every shape, none of them long."""
    path = chance.choice([PATH, STATUS_PATH, TOTALS_PATH])
    query = _query(chance, wait=_WAITS, Wait=("0",), update_cache=("false",))
    texts = tuple(text for text in TEXTS if text.isprintable() and len(text) < 3000 and not text.isdecimal())
    prefer = [("Prefer", chance.choice(_PREFERENCES + texts)) for _ in range(chance.randrange(3))]
    return Case("lookup", "waits", http("POST", f"{path}?{query}", _body(chance, path), authorized(*prefer)))


def forms(chance: Random) -> Case:
    """Answers in every form, accepted and packed in every way."""
    path = chance.choice([PATH, STATUS_PATH, TOTALS_PATH])
    query = _query(chance, format=_FORMATS, attribute_names=("pca,size_nm3", "pca"), int64_as_str=("1",))
    accepted = [("Accept", chance.choice(_ACCEPTED)) for _ in range(chance.randrange(3))]
    encoding = [("Accept-Encoding", chance.choice(_ENCODINGS)) for _ in range(chance.randrange(2))]
    raw = http("POST", f"{path}?{query}", _body(chance, path), authorized(*accepted, *encoding))
    return Case("lookup", "forms", raw)


def good() -> list[Case]:
    """What succeeds: each route in each form that it has."""
    chance = Random(0)
    wanted = [
        (STATUS_PATH, "wait=0.01"),
        *((path, f"format={form}") for path in (PATH, TOTALS_PATH) for form in _FORMATS[:3]),
    ]
    return [
        Case("lookup", "good", http("POST", f"{path}?{query}", _body(chance, path), authorized()))
        for path, query in wanted
    ]
