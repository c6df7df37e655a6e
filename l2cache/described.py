"""The ingest function's operations as `operations.json` describes them.

The file is what `GET /operations` answers; `python -m infra.packaging.describe_operations` writes it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

_LISTED = {"failed": "failed", "coverage": "blocks"}
"""What is listed in pages, by the kind of answer."""


@dataclass(frozen=True)
class FieldDescription:
    """A field of an operation.

    Attributes:
      name: in requests.
      kind: `text`, `whole`, `flag`, `choice`, `moment` or `box`.
      help: what it is for.
      is_required: whether it must be given.
      default: what it is if it is left out.
      least: smallest value of a whole number.
      most: largest value of a whole number.
      choices: what a choice is made among.
    """

    name: str
    kind: str
    help: str
    is_required: bool
    default: Any
    least: int | None
    most: int | None
    choices: tuple[str, ...]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> FieldDescription:
        """A field in JSON's types."""
        return cls(
            name=document["name"],
            kind=document["kind"],
            help=document["help"],
            is_required=document.get("required", False),
            default=document.get("default"),
            least=document.get("least"),
            most=document.get("most"),
            choices=tuple(document.get("choices", ())),
        )


@dataclass(frozen=True)
class OperationDescription:
    """An operation.

    Attributes:
      name: in requests and on the command line.
      help: what it does.
      answer: what its answer is, for choosing how to show it.
      fields: its arguments.
    """

    name: str
    help: str
    answer: str
    fields: tuple[FieldDescription, ...]

    @property
    def listed(self) -> str | None:
        """The name of the list in its answer of which there may be several pages; None if there is only one."""
        return _LISTED.get(self.answer) if {"limit", "after"} <= {field.name for field in self.fields} else None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> OperationDescription:
        """An operation in JSON's types."""
        fields = tuple(FieldDescription.from_document(field) for field in document["fields"])
        return cls(document["name"], document["help"], document["answer"], fields)


@dataclass(frozen=True)
class Description:
    """All operations.

    Attributes:
      operations: in the order in which they are listed.
      forms: how a value of each kind of field is written.
    """

    operations: tuple[OperationDescription, ...]
    forms: Mapping[str, str]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Description:
        """A decoded answer of `GET /operations`."""
        operations = tuple(OperationDescription.from_document(operation) for operation in document["operations"])
        return cls(operations, document["forms"])


def own_description() -> Description:
    """The operations that this client was made for."""
    return Description.from_document(json.loads(files("l2cache").joinpath("operations.json").read_text()))
