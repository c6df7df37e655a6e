"""Values at the borders of what is understood, JSON of every shape, and mutations of bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random

NUMBERS = (
    *("0", "1", "-1", "2", "7", "-0", "1.5", "-0.5", "1e2", "1E400", "-1E400", "1e-400", "0.1e1"),
    *(str(2**bits + more) for bits in (8, 16, 31, 32, 53, 63, 64, 128) for more in (-1, 0, 1)),
    *(str(-(2**bits)) for bits in (31, 63, 64)),
    *("NaN", "Infinity", "-Infinity", "1" + "0" * 400, "9" * 5000, "-" + "9" * 5000, "01", "1.", ".5", "+1", "0x10"),
)
TEXTS = (
    *("", " ", "a", "small", "null", "true", "0", "1", "-1", "1.0", "9" * 25, "9" * 5000, "٣" * 5000, "²", "١٢"),
    *(
        "\0",
        "\r\n",
        "a\r\nX-Injected: 1",
        "\x7f",
        "\u2028",
        "😀" * 30,
        "\ud800",
        "ü" * 2000,
        "%s%n{0}{{",
        "../../etc/passwd",
    ),
    *("x" * 100_000, "1_000", "0,1", "[1]", "{}", "size_nm3", "size_nm3,,pca", "0_0_0-1_1_1", "0_0_0-1_1_1.5"),
)
BYTES = (
    b"\0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\r\n",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[" * 200,
    b"9" * 30,
    b"e999",
)


def json_value(chance: Random, depth: int = 0) -> bytes:
    """Some JSON, or nearly so: a number, a text, a list, an object."""
    roll = chance.random()
    if depth > 3 or roll < 0.35:
        return chance.choice(NUMBERS).encode()
    if roll < 0.6:
        return json_text(chance.choice(TEXTS))
    if roll < 0.7:
        return chance.choice([b"null", b"true", b"false"])
    if roll < 0.72:
        return chance.choice([b"[" * 50_000, b'{"a":' * 50_000, b"[" * 600 + b"]" * 600])
    parts = [json_value(chance, depth + 1) for _ in range(chance.randrange(5))]
    if roll < 0.88:
        return b"[" + b",".join(parts) + b"]"
    return b"{" + b",".join(json_text(chance.choice(TEXTS)[:50]) + b":" + part for part in parts) + b"}"


def json_text(text: str) -> bytes:
    """A text as JSON."""
    return json.dumps(text).encode()


def json_object(fields: Mapping[str, bytes]) -> bytes:
    """An object of fields whose values are JSON already."""
    return b"{" + b", ".join(json_text(name) + b": " + value for name, value in fields.items()) + b"}"


def altered(chance: Random, fields: Mapping[str, bytes], own: Mapping[str, Sequence[bytes]] | None = None) -> bytes:
    """An object like `fields`, some of them changed, left out, doubled or added.

    Args:
      chance: decides.
      fields: a good object: JSON by name.
      own: for some fields values at their very borders, which are tried rather than any JSON.
    """
    changed = dict(fields)
    for name in chance.sample(sorted(changed), min(len(changed), chance.choice([1, 1, 1, 2, 3]))):
        choices = (own or {}).get(name, ())
        changed[name] = chance.choice(choices) if choices and chance.random() < 0.7 else json_value(chance)
    if chance.random() < 0.15:
        del changed[chance.choice(sorted(changed))]
    if chance.random() < 0.15:
        changed[chance.choice(TEXTS)[:50]] = json_value(chance)
    body = json_object(changed)
    if chance.random() < 0.1:
        body = body[:-1] + b", " + json_object({chance.choice(sorted(fields)): json_value(chance)})[1:]
    return body


def mutated(chance: Random, data: bytes, times: int | None = None) -> bytes:
    """Bytes like these, with a few mistakes."""
    for _ in range(times if times is not None else chance.choice([1, 1, 2, 4, 10])):
        data = chance.choice(_MUTATIONS)(chance, data)
    return data


def _flip(chance: Random, data: bytes) -> bytes:
    if not data:
        return data
    place = chance.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << chance.randrange(8)]) + data[place + 1 :]


def _cut(chance: Random, data: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.randrange(1, 20) :]


def _truncate(chance: Random, data: bytes) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _double(chance: Random, data: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    piece = data[start : start + chance.randrange(1, 40)]
    return data[:start] + piece * chance.choice([2, 2, 3, 100]) + data[start + len(piece) :]


def _insert(chance: Random, data: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.choice(BYTES) + data[start:]


def _random_bytes(chance: Random, data: bytes) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + chance.randbytes(chance.randrange(1, 9)) + data[start + 4 :]


_MUTATIONS: Sequence[Callable[[Random, bytes], bytes]] = (_flip, _cut, _truncate, _double, _insert, _random_bytes)
