"""Requests and answers of the graph server on the wire: bodies, parameters, JSON, gzip and errors."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np
import orjson
from flask import Request, Response

from shared.errors import BadRequestError
from shared.geometry.grid import Box
from shared.types import UInt64Array

BINARY_TYPE = "text/html; charset=utf-8"
LARGEST_TIME_S = 253_402_300_799.0  # the end of the year 9999, the last that Python's dates know
FAST_GZIP = 1


def body_bytes(request: Request) -> bytes:
    """The request's body, unzipped.

    Raises:
      BadRequestError: if it is said to be gzipped and is not.
    """
    data = request.get_data()
    if request.headers.get("Content-Encoding", "").lower() != "gzip":
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise BadRequestError("the body is no valid gzip") from error


def body_json(request: Request) -> Any:
    """The request's JSON body.

    Raises:
      BadRequestError: if it is no JSON.
    """
    try:
        return orjson.loads(body_bytes(request))
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body is no JSON: {error}") from error


def body_ids(request: Request) -> UInt64Array:
    """A binary body of little-endian ids: uint64[n].

    Raises:
      BadRequestError: if its length is no multiple of 8 bytes.
    """
    data = body_bytes(request)
    if len(data) % 8:
        raise BadRequestError(f"a body of {len(data)} bytes is no array of 8-byte ids")
    return np.frombuffer(data, dtype="<u8").astype(np.uint64)


def json_ids(values: Any) -> UInt64Array:
    """Ids from a JSON list of integers, or of their decimals: uint64[n].

    Raises:
      BadRequestError: naming the first value that is no id.
    """
    if not isinstance(values, list):
        raise BadRequestError("a list of node ids was expected")
    return np.array([_node_id(value) for value in values], dtype=np.uint64)


def body_node_ids(request: Request) -> UInt64Array:
    """The `node_ids` of a JSON body: uint64[n].

    Raises:
      BadRequestError: if there is no such list.
    """
    body = body_json(request)
    if not isinstance(body, Mapping) or "node_ids" not in body:
        raise BadRequestError("the body has no node_ids")
    return json_ids(body["node_ids"])


def json_parameter_ids(request: Request, name: str) -> UInt64Array:
    """A parameter that is a JSON list of ids: uint64[n].

    Raises:
      BadRequestError: if it is not.
    """
    try:
        return json_ids(orjson.loads(request.args.get(name, "[]")))
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"{name} is no JSON list of ids") from error


def _node_id(value: Any) -> int:
    try:
        number = int(value) if isinstance(value, str) else value
    except ValueError:
        number = None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 1 << 64:
        raise BadRequestError(f"not a node id: {value!r}")
    return number


def time_ms(request: Request, name: str = "timestamp") -> int | None:
    """A time parameter in seconds since 1970, rounded down to the table's milliseconds; None if it is not given.

    Raises:
      BadRequestError: if it is no time.
    """
    text = request.args.get(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError as error:
        raise BadRequestError(f"{name} is no time in seconds: {text!r}") from error
    if not math.isfinite(seconds) or abs(seconds) > LARGEST_TIME_S:
        raise BadRequestError(f"{name} is no time in seconds: {text!r}")
    # To microseconds first: 1795352603.878 is not exact as a float and must not lose its last millisecond.
    return round(seconds * 1e6) // 1000


def layer_parameter(request: Request, default: int | None) -> int | None:
    """The parameter `stop_layer`.

    Raises:
      BadRequestError: if it is no positive number.
    """
    text = request.args.get("stop_layer")
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise BadRequestError(f"stop_layer is no layer: {text!r}")
    return int(text)


def bounds(request: Request) -> Box | None:
    """The parameter `bounds`, `x0-x1_y0-y1_z0-z1` in voxels; None if it is not given.

    Raises:
      BadRequestError: if it has another form.
    """
    text = request.args.get("bounds")
    if text is None:
        return None
    try:
        (x0, x1), (y0, y1), (z0, z1) = (map(int, axis.split("-")) for axis in text.split("_"))
    except ValueError as error:
        raise BadRequestError(f"bounds are not x0-x1_y0-y1_z0-z1: {text!r}") from error
    return Box((x0, y0, z0), (x1, y1, z1))


def flag(request: Request, name: str) -> bool:
    """Whether a yes-or-no parameter says yes."""
    return request.args.get(name, "").lower() in ("1", "true")


def json_answer(content: Any, status: int = 200) -> Response:
    """A JSON answer as the graph server writes it: compact, with a final newline; numpy arrays become lists."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS) + b"\n"
    return Response(body, status, mimetype="application/json")


def ids_as_json(ids: UInt64Array, as_text: bool) -> Any:
    """Ids for a JSON answer, as decimals where the client cannot hold 64 bits."""
    return [str(node) for node in ids.tolist()] if as_text else np.ascontiguousarray(ids)


def binary_answer(ids: UInt64Array) -> Response:
    """An answer of little-endian ids, C order."""
    return Response(np.ascontiguousarray(ids, dtype="<u8").tobytes(), content_type=BINARY_TYPE)


def error_answer(message: str, status: int = 500) -> Response:
    """An error as the graph server writes it."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    return json_answer({"code": status, "duration": 0.0, "message": message, "timestamp": stamp}, status)


def gzip_if_accepted(request: Request, response: Response) -> Response:
    """The response, gzipped where the client accepts that, however short it is: so does the graph server."""
    body = response.get_data()
    if not body or request.accept_encodings["gzip"] == 0:
        return response
    response.set_data(gzip.compress(body, FAST_GZIP))
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response
