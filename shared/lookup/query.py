"""What a client asks for: the ids in a body, and the options beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shared.attributes import ATTRIBUTES, Attribute, AttributeTable
from shared.documents.json_object import decode_object
from shared.errors import BadRequestError, InvalidL2IdError, TooLargeError
from shared.lookup.parameters import ATTRIBUTES_OPTIONS, Option, ignored_names
from shared.types import UInt64Array

BINARY_TYPE = "application/octet-stream"
ID_BYTES = 8
_IDS_KEY = "l2_ids"
_ID_LIMIT = 1 << 64
_LONGEST_TEXT = 100
_SHOWN_CHARACTERS = 40
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Query:
    """One look-up.

    Attributes:
      l2_ids: uint64[n], in any order, duplicates allowed.
      attributes: what to answer of each.
      int64_as_str: whether 64-bit integers are answered as text, for clients without 64-bit integers.
      publish_misses: whether ids that are not in the cache are to be computed.
      wait_s: how long to wait for them.
      ignored: names of parameters and keys that mean nothing.
    """

    l2_ids: UInt64Array
    attributes: tuple[Attribute, ...] = ATTRIBUTES.attributes
    int64_as_str: bool = False
    publish_misses: bool = True
    wait_s: float = 0.0
    ignored: tuple[str, ...] = ()


def parse_query(
    body: bytes,
    mimetype: str,
    parameters: Mapping[str, Sequence[str]],
    max_ids: int,
    attributes: AttributeTable = ATTRIBUTES,
    options: Sequence[Option] = ATTRIBUTES_OPTIONS,
) -> Query:
    """The look-up that a request asks for.

    Args:
      body: unpacked body: raw little-endian uint64, or JSON.
      mimetype: content type without parameters, lower case; only `application/octet-stream` is not read as JSON.
      parameters: the query string's values by name. `attribute_names` there goes before the one in a JSON body.
      max_ids: most ids in one look-up.
      attributes: what can be asked for.
      options: what the parameters may be.

    Raises:
      BadRequestError: if the body is malformed, or a parameter or key is clearly meant for another name.
      InvalidL2IdError: naming the first value that is no unsigned 64-bit integer.
      UnknownAttributeError: naming the attribute.
      TooLargeError: with more than `max_ids` ids.
    """
    ignored = ignored_names(parameters, options)
    if mimetype == BINARY_TYPE:
        l2_ids, names = _binary_ids(body, max_ids), None
    else:
        document = _json_object(body)
        ignored += ignored_names(document, [option for option in options if option.in_body], (_IDS_KEY,))
        l2_ids = json_ids(document[_IDS_KEY], max_ids)
        names = document.get("attribute_names")
    if "attribute_names" in parameters:
        names = ",".join(parameters["attribute_names"])
    return Query(
        l2_ids=l2_ids,
        attributes=attributes.select(_names(names)),
        int64_as_str=read_boolean(parameters.get("int64_as_str"), default=False),
        publish_misses=read_boolean(parameters.get("update_cache"), default=True),
        ignored=ignored,
    )


def read_boolean(values: Sequence[str] | None, *, default: bool) -> bool:
    """The boolean in a parameter's first value; the default if there is none, or nothing that is one."""
    return _BOOLEANS.get(values[0].strip().lower(), default) if values else default


def _binary_ids(body: bytes, max_ids: int) -> UInt64Array:
    if len(body) % ID_BYTES:
        raise BadRequestError(f"a body of {len(body)} bytes holds no whole number of ids of {ID_BYTES} bytes")
    _check_count(len(body) // ID_BYTES, max_ids)
    return np.frombuffer(body, dtype="<u8").astype(np.uint64, copy=False)


def _json_object(body: bytes) -> dict[str, Any]:
    if not body:
        raise BadRequestError('the body is empty: send {"l2_ids": [...]}')
    # NaN is no id, and is said to be none
    hint = f"; raw ids need the content type {BINARY_TYPE}"
    return decode_object(body, "the body", strict=False, key=_IDS_KEY, hint=hint)


def json_ids(value: Any, max_ids: int) -> UInt64Array:
    """The ids in a JSON value, a scalar or nested lists of whole numbers and their decimals: uint64[n].

    Raises:
      InvalidL2IdError: naming the first value that is no unsigned 64-bit integer.
      TooLargeError: with more than `max_ids` ids.
    """
    values = _flat(value, max_ids)
    kinds = set(map(type, values))
    if not kinds <= {int, str}:
        raise _no_id(next(entry for entry in values if type(entry) not in (int, str)))
    numbers = values if kinds <= {int} else [_number(entry) for entry in values]
    try:
        return np.array(numbers, dtype=np.uint64)
    except OverflowError:
        raise _no_id(next(number for number in numbers if not 0 <= number < _ID_LIMIT)) from None


def _number(entry: int | str) -> int:
    if isinstance(entry, int):
        return entry
    if not (entry.isascii() and entry.isdigit() and len(entry) <= _LONGEST_TEXT):
        raise _no_id(entry)
    return int(entry)


def _no_id(value: Any) -> InvalidL2IdError:
    shown = json.dumps(value)
    if len(shown) > _SHOWN_CHARACTERS:
        shown = shown[:_SHOWN_CHARACTERS] + "..."
    return InvalidL2IdError(f"{shown} is not an unsigned 64-bit integer")


def _flat(value: Any, max_ids: int) -> list[Any]:
    """The values in a scalar or in nested lists, in order."""
    if not isinstance(value, list):
        return [value]
    if list not in set(map(type, value)):
        _check_count(len(value), max_ids)
        return value
    flat: list[Any] = []
    open_lists = [iter(value)]
    while open_lists:
        for entry in open_lists[-1]:
            if isinstance(entry, list):
                open_lists.append(iter(entry))
                break
            flat.append(entry)
        else:
            open_lists.pop()
        _check_count(len(flat), max_ids)
    return flat


def _check_count(count: int, max_ids: int) -> None:
    if count > max_ids:
        raise TooLargeError(f"{count} ids were asked for, at most {max_ids} are allowed in one request", max_ids)


def _names(names: Any) -> list[str] | None:
    """Comma-separated names or a list of names as a list; None, which stands for all attributes, as it is."""
    if names is None:
        return None
    entries = names.split(",") if isinstance(names, str) else names
    if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
        raise BadRequestError("attribute_names must be a list of names, or comma-separated names")
    if not entries:
        raise BadRequestError("attribute_names is empty: name an attribute, or leave it out for all of them")
    return [entry.strip() for entry in entries]
