"""The fields of an operator's request: what each of them may be, and reading it from JSON or from a query string."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

from shared.documents.timestamp import requested_moment
from shared.errors import BadRequestError

Corners: TypeAlias = tuple[tuple[float, float, float], tuple[float, float, float]]

_LEVELS = 3  # the object, the corners of a box, their coordinates
_MOST_DIGITS = 20
_SHOWN_CHARACTERS = 60
_BEYOND_EXACT = 2**53


class Kind(StrEnum):
    """What a field holds, and as what it is read."""

    TEXT = "text"
    """Text as it is; None for an empty one."""
    WHOLE = "whole"
    """A whole number within the field's limits."""
    FLAG = "flag"
    """Whether or not."""
    CHOICE = "choice"
    """One of the field's choices."""
    MOMENT = "moment"
    """A moment of the graph: aware, UTC, whole seconds; None if none is given."""
    BOX = "box"
    """Low and high corner, the high one exclusive."""


FORMS: Mapping[Kind, str] = {
    Kind.TEXT: "text",
    Kind.WHOLE: "a whole number",
    Kind.FLAG: "true or false",
    Kind.CHOICE: "one of the choices",
    Kind.MOMENT: "2026-06-01 00:00:00 (UTC) or ISO 8601 (2026-06-01T02:00:00+02:00), from 2000 on, not in the future",
    Kind.BOX: "[[x, y, z], [x, y, z]]; in a query x,y,z:x,y,z",
}
"""How a value of each kind is written."""


@dataclass(frozen=True)
class Field:
    """A field of an operation's arguments.

    Attributes:
      name: in JSON and in query strings.
      kind: what it holds.
      help: what it is for, in a sentence.
      is_required: whether it must be given.
      default: what it is if it is left out, in JSON's types; None for nothing.
      least: smallest value of a whole number.
      most: largest value of a whole number.
      choices: what a choice is made among.
    """

    name: str
    kind: Kind
    help: str
    is_required: bool = False
    default: Any = None
    least: int = 0
    most: int = 0
    choices: tuple[str, ...] = ()

    def read(self, value: Any, now: datetime) -> Any:
        """The value that JSON gives for this field, as its kind says.

        Args:
          value: decoded JSON.
          now: the present moment, aware.

        Raises:
          BadRequestError: naming the field and what it must be.
        """
        return _READERS[self.kind](self, value, now)

    def from_query(self, text: str) -> Any:
        """A query parameter as JSON would give it; text that is none stays as it is, for `read` to refuse."""
        if self.kind is Kind.FLAG:
            return {"true": True, "false": False}.get(text, text)
        if self.kind is Kind.BOX:
            try:
                return [[float(number) for number in corner.split(",")] for corner in text.split(":")]
            except ValueError:
                return text
        return text

    def describe(self) -> dict[str, Any]:
        """The field in JSON's types, for whoever builds a client or documentation."""
        described: dict[str, Any] = {"name": self.name, "kind": self.kind.value, "help": self.help}
        if self.is_required:
            described["required"] = True
        if self.default is not None:
            described["default"] = self.default
        if self.kind is Kind.WHOLE:
            described |= {"least": self.least, "most": self.most}
        if self.choices:
            described["choices"] = list(self.choices)
        return described


@dataclass(frozen=True)
class Values:
    """A value for each field of an operation, of the type that the field's kind reads: `values["dataset"]`.

    Attributes:
      by_name: the values.
      now: the moment at which they were read, aware.
    """

    by_name: Mapping[str, Any]
    now: datetime

    def __getitem__(self, name: str) -> Any:
        return self.by_name[name]


def read_fields(document: object, fields: Sequence[Field], now: datetime, name: str = "the body") -> Values:
    """The values of all fields in a decoded JSON object; those that are left out have their defaults.

    Args:
      document: the object.
      fields: what it may have.
      now: the present moment, aware.
      name: what the object is called in errors.

    Raises:
      BadRequestError: naming the field that is missing, unknown or wrong.
    """
    if not isinstance(document, Mapping):
        raise BadRequestError(f"{name} must be a JSON object with the field dataset")
    if _is_deeper(document, _LEVELS):
        raise BadRequestError(f"{name} are nested too deeply")
    known = {field.name: field for field in fields}
    unknown = sorted(str(key) for key in document if key not in known)
    if unknown:
        raise BadRequestError(f"unknown field {shown(unknown[0])}; known are {', '.join(sorted(known))}")
    return Values({name: _value(field, document, now) for name, field in known.items()}, now)


def shown(value: object) -> str:
    """As much of a wrong value as tells its sender which it is."""
    text = repr(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def _value(field: Field, document: Mapping[str, Any], now: datetime) -> Any:
    if field.name in document:
        return field.read(document[field.name], now)
    if field.is_required:
        raise BadRequestError(f"{field.name} must be given as {FORMS[field.kind]}")
    return None if field.default is None else field.read(field.default, now)


def _is_deeper(value: object, levels: int) -> bool:
    """Whether objects and lists are nested in more levels."""
    if not isinstance(value, Mapping | list):
        return False
    inner = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(_is_deeper(entry, levels - 1) for entry in inner)


def _text(field: Field, value: Any, _now: datetime) -> str | None:
    if field.is_required and (not isinstance(value, str) or not value):
        raise BadRequestError(f"{field.name} must be given as text")
    if value is not None and not isinstance(value, str):
        raise BadRequestError(f"{field.name} must be text, not {shown(value)}")
    return value or None


def _whole(field: Field, value: Any, _now: datetime) -> int:
    number = int(value) if isinstance(value, str) and value.isdecimal() and len(value) <= _MOST_DIGITS else value
    if not isinstance(number, int) or isinstance(number, bool) or not field.least <= number <= field.most:
        raise BadRequestError(
            f"{field.name} must be a whole number from {field.least} to {field.most}, not {shown(value)}"
        )
    return number


def _flag(field: Field, value: Any, _now: datetime) -> bool:
    if not isinstance(value, bool):
        raise BadRequestError(f"{field.name} must be true or false, not {shown(value)}")
    return value


def _choice(field: Field, value: Any, _now: datetime) -> str:
    if value not in field.choices:
        raise BadRequestError(f"{field.name} must be {' or '.join(field.choices)}, not {shown(value)}")
    return str(value)


def _moment(field: Field, value: Any, now: datetime) -> datetime | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise BadRequestError(f"{field.name} must be text such as 2026-06-01 00:00:00, not {shown(value)}")
    return requested_moment(value, now)


def _box(field: Field, value: Any, _now: datetime) -> Corners | None:
    if value is None:
        return None
    try:
        (x0, y0, z0), (x1, y1, z1) = value
        low, high = (float(x0), float(y0), float(z0)), (float(x1), float(y1), float(z1))
    except (TypeError, ValueError) as error:
        raise BadRequestError(f"{field.name} must be [[x, y, z], [x, y, z]], not {shown(value)}") from error
    except OverflowError as error:  # a whole number that no float can hold
        raise BadRequestError(f"{field.name} must be of finite numbers, not {shown(value)}") from error
    if not all(abs(number) < _BEYOND_EXACT for number in low + high):
        raise BadRequestError(f"{field.name} must be of finite numbers, not {shown(value)}")
    if not all(a < b for a, b in zip(low, high, strict=True)):
        raise BadRequestError(f"{field.name} is empty: {shown(value)}")
    return low, high


_READERS: Mapping[Kind, Callable[[Field, Any, datetime], Any]] = {
    Kind.TEXT: _text,
    Kind.WHOLE: _whole,
    Kind.FLAG: _flag,
    Kind.CHOICE: _choice,
    Kind.MOMENT: _moment,
    Kind.BOX: _box,
}
