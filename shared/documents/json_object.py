"""JSON objects that others send, and their fields within bounds: what is wrong is named, and nothing else is raised."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from shared.errors import BadRequestError

_SHOWN_CHARACTERS = 60


def decode_object(
    raw: bytes | str,
    what: str,
    kind: type[Exception] = BadRequestError,
    *,
    strict: bool = True,
    key: str = "",
    hint: str = "",
) -> dict[str, Any]:
    """The JSON object in a text. Nothing of the text is in an error, since there may be a token in it.

    Texts in it can be written as UTF-8 wherever they go on to: halves of surrogate pairs, which JSON can spell, are
    refused.

    Args:
      raw: the text.
      what: what it is said to be in errors: `the body`.
      kind: of the errors.
      strict: whether `NaN` and `Infinity`, which are no JSON, are refused.
      key: of a field that it must have, if there is one.
      hint: what an error says further of a text that is none of JSON.

    Raises:
      kind: if it is no JSON, or no object, or has no such field.
    """
    try:
        text = raw if isinstance(raw, str) else raw.decode(json.detect_encoding(raw))
        document = json.loads(text, parse_constant=_refuse_constant if strict else None)
        if "\\u" in text or not text.isascii():
            json.dumps(document, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        # Not chained: it carries the text.
        raise kind(f"{what} is not JSON (line {error.lineno} column {error.colno}){hint}") from None
    except UnicodeDecodeError:
        raise kind(f"{what} is no text{hint}") from None
    except UnicodeEncodeError:
        # Not chained either.
        raise kind(f"a text in {what} holds half of a surrogate pair") from None
    except RecursionError as error:
        raise kind(f"{what} is nested too deeply") from error
    except _NoNumberError as error:
        raise kind(f"{what} is not JSON ({error})") from error
    except ValueError as error:
        raise kind(f"a number in {what} has too many digits") from error
    if not isinstance(document, dict) or (key and key not in document):
        raise kind(f"{what} must be a JSON object" + (f' with the key "{key}"' if key else ""))
    return document


def text_field(document: Mapping[str, Any], name: str) -> str:
    """A field that is text, and not empty."""
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise BadRequestError(f"{name} must be text, not {_shown(value)}")
    return value


def whole_field(document: Mapping[str, Any], name: str, least: int, most: int) -> int:
    """A field that is a whole number from `least` to `most`."""
    return _whole(document.get(name), name, least, most)


def whole_triple_field(document: Mapping[str, Any], name: str, least: int, most: int) -> tuple[int, int, int]:
    """A field that is a list of three whole numbers from `least` to `most`."""
    value = document.get(name)
    if not isinstance(value, list) or len(value) != 3:
        raise BadRequestError(f"{name} must be three whole numbers, not {_shown(value)}")
    x, y, z = (_whole(entry, name, least, most) for entry in value)
    return x, y, z


def texts_field(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A field that is a list of texts; empty if it is left out."""
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
        raise BadRequestError(f"{name} must be a list of texts, not {_shown(value)}")
    return tuple(value)


def number_field(document: Mapping[str, Any], name: str, least: float, most: float) -> float:
    """A field that is a number from `least` to `most`."""
    value = document.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise BadRequestError(f"{name} must be a number, not {_shown(value)}")
    # Whole numbers may be too large for `math.isfinite`, and are compared as they are.
    if isinstance(value, float) and not math.isfinite(value):
        raise BadRequestError(f"{name} must be a number, not {_shown(value)}")
    if not least <= value <= most:
        raise BadRequestError(f"{name} must be from {least:g} to {most:g}, not {_shown(value)}")
    return float(value)


def _whole(value: Any, name: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadRequestError(f"{name} must be a whole number from {least} to {most}, not {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    """A value as an error shows it: short, whatever it is."""
    if isinstance(value, list | dict):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > 64:
        return "a number of more than 64 bits"
    shown = repr(value)
    return shown if len(shown) <= _SHOWN_CHARACTERS else shown[:_SHOWN_CHARACTERS] + "..."


class _NoNumberError(ValueError):
    pass


def _refuse_constant(name: str) -> NoReturn:
    raise _NoNumberError(f"{name} is no number of JSON")
