"""Messages of the bus: envelopes, attributes and data, malformed in every part."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random

from shared.messages.cloud_events import PUBSUB_EVENT_TYPE
from tests.soak.fuzz import pickles
from tests.soak.fuzz.case import Case, chunked, http
from tests.soak.fuzz.values import TEXTS, altered, json_object, json_text, json_value, mutated
from tests.support.graph.small import GRAPH_ID, TABLE_ID, node_id

EDIT, MISS = {"table_id": GRAPH_ID, "user_id": "0"}, {"table_id": GRAPH_ID, "l2_cache_id": TABLE_ID}
NEIGHBOURS = ("store", "graph", "volume", "bus")
_IDS = [node_id(2, chunk, segment) for chunk in ((0, 0, 0), (1, 1, 1), (2, 1, 2)) for segment in (1, 2, 30)]
_ODD_IDS = [0, 1, 2**64 - 1, node_id(1, (0, 0, 0), 1), node_id(2, (250, 0, 0), 1)]
_MESSAGE_TYPE = "application/json"
_STRUCTURED = "application/cloudevents+json; charset=UTF-8"


def _delivery(attributes: Mapping[str, str], data: bytes, attempt: int = 1) -> dict[str, bytes]:
    """The fields of a push body."""
    message = {"attributes": dict(attributes), "messageId": "7", "data": base64.b64encode(data).decode()}
    return {
        "message": json.dumps(message).encode(),
        "subscription": b'"projects/p/subscriptions/s"',
        "deliveryAttempt": str(attempt).encode(),
    }


def _event() -> dict[str, bytes]:
    return {
        "specversion": b'"1.0"',
        "type": json_text(PUBSUB_EVENT_TYPE),
        "id": b'"7"',
        "source": b'"//pubsub/topics/t"',
        "datacontenttype": b'"application/json"',
    }


def _pushed(kind: str, attributes: Mapping[str, str], data: bytes, chance: Random, away: tuple[str, ...] = ()) -> Case:
    """A delivery of a message, in one of the three envelopes."""
    attempt = chance.choice([1, 1, 1, 4, 5, 30])
    raw = _enveloped(
        json_object(_delivery(attributes, data, attempt)), chance.choice(["plain", "binary", "structured"])
    )
    return Case("compute", kind, raw, frozenset(away))


def _enveloped(delivery: bytes, mode: str) -> bytes:
    if mode == "structured":
        return http("POST", "/", json_object({**_event(), "data": delivery}), {"Content-Type": _STRUCTURED})
    headers = {"Content-Type": _MESSAGE_TYPE}
    if mode == "binary":
        headers |= {f"ce-{name}": json.loads(value) for name, value in _event().items()}
    return http("POST", "/", delivery, headers)


def envelopes(chance: Random) -> Case:
    """What is around a good message."""
    misses = b"".join(i.to_bytes(8, "little") for i in chance.choices(_IDS, k=2))
    message = {
        "attributes": json.dumps(MISS).encode(),
        "messageId": b'"7"',
        "message_id": b'"7"',
        "data": json_text(base64.b64encode(misses).decode()),
        "publishTime": b'"2026-06-01T00:00:00Z"',
    }
    own = {
        "attributes": [b"null", b"[]", b'{"table_id": 7}', b'{"table_id": null}', b'{"": ""}', b'{"a": {"b": "c"}}'],
        "data": [b'"%%%"', b'"YQ"', b'"YQ=="', b'"YWJj\\n"', b"7", b'"' + b"A" * 40_000 + b'"', '"ü"'.encode()],
        "messageId": [b"7", b"null", b"[]", b"{}", json_text("x" * 10_000)],
        "message": [b"null", b"[]", b'"x"', b"{}"],
        "deliveryAttempt": [b"0", b"-1", b"1e300", b'"5"', b"null", b"true", b"9" * 400, b"NaN"],
        "specversion": [b'"0.3"', b"1.0", b"null", b'"1.1"'],
        "type": [b'"x"', b"null", b"[]"],
        "data_base64": [b'"%"', b'"e30="', b"7", b"null"],
    }
    body = {**_delivery(MISS, misses), "message": altered(chance, message, own)}
    delivery = altered(chance, body, own) if chance.random() < 0.4 else json_object(body)
    mode = chance.choice(["plain", "binary", "structured"])
    if mode == "structured":
        event = {**_event(), "data": delivery}
        if chance.random() < 0.5:
            event["data_base64"] = json_text(base64.b64encode(delivery).decode())
        body_bytes = altered(chance, event, own)
        raw = http("POST", chance.choice(["/", "/x", "//", "/healthz"]), body_bytes, {"Content-Type": _STRUCTURED})
        return Case("compute", "envelopes", raw)
    if chance.random() < 0.3:
        delivery = mutated(chance, delivery) if chance.random() < 0.7 else json_value(chance)
    return Case("compute", "envelopes", _enveloped(delivery, mode))


def edit_pickles(canary: str) -> Callable[[Random], Case]:
    """Edits as pickles; one that is executed makes the file `canary`."""

    def make(chance: Random) -> Case:
        return _pushed("edit pickles", EDIT, pickles.make(chance, canary), chance)

    return make


def edit_json(chance: Random) -> Case:
    """Edits as JSON."""
    fields = {
        "operation_id": b"1",
        "new_lvl2_ids": json.dumps(chance.choices(_IDS + _ODD_IDS, k=3)).encode(),
        "new_root_ids": b"[]",
        "old_root_ids": b"[]",
    }
    body = altered(chance, fields)
    if chance.random() < 0.3:
        body = mutated(chance, body)
    return _pushed("edit JSON", EDIT, b" " * chance.randrange(2) + body, chance)


def misses(chance: Random) -> Case:
    """Misses, of whole ids and not, some of them while a neighbour is away."""
    data = b"".join(i.to_bytes(8, "little") for i in chance.choices(_IDS + _ODD_IDS, k=chance.randrange(6)))
    if chance.random() < 0.3:
        data = mutated(chance, data)
    away = tuple(chance.sample(NEIGHBOURS, chance.randrange(1, 3))) if chance.random() < 0.2 else ()
    return _pushed("misses", MISS, data, chance, away)


def attributes(chance: Random) -> Case:
    """Attributes of every name and value but for the trace."""
    names = ("table_id", "l2_cache_id", "user_id", "remesh", "remesh_priority", "dead_letter_reason", "", "x\r\n", "ü")
    chosen = {chance.choice(names): chance.choice(TEXTS)[:3000] for _ in range(chance.randrange(1, 4))}
    base = chance.choice([EDIT, MISS, {}])
    data = chance.choice([b"", (1).to_bytes(8, "little"), b"{}", b"x"])
    away = ("store",) if chance.random() < 0.1 else ()
    return _pushed("attributes", {**base, **chosen}, data, chance, away)


def traces(chance: Random) -> Case:
    """The trace that a message was published in."""
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    text = chance.choice([good, *TEXTS[:-8], good + "\n", good + "\r\nx: y", "\x00" + good])
    if chance.random() < 0.4:
        text = mutated(chance, good.encode(), 1).decode("latin-1")
    return _pushed("traces", {**MISS, "googclient_traceparent": text}, _IDS[0].to_bytes(8, "little"), chance)


def framing(chance: Random) -> Case:
    """Deliveries in pieces, and with lengths that are not theirs."""
    body = json_object(_delivery(MISS, b""))
    if chance.random() < 0.3:
        length = str(len(body) + chance.choice([1, 500, -5]))
        return Case("compute", "message framing", http("POST", "/", body, {"Content-Length": length}))
    framed = mutated(chance, chunked(body, chance.choice([1, 50, 1000])), chance.choice([1, 2]))
    return Case(
        "compute", "message framing", http("POST", "/", headers={"Transfer-Encoding": "chunked"}, framed=framed)
    )


def good() -> list[Case]:
    """A miss that is computed."""
    delivery = json_object(_delivery(MISS, _IDS[0].to_bytes(8, "little")))
    return [Case("compute", "good", _enveloped(delivery, mode)) for mode in ("plain", "binary", "structured")]


def recorded(folder: Path) -> Callable[[Random], Case]:
    """Mutations of the messages in the recorded data."""
    found = [
        message for file in sorted((folder / "messages").glob("*.json")) for message in json.loads(file.read_text())
    ]

    def make(chance: Random) -> Case:
        message = chance.choice(found)
        own = {**message["attributes"], "table_id": GRAPH_ID}
        if "l2_cache_id" in own:
            own["l2_cache_id"] = TABLE_ID
        data = mutated(chance, base64.b64decode(message["data_base64"] or ""))
        return _pushed("recorded messages", own, data, chance)

    return make
