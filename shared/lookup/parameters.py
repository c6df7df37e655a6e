"""What a look-up's query and body may say beside the ids, and what becomes of names that mean nothing.

PCGL2Cache ignores what it does not know, and so do we; but a client is told which names these were, and a name that is
clearly meant for a known one is refused, since without it the answer is another than the one that was asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from shared.errors import BadRequestError
from shared.lookup.wait_preference import LONGEST_WAIT_S

IGNORED_HEADER = "X-L2Cache-Ignored"
_MOST_NAMES = 20
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Option:
    """One option of a request.

    Attributes:
      name: as it is written in the query, or as a key of a JSON body.
      meaning: what it does, for descriptions.
      schema: of its values, in JSON Schema.
      meant: further names that others write for it; they are refused. Other spellings of `name` are in any case.
      in_body: whether a JSON body may have it as well.
    """

    name: str
    meaning: str
    schema: dict[str, Any]
    meant: tuple[str, ...] = ()
    in_body: bool = False

    def is_meant_by(self, name: str) -> bool:
        """Whether a name differs from this option's in spelling only, or is one of those that others write."""
        return _letters(name) in {_letters(own) for own in (self.name, *self.meant)}


ATTRIBUTE_NAMES = Option(
    "attribute_names",
    "The attributes that are wanted, with commas between; all of them if left out.",
    {"type": "string", "examples": ["size_nm3,rep_coord_nm"]},
    meant=("attribute", "attributes", "attribute_name"),
    in_body=True,
)
INT64_AS_STR = Option(
    "int64_as_str",
    "Whether integers of 64 bits, `size_nm3`, are answered as text, for clients without such integers.",
    {"type": "boolean", "default": False},
)
UPDATE_CACHE = Option(
    "update_cache",
    "Whether ids that are not in the cache are to be computed.",
    {"type": "boolean", "default": True},
)
FULL = Option(
    "full", "Whether unit, meaning and types are told of each attribute.", {"type": "boolean", "default": False}
)
WAIT = Option(
    "wait",
    "Seconds to wait for ids that are being computed; goes before the header `Prefer: wait=5`.",
    {"type": "number", "minimum": 0, "maximum": LONGEST_WAIT_S, "default": 0},
)
FORMAT = Option(
    "format",
    "The form of the answer; goes before the header `Accept`.",
    {"enum": ["json", "arrow", "csv"], "default": "json"},
)
ALL = Option("all", "Whether the ids that have a row are listed as well.", {"type": "boolean", "default": False})

ATTRIBUTES_OPTIONS = (ATTRIBUTE_NAMES, INT64_AS_STR, UPDATE_CACHE, WAIT, FORMAT)
"""Those of `POST /table/<dataset>/attributes`."""
STATUS_OPTIONS = (ATTRIBUTE_NAMES, INT64_AS_STR, UPDATE_CACHE, WAIT, ALL)
"""Those of `POST /table/<dataset>/status`; the first two have no effect."""
METADATA_OPTIONS = (FULL,)
"""Those of `GET /attribute_metadata`."""


def ignored_names(given: Iterable[str], options: Sequence[Option], others: Collection[str] = ()) -> tuple[str, ...]:
    """The names among those of a query or a body that mean nothing.

    Args:
      given: names of parameters, or keys.
      options: what they may be.
      others: further names that mean something.

    Raises:
      BadRequestError: if one of them is meant for an option, which is named.
    """
    known = {*(option.name for option in options), *others}
    unknown = [name for name in given if name not in known]
    for name in unknown:
        for option in options:
            if option.is_meant_by(name):
                raise BadRequestError(f"{name[:_LONGEST_NAME]!r} is not known: say {option.name}")
    return tuple(unknown)


def ignored_header(names: Sequence[str]) -> str:
    """Names as the value of `IGNORED_HEADER`: quoted where a header cannot carry them, no more than tells which."""
    shown = [quote(name[:_LONGEST_NAME], safe="[]", errors="replace") for name in names[:_MOST_NAMES]]
    return ", ".join(shown)


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
